import Control
import Glibc
import SystemIO

/// Sends requests to the daemon's local API, one connection each.
///
/// The HTTP library's client gathers a whole response before it hands it over; a dump of a million flows must not fill
/// memory, so the few lines of HTTP that are needed are here.
struct ControlClient {
    /// What came back, whatever the status.
    struct Response {
        var statusCode: Int
        var body: [UInt8]

        var isSuccess: Bool { statusCode == 200 }
    }

    /// How long the daemon may take for an answer that costs it nothing.
    ///
    /// A hung daemon must not hang a health check with it.
    static let queryTimeoutSeconds = 10

    /// The daemon's socket.
    let socketPath: String

    /// Asks for something that changes nothing.
    func get(_ path: String) throws(CommandFailure) -> Response {
        try request("GET", path, timeoutSeconds: Self.queryTimeoutSeconds) { _ in }
    }

    /// Asks for an action, and waits as long as it takes.
    func post(_ path: String) throws(CommandFailure) -> Response {
        try request("POST", path, timeoutSeconds: nil) { _ in }
    }

    /// Hands over the body of a successful answer piece by piece, and keeps nothing of it.
    func stream(
        _ path: String,
        to write: ([UInt8]) throws(CommandFailure) -> Void
    ) throws(CommandFailure) -> Response {
        try request("GET", path, timeoutSeconds: Self.queryTimeoutSeconds) { (body) throws(CommandFailure) in
            try write(body)
            body.removeAll(keepingCapacity: true)
        }
    }

    /// Sends a request and reads the whole answer.
    ///
    /// - Parameter drain: called with the body as far as it has come, if the request succeeded; it may take from it.
    private func request(
        _ method: String,
        _ path: String,
        timeoutSeconds: Int?,
        drain: (inout [UInt8]) throws(CommandFailure) -> Void
    ) throws(CommandFailure) -> Response {
        let head = "\(method) \(path) HTTP/1.1\r\nHost: flowsync\r\nConnection: close\r\n\r\n"
        var reader = ResponseReader()
        var body: [UInt8] = []
        do {
            let socket = try LocalSocket.connect(to: socketPath, timeoutSeconds: timeoutSeconds)
            try socket.write(Array(head.utf8))
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while !reader.isComplete {
                let count = try socket.read(into: &buffer)
                if count == 0 { break }
                try reader.receive(buffer[..<count], into: &body)
                if reader.statusCode == 200 { try drain(&body) }
            }
            try reader.finish()
        } catch let error as SystemError {
            throw failure(error, timeoutSeconds: timeoutSeconds)
        } catch let error as CommandFailure {
            throw error
        } catch {
            throw CommandFailure(text: "\(socketPath): \(error)")
        }
        return Response(statusCode: reader.statusCode ?? 0, body: body)
    }

    /// What an operator can do about a system call that failed.
    private func failure(_ error: SystemError, timeoutSeconds: Int?) -> CommandFailure {
        switch error.errno {
        case ENOENT, ECONNREFUSED, ENOTDIR:
            CommandFailure(
                status: .noDaemon,
                text: "no daemon answers at \(socketPath): is flowsyncd running? (systemctl status flowsyncd)"
            )
        case EACCES, EPERM:
            CommandFailure(text: "permission denied at \(socketPath): only the daemon's user may ask it (try sudo)")
        case EAGAIN:
            CommandFailure(
                text: "the daemon at \(socketPath) has not answered for \(timeoutSeconds ?? 0) s: it hangs or is "
                    + "overloaded (journalctl -u flowsyncd)"
            )
        case EPIPE, ECONNRESET:
            CommandFailure(text: "\(socketPath): \(ResponseReader.Defect.cutOff)")
        default:
            CommandFailure(text: "\(socketPath): \(error)")
        }
    }
}
