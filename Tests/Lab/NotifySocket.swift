internal import Glibc

/// The receiving end of the service manager's notification protocol (sd_notify).
public final class NotifySocket: @unchecked Sendable {
    /// The value of `NOTIFY_SOCKET`.
    public let path: String
    private let descriptor: Int32
    /// Every line received so far, with the time it came.
    public private(set) var lines: [(seconds: Double, text: String)] = []

    /// Binds a socket at a path.
    public init(path: String) throws(LabError) {
        self.path = path
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw LabError(call: "socket", errno: errno) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw LabError("too long for a socket: \(path)")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else { throw LabError(call: "bind", errno: errno, path) }
    }

    deinit {
        close(descriptor)
    }

    /// Reads notifications until a line with this start has come `count` times in all; false if the time passes first.
    public func wait(for start: String, count: Int = 1, within seconds: Double) -> Bool {
        let deadline = Clock.seconds + seconds
        while true {
            if lines.count(where: { $0.text.hasPrefix(start) }) >= count { return true }
            var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let left = deadline - Clock.seconds
            guard left > 0, poll(&request, 1, Int32(left * 1_000) + 1) >= 0 else { return false }
            guard request.revents != 0 else { continue }
            var buffer = [UInt8](repeating: 0, count: 4_096)
            let byteCount = recv(descriptor, &buffer, buffer.count, 0)
            guard byteCount > 0 else { continue }
            let text = String(decoding: buffer[..<byteCount], as: UTF8.self)
            lines += text.split(separator: "\n").map { (Clock.seconds, String($0)) }
        }
    }
}
