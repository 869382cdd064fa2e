internal import Control
internal import Glibc
internal import Lab
internal import SystemIO

/// Short questions to a daemon's control socket, asked by this process itself: a program started for each would take
/// more of the processors than the daemon that is measured.
enum ControlQuery {
    /// Sends bytes and returns what comes until the daemon closes.
    static func exchange(_ socketPath: String, _ request: [UInt8]) throws(LabError) -> [UInt8] {
        do {
            let socket = try LocalSocket.connect(to: socketPath, timeoutSeconds: 60)
            try socket.write(request)
            var answer: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = try socket.read(into: &buffer)
                if count == 0 { return answer }
                answer.append(contentsOf: buffer[..<count])
            }
        } catch {
            throw LabError("\(socketPath): \(error)")
        }
    }

    /// Asks `flowsyncd`: GET, and the body of the answer.
    static func flowsync(_ socketPath: String, _ path: String) throws(LabError) -> [UInt8] {
        let head = "GET \(path) HTTP/1.1\r\nHost: flowsync\r\nConnection: close\r\n\r\n"
        let answer = try exchange(socketPath, Array(head.utf8))
        var reader = ResponseReader()
        var body: [UInt8] = []
        do {
            try reader.receive(answer[...], into: &body)
            try reader.finish()
        } catch {
            throw LabError("\(socketPath) \(path): \(error)")
        }
        guard reader.statusCode == 200 else {
            throw LabError("\(socketPath) \(path): status \(reader.statusCode ?? 0)")
        }
        return body
    }

    /// Asks `conntrackd`: a number, and text.
    static func conntrackd(_ socketPath: String, _ request: Int32) throws(LabError) -> String {
        let bytes = withUnsafeBytes(of: request) { Array($0) }
        return String(decoding: try exchange(socketPath, bytes), as: UTF8.self)
    }
}
