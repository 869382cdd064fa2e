internal import Glibc
internal import Lab

/// A netfilter netlink socket with nothing around it: what a program needs at the least.
final class NetlinkPipe {
    /// What one receive call brought.
    enum Reception {
        /// That many bytes.
        case bytes(Int)
        /// Nothing waits.
        case nothing
        /// The kernel threw messages away because the buffer was full.
        case overrun
    }

    private static let protocolNetfilter: Int32 = 12
    private static let solNetlink: Int32 = 270
    private static let capAcknowledgements: Int32 = 10

    let descriptor: Int32
    /// Where received messages lie.
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)

    /// Opens a socket that hears the groups of this mask, with a receive buffer of that size.
    init(groups: UInt32 = 0, receiveBufferByteCount: Int = 1 << 20) throws(LabError) {
        let type = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        descriptor = socket(AF_NETLINK, type, Self.protocolNetfilter)
        guard descriptor >= 0 else { throw LabError(call: "socket", errno: errno, "netfilter netlink") }
        var size = Int32(receiveBufferByteCount)
        guard setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &size, 4) == 0 else {
            throw LabError(call: "setsockopt", errno: errno, "SO_RCVBUFFORCE \(receiveBufferByteCount)")
        }
        // Refusals come without the request in them.
        var on: Int32 = 1
        setsockopt(descriptor, Self.solNetlink, Self.capAcknowledgements, &on, 4)
        // struct sockaddr_nl: family, padding, port (0: the kernel chooses), groups.
        var address: (UInt16, UInt16, UInt32, UInt32) = (UInt16(AF_NETLINK), 0, 0, groups)
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, 12) }
        }
        guard bound == 0 else { throw LabError(call: "bind", errno: errno, "netfilter netlink") }
    }

    deinit {
        close(descriptor)
        buffer.deallocate()
    }

    /// Sends a batch; the kernel has handled it when this returns.
    func send(_ bytes: UnsafeRawBufferPointer) throws(LabError) {
        while Glibc.send(descriptor, bytes.baseAddress, bytes.count, 0) < 0 {
            if errno != EINTR { throw LabError(call: "send", errno: errno, "netfilter netlink") }
        }
    }

    /// Receives into `buffer` what waits.
    func receive() throws(LabError) -> Reception {
        while true {
            let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
            if count >= 0 { return .bytes(count) }
            switch errno {
            case EINTR: continue
            case EAGAIN: return .nothing
            case ENOBUFS: return .overrun
            default: throw LabError(call: "recv", errno: errno, "netfilter netlink")
            }
        }
    }

    /// Waits for something to receive; false after the time.
    func wait(milliseconds: Int32) -> Bool {
        var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&request, 1, milliseconds) > 0
    }
}
