internal import Glibc
internal import Lab

/// The sync network without a protocol: datagrams to the lab's multicast group, and their end.
enum SyncFloor {
    private static let group = "225.0.0.50"
    /// As much as fits into an Ethernet frame, less what a protocol would put before it.
    private static let payloadByteCount = 1_400

    /// Receives what comes once per millisecond and drops it.
    static func receive(_ ready: () -> Void) throws(LabError) {
        let descriptor = try open()
        defer { close(descriptor) }
        var size: Int32 = 64 << 20
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &size, 4)
        var membership = membership
        let byteCount = socklen_t(MemoryLayout<ip_mreqn>.size)
        guard setsockopt(descriptor, Int32(IPPROTO_IP), IP_ADD_MEMBERSHIP, &membership, byteCount) == 0 else {
            throw LabError(call: "setsockopt", errno: errno, "IP_ADD_MEMBERSHIP")
        }
        let bound = withAddress { bind(descriptor, $0, $1) }
        guard bound == 0 else { throw LabError(call: "bind", errno: errno, "port \(LabAddress.syncPort)") }
        var buffer = [UInt8](repeating: 0, count: 65_536)
        ready()
        while true {
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            _ = poll(&waiting, 1, -1)
            while recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT)) >= 0 {}
            usleep(1_000)
        }
    }

    /// Sends so many bytes as fast as the link takes them.
    static func send(_ byteCount: Int) throws(LabError) {
        let descriptor = try open()
        defer { close(descriptor) }
        var membership = membership
        setsockopt(descriptor, Int32(IPPROTO_IP), IP_MULTICAST_IF, &membership, socklen_t(MemoryLayout<ip_mreqn>.size))
        let payload = [UInt8](repeating: 0, count: payloadByteCount)
        var left = byteCount
        while left > 0 {
            let part = min(left, payloadByteCount)
            let sent = withAddress { sendto(descriptor, payload, part, 0, $0, $1) }
            guard sent == part else { throw LabError(call: "sendto", errno: errno, group) }
            left -= part
        }
    }

    private static func open() throws(LabError) -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        guard descriptor >= 0 else { throw LabError(call: "socket", errno: errno) }
        return descriptor
    }

    private static var membership: ip_mreqn {
        var request = ip_mreqn()
        inet_pton(AF_INET, group, &request.imr_multiaddr)
        request.imr_ifindex = Int32(if_nametoindex(SyncNetwork.sync.rawValue))
        return request
    }

    private static func withAddress<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(LabAddress.syncPort).bigEndian
        inet_pton(AF_INET, group, &address.sin_addr)
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, 16) }
        }
    }
}
