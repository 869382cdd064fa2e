internal import CNetfilter
internal import Glibc
internal import SystemIO

/// A netfilter netlink socket, non-blocking, closed when its owner goes.
///
/// It belongs to the network namespace of the thread that opened it.
@safe struct NetlinkSocket: ~Copyable, @unchecked Sendable {
    /// What a receive call found.
    enum Reception {
        /// That many bytes of whole messages.
        case bytes(Int)
        /// Nothing is waiting.
        case wouldBlock
        /// The socket's buffer was full and messages were lost since the last call (`ENOBUFS`).
        case overrun
    }

    // SAFETY of `@unchecked Sendable` and of every `unsafe` below: the pointer is this value's alone from open to
    // deinit, and libmnl keeps no state behind it but the descriptor and the address it was bound to.
    private let socket: OpaquePointer
    private let purpose: String

    private init(adopting socket: OpaquePointer, purpose: String) {
        unsafe self.socket = socket
        self.purpose = purpose
    }

    deinit {
        _ = unsafe mnl_socket_close(socket)
    }

    /// Opens a socket that is not bound yet.
    ///
    /// - Parameter purpose: names the socket in errors, such as "conntrack events".
    static func open(purpose: String) throws(SystemError) -> NetlinkSocket {
        let flags = Int32(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        guard let socket = unsafe mnl_socket_open2(NETLINK_NETFILTER, flags) else {
            throw SystemError(call: "socket", errno: errno, context: purpose)
        }
        return unsafe NetlinkSocket(adopting: socket, purpose: purpose)
    }

    /// Gives the socket its port ID, chosen by the kernel, and subscribes to the groups of the mask.
    func bind(groups: UInt32 = 0) throws(SystemError) {
        try check("bind", unsafe mnl_socket_bind(socket, groups, MNL_SOCKET_AUTOPID))
    }

    var descriptor: Int32 { unsafe mnl_socket_get_fd(socket) }

    /// The port ID the kernel knows the socket by; 0 before `bind`.
    var portID: UInt32 { unsafe mnl_socket_get_portid(socket) }

    /// Sets an integer option of level SOL_NETLINK.
    func setNetlinkOption(_ option: Int32, _ name: String, to value: Int32) throws(SystemError) {
        var value = value
        try check(name, unsafe mnl_socket_setsockopt(socket, option, &value, socklen_t(MemoryLayout<Int32>.size)))
    }

    /// Asks for a receive buffer and returns the byte count that is in force.
    ///
    /// Past `net.core.rmem_max` that takes CAP_NET_ADMIN; without it the buffer is as large as the limit allows.
    func setReceiveBuffer(byteCount: Int) throws(SystemError) -> Int {
        var wanted = Int32(clamping: byteCount)
        let size = socklen_t(MemoryLayout<Int32>.size)
        if unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &wanted, size) != 0 {
            try check("setsockopt(SO_RCVBUF)", unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &wanted, size))
        }
        return try receiveBufferByteCount()
    }

    /// Bytes of the receive buffer as an operator would configure it: the kernel reports twice that.
    func receiveBufferByteCount() throws(SystemError) -> Int {
        var actual: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        try check("getsockopt(SO_RCVBUF)", unsafe getsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &actual, &size))
        return Int(actual) / 2
    }

    /// Sends whole messages to the kernel, which handles them before this returns.
    func send(_ bytes: RawSpan) throws(SystemError) {
        while true {
            let sent = unsafe bytes.withUnsafeBytes { unsafe mnl_socket_sendto(socket, $0.baseAddress, $0.count) }
            let number = errno
            if sent >= 0 { return }
            if number != EINTR { throw SystemError(call: "sendto", errno: number, context: purpose) }
        }
    }

    /// Receives what one call gives into `buffer`.
    func receive(into buffer: borrowing ReceiveBuffer) throws(SystemError) -> Reception {
        while true {
            let received = unsafe buffer.withMemory { memory in
                unsafe mnl_socket_recvfrom(socket, memory.baseAddress, memory.count)
            }
            let number = errno
            if received >= 0 { return .bytes(received) }
            switch number {
            case EINTR: continue
            case EAGAIN: return .wouldBlock
            case ENOBUFS: return .overrun
            default: throw SystemError(call: "recvmsg", errno: number, context: purpose)
            }
        }
    }

    private func check(_ call: String, _ result: Int32) throws(SystemError) {
        guard result != 0 else { return }
        throw SystemError(call: call, errno: errno, context: purpose)
    }
}
