internal import Glibc

/// An IPv4 or IPv6 address with a port, as sockets want it.
struct SocketAddress {
    var storage = sockaddr_storage()
    var byteCount: socklen_t
    var family: Int32 { Int32(storage.ss_family) }

    /// An address as a system call filled it in.
    init(storage: sockaddr_storage, byteCount: socklen_t) {
        self.storage = storage
        self.byteCount = byteCount
    }

    /// An address of its text form.
    init(_ text: String, port: Int) throws(LabError) {
        if text.contains(":") {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = in_port_t(port).bigEndian
            guard inet_pton(AF_INET6, text, &address.sin6_addr) == 1 else { throw LabError("no IPv6 address: \(text)") }
            byteCount = socklen_t(MemoryLayout<sockaddr_in6>.size)
            withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: address, as: sockaddr_in6.self) }
        } else {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = in_port_t(port).bigEndian
            guard inet_pton(AF_INET, text, &address.sin_addr) == 1 else { throw LabError("no IPv4 address: \(text)") }
            byteCount = socklen_t(MemoryLayout<sockaddr_in>.size)
            withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: address, as: sockaddr_in.self) }
        }
    }

    /// Calls `body` with the address as C functions take it.
    func withPointer(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        var copy = storage
        return withUnsafeMutablePointer(to: &copy) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, byteCount) }
        }
    }
}

/// The transports of the lab's traffic.
public enum TrafficProtocol: String, Sendable {
    /// Streams.
    case tcp
    /// Datagrams.
    case udp
}

/// A non-blocking socket.
func openSocket(_ kind: TrafficProtocol, family: Int32) throws(LabError) -> Int32 {
    let type = kind == .tcp ? SOCK_STREAM : SOCK_DGRAM
    let flags = Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    let descriptor = socket(family, Int32(type.rawValue) | flags, 0)
    guard descriptor >= 0 else { throw LabError(call: "socket", errno: errno) }
    return descriptor
}

/// Switches an integer socket option on.
func setOption(_ descriptor: Int32, _ level: Int32, _ option: Int32, _ value: Int32 = 1) {
    var value = value
    setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
}

/// A socket bound to an address; TCP listens.
func openServerSocket(_ kind: TrafficProtocol, _ address: String, port: Int) throws(LabError) -> Int32 {
    let local = try SocketAddress(address, port: port)
    let descriptor = try openSocket(kind, family: local.family)
    setOption(descriptor, SOL_SOCKET, SO_REUSEADDR)
    if local.family == AF_INET6 { setOption(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY) }
    if kind == .udp { setOption(descriptor, SOL_SOCKET, SO_RCVBUF, 1 << 20) }
    guard local.withPointer({ bind(descriptor, $0, $1) }) == 0 else {
        throw LabError(call: "bind", errno: errno, "\(address) port \(port)")
    }
    if kind == .tcp, listen(descriptor, 8_192) != 0 { throw LabError(call: "listen", errno: errno) }
    return descriptor
}

/// A socket that connects from one address to another; TCP is still on its way when this returns.
func openClientSocket(
    _ kind: TrafficProtocol,
    from source: SocketAddress,
    to destination: SocketAddress
) throws(LabError) -> Int32 {
    let descriptor = try openSocket(kind, family: destination.family)
    // The port is chosen at connect time, when the destination is known: otherwise a source address would have no
    // more ports than there are, whatever it talks to.
    setOption(descriptor, Int32(IPPROTO_IP), 24)  // IP_BIND_ADDRESS_NO_PORT
    guard source.withPointer({ bind(descriptor, $0, $1) }) == 0 else {
        let code = errno
        close(descriptor)
        throw LabError(call: "bind", errno: code)
    }
    let result = destination.withPointer { connect(descriptor, $0, $1) }
    guard result == 0 || errno == EINPROGRESS else {
        let code = errno
        close(descriptor)
        throw LabError(call: "connect", errno: code)
    }
    return descriptor
}

/// Lets this process hold as many descriptors as the system permits: thousands of connections need them.
public func raiseDescriptorLimit() {
    var limit = rlimit(rlim_cur: 262_144, rlim_max: 262_144)
    if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) != 0 {
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}
