internal import Glibc
public import SystemIO

/// Echoes whatever arrives, TCP and UDP, IPv4 and IPv6, in one thread.
public struct TrafficServer: ~Copyable {
    private var loop: EventLoop
    private let listeners: [Int32]
    private let datagramSockets: [Int32]
    private var buffer = [UInt8](repeating: 0, count: 65_536)

    /// Listens on all addresses.
    public init(port: Int) throws {
        raiseDescriptorLimit()
        let listeners = [
            try openServerSocket(.tcp, "0.0.0.0", port: port), try openServerSocket(.tcp, "::", port: port),
        ]
        let datagramSockets = [
            try openServerSocket(.udp, "0.0.0.0", port: port), try openServerSocket(.udp, "::", port: port),
        ]
        let loop = try EventLoop.open()
        for descriptor in listeners + datagramSockets {
            try loop.add(descriptor, token: UInt64(descriptor), interest: .readable)
        }
        self.loop = loop
        self.listeners = listeners
        self.datagramSockets = datagramSockets
    }

    /// Serves until the process is killed.
    public mutating func run() throws(SystemError) {
        while true {
            let count = try loop.wait(timeoutMilliseconds: -1)
            for index in 0..<count {
                let descriptor = Int32(loop.ready(at: index).token)
                if listeners.contains(descriptor) {
                    try acceptAll(descriptor)
                } else if datagramSockets.contains(descriptor) {
                    echoDatagrams(descriptor)
                } else {
                    echoStream(descriptor)
                }
            }
        }
    }

    private func acceptAll(_ listener: Int32) throws(SystemError) {
        while true {
            let descriptor = accept(listener, nil, nil)
            guard descriptor >= 0 else { return }
            _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
            setOption(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY)
            try loop.add(descriptor, token: UInt64(descriptor), interest: .readable)
        }
    }

    private mutating func echoDatagrams(_ descriptor: Int32) {
        while true {
            var source = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            withUnsafeMutablePointer(to: &source) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                    let count = recvfrom(descriptor, &buffer, buffer.count, 0, address, &length)
                    if count >= 0 { sendto(descriptor, buffer, count, 0, address, length) } else { length = 0 }
                }
            }
            if length == 0 { return }
        }
    }

    /// A connection that ended or cannot take its echo is closed.
    private mutating func echoStream(_ descriptor: Int32) {
        let count = read(descriptor, &buffer, buffer.count)
        if count < 0, errno == EAGAIN { return }
        if count <= 0 || send(descriptor, buffer, count, Int32(MSG_NOSIGNAL)) != count { close(descriptor) }
    }
}
