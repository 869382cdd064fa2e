internal import CNFTables
internal import Glibc
internal import SystemIO

/// A netlink socket for nf_tables, non-blocking, closed when its last user lets go of it; the kernel then removes the
/// tables that it owns, before `close` returns.
///
/// It belongs to the network namespace of the thread that opened it. Conntrack's socket is not used here, because it
/// and its buffers are made for a hundred thousand events per second (spans into memory that is used again, inlined
/// within their module): sharing them would either slow that down or force their ways on a module that talks to the
/// kernel twice per takeover.
final class GateSocket: Sendable {
    /// What the kernel has answered.
    struct Reception {
        var answers: [NetlinkAnswer] = []
        /// Whether answers were lost for want of room (`ENOBUFS`).
        var hasOverrun = false
    }

    /// What the socket is for, in errors.
    private static let purpose = "nf_tables"
    /// A batch of ten thousand addresses fits twice.
    private static let sendBufferByteCount: Int32 = 1 << 20

    private let descriptor: OwnedDescriptor
    /// The number by which the kernel knows the socket, and the owner of a table.
    let portID: UInt32

    /// Opens the socket in the calling thread's network namespace.
    ///
    /// - Parameter receiveBufferByteCount: Room for the kernel's answers; it makes it no smaller than its own minimum.
    init(receiveBufferByteCount: Int) throws(SystemError) {
        let type = Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let number = socket(AF_NETLINK, type, NETLINK_NETFILTER)
        guard number >= 0 else {
            throw SystemError(call: "socket", errno: errno, context: Self.purpose)
        }
        let descriptor = OwnedDescriptor(adopting: number)
        // Answers without the request in them: they are numbered.
        try Self.set(descriptor, SOL_NETLINK, Int32(NETLINK_CAP_ACK), to: 1, "NETLINK_CAP_ACK")
        try Self.makeBuffers(descriptor, receiveBufferByteCount)
        portID = try Self.bind(descriptor)
        self.descriptor = descriptor
    }

    /// Sends a batch or a request, which the kernel handles before this returns.
    func send(_ bytes: [UInt8]) throws(SystemError) {
        while true {
            // SAFETY: the array's memory is valid for the call, and the kernel only reads it.
            let sent = unsafe bytes.withUnsafeBytes { memory in
                unsafe Glibc.send(descriptor.rawValue, memory.baseAddress, memory.count, 0)
            }
            let number = errno
            if sent >= 0 { return }
            if number != EINTR { throw SystemError(call: "send", errno: number, context: Self.purpose) }
        }
    }

    /// Takes everything that the kernel has answered.
    func receive() throws(SystemError) -> Reception {
        var reception = Reception()
        while true {
            var received = 0
            // SAFETY: the kernel writes at most `count` bytes, and the array takes over as many as it wrote.
            let bytes = unsafe [UInt8](unsafeUninitializedCapacity: 32_768) { memory, initializedCount in
                received = unsafe recv(descriptor.rawValue, memory.baseAddress, memory.count, 0)
                initializedCount = max(received, 0)
            }
            let number = errno
            if received >= 0 {
                reception.answers += NetlinkAnswer.list(bytes)
                continue
            }
            switch number {
            case EINTR: continue
            case EAGAIN: return reception
            case ENOBUFS: reception.hasOverrun = true
            default: throw SystemError(call: "recv", errno: number, context: Self.purpose)
            }
        }
    }

    /// Makes the buffers as large as asked for.
    ///
    /// Past the system's limits that takes CAP_NET_ADMIN; without it they are as large as the limits allow, and the
    /// first request says what is missing.
    private static func makeBuffers(
        _ descriptor: borrowing OwnedDescriptor,
        _ receiveByteCount: Int
    ) throws(SystemError) {
        let sizes = [
            (SO_RCVBUFFORCE, SO_RCVBUF, Int32(clamping: receiveByteCount), "SO_RCVBUF"),
            (SO_SNDBUFFORCE, SO_SNDBUF, sendBufferByteCount, "SO_SNDBUF"),
        ]
        for (forced, asked, byteCount, name) in sizes {
            do throws(SystemError) {
                try set(descriptor, SOL_SOCKET, forced, to: byteCount, name)
            } catch {
                try set(descriptor, SOL_SOCKET, asked, to: byteCount, name)
            }
        }
    }

    private static func set(
        _ descriptor: borrowing OwnedDescriptor,
        _ level: Int32,
        _ option: Int32,
        to value: Int32,
        _ name: String
    ) throws(SystemError) {
        var value = value
        // SAFETY: the option is an int, and its size is given as that.
        let result = unsafe setsockopt(
            descriptor.rawValue,
            level,
            option,
            &value,
            socklen_t(MemoryLayout<Int32>.size)
        )
        guard result == 0 else {
            throw SystemError(call: "setsockopt(\(name))", errno: errno, context: purpose)
        }
    }

    /// Lets the kernel choose the port ID, and take nobody else's messages to it; returns the ID.
    private static func bind(_ descriptor: borrowing OwnedDescriptor) throws(SystemError) -> UInt32 {
        var address = sockaddr_nl()
        address.nl_family = sa_family_t(AF_NETLINK)
        var size = socklen_t(MemoryLayout<sockaddr_nl>.size)
        let number = descriptor.rawValue
        // SAFETY: a sockaddr_nl is what these calls expect of this family, and they are told its size.
        let (call, result) = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                address -> (String, Int32) in
                if unsafe Glibc.bind(number, address, size) != 0 { return ("bind", errno) }
                // Connected to the kernel (port ID 0), the socket refuses what other processes send to it.
                if unsafe connect(number, address, size) != 0 { return ("connect", errno) }
                return unsafe getsockname(number, address, &size) == 0 ? ("", 0) : ("getsockname", errno)
            }
        }
        guard result == 0 else { throw SystemError(call: call, errno: result, context: purpose) }
        return address.nl_pid
    }
}
