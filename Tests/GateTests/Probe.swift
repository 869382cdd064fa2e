import Foundation
import Testing

/// A packet that a test sends from the client, marked by a DSCP value that nothing else here uses.
enum Probe: Sendable {
    /// A UDP datagram of 8 bytes.
    case udp(to: String, from: String? = nil, sourcePort: UInt16 = 0, port: UInt16 = 4_000)
    /// A TCP segment with a wrong checksum: conntrack finds it invalid.
    case brokenTCP(to: String)
    /// A neighbour solicitation with a wrong checksum: conntrack finds it invalid.
    case brokenSolicitation(from: String, to: String)
    /// An ICMP "port unreachable" about a datagram that came from `inner`.
    case unreachable(to: String, about: Datagram)

    /// A datagram that an ICMP error quotes.
    struct Datagram: Sendable {
        let source: String
        let sourcePort: UInt16
        let destination: String
        let port: UInt16
    }

    static let dscp = 18
    private static let trafficClass = UInt8(dscp << 2)

    /// Bytes of `udp` with its headers.
    static func udpByteCount(isIPv6: Bool) -> UInt64 { isIPv6 ? 40 + 8 + 8 : 20 + 8 + 8 }

    /// Sends it from the calling thread's namespace.
    func send() throws {
        switch self {
        case .udp(let destination, let source, let sourcePort, let port):
            let socket = try TestSocket(to: destination, Int32(SOCK_DGRAM.rawValue), 0)
            if source != nil || sourcePort != 0 { try socket.bind(to: source, port: sourcePort) }
            try socket.send(Array("flowsync".utf8), port: port)
        case .brokenTCP(let destination):
            // Ports, sequence numbers, five words of header with ACK set, a window; no checksum.
            let header: [UInt8] = [0x0f, 0xa0, 0x0f, 0xa1, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0]
            try TestSocket(to: destination, Int32(SOCK_RAW.rawValue), Int32(IPPROTO_TCP)).send(header, port: 0)
        case .brokenSolicitation(let source, let destination):
            let target = Self.bytes(of: destination)
            let message: [UInt8] = [135, 0, 0xff, 0xff, 0, 0, 0, 0] + target
            // The whole header, since the kernel would set the checksum of an ICMPv6 socket right.
            let head: [UInt8] = [0x60 | Self.trafficClass >> 4, Self.trafficClass << 4, 0, 0]
            let header = head + [0, UInt8(message.count), 58, 255] + Self.bytes(of: source) + target
            try TestSocket(to: destination, Int32(SOCK_RAW.rawValue), Int32(IPPROTO_RAW)).send(
                header + message,
                port: 0
            )
        case .unreachable(let destination, let datagram):
            try sendUnreachable(to: destination, about: datagram)
        }
    }

    private func sendUnreachable(to destination: String, about datagram: Datagram) throws {
        let addresses = Self.bytes(of: datagram.source) + Self.bytes(of: datagram.destination)
        let ports = datagram.sourcePort.bytes + datagram.port.bytes
        let udp = ports + [0, 16, 0, 0]
        if destination.contains(":") {
            // The kernel fills in the checksum of an ICMPv6 socket.
            let quoted: [UInt8] = [0x60, 0, 0, 0, 0, 16, 17, 64] + addresses + udp + Array("flowsync".utf8)
            let socket = try TestSocket(to: destination, Int32(SOCK_RAW.rawValue), 58)
            try socket.send([1, 4, 0, 0, 0, 0, 0, 0] + quoted, port: 0)
        } else {
            var header: [UInt8] = [0x45, 0, 0, 36, 0, 1, 0, 0, 64, 17, 0, 0] + addresses
            header.replaceSubrange(10..<12, with: Self.checksum(header).bytes)
            var message: [UInt8] = [3, 3, 0, 0, 0, 0, 0, 0] + header + udp + Array("flowsync".utf8)
            message.replaceSubrange(2..<4, with: Self.checksum(message).bytes)
            try TestSocket(to: destination, Int32(SOCK_RAW.rawValue), Int32(IPPROTO_ICMP)).send(message, port: 0)
        }
    }

    /// The bytes of an address in network order.
    private static func bytes(of address: String) -> [UInt8] {
        let isIPv6 = address.contains(":")
        var bytes = [UInt8](repeating: 0, count: isIPv6 ? 16 : 4)
        precondition(inet_pton(isIPv6 ? AF_INET6 : AF_INET, address, &bytes) == 1, "no address: \(address)")
        return bytes
    }

    /// The Internet checksum of an even number of bytes.
    private static func checksum(_ bytes: [UInt8]) -> UInt16 {
        var sum: UInt32 = 0
        for index in stride(from: 0, to: bytes.count, by: 2) {
            sum += UInt32(bytes[index]) << 8 | UInt32(bytes[index + 1])
        }
        while sum > 0xffff { sum = sum >> 16 + sum & 0xffff }
        return ~UInt16(sum)
    }

    /// A socket that sends marked packets to one address.
    private final class TestSocket {
        private let descriptor: Int32
        private let destination: String
        private var isIPv6: Bool { destination.contains(":") }

        init(to destination: String, _ type: Int32, _ protocolNumber: Int32) throws {
            let isIPv6 = destination.contains(":")
            self.destination = destination
            descriptor = socket(isIPv6 ? AF_INET6 : AF_INET, type | Int32(SOCK_CLOEXEC.rawValue), protocolNumber)
            try #require(descriptor >= 0, "socket: errno \(errno)")
            var mark = Int32(Probe.trafficClass)
            var on: Int32 = 1
            let size = socklen_t(MemoryLayout<Int32>.size)
            // A process that another test starts holds a closed socket until it has become another program.
            setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, size)
            if isIPv6 {
                setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_TCLASS, &mark, size)
            } else {
                setsockopt(descriptor, Int32(IPPROTO_IP), IP_TOS, &mark, size)
                setsockopt(descriptor, SOL_SOCKET, SO_BROADCAST, &on, size)
            }
        }

        deinit { close(descriptor) }

        func bind(to source: String?, port: UInt16) throws {
            let result = withAddress(source ?? (isIPv6 ? "::" : "0.0.0.0"), port) { Glibc.bind(descriptor, $0, $1) }
            try #require(result == 0, "bind: errno \(errno)")
        }

        func send(_ bytes: [UInt8], port: UInt16) throws {
            let sent = withAddress(destination, port) { sendto(descriptor, bytes, bytes.count, 0, $0, $1) }
            try #require(sent == bytes.count, "sendto \(destination): errno \(errno)")
        }

        private func withAddress<Result>(
            _ text: String,
            _ port: UInt16,
            _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
        ) -> Result {
            if isIPv6 {
                var address = sockaddr_in6()
                address.sin6_family = sa_family_t(AF_INET6)
                address.sin6_port = port.bigEndian
                // Multicast of link scope needs to know the link.
                if text.hasPrefix("ff02") { address.sin6_scope_id = if_nametoindex("e0") }
                inet_pton(AF_INET6, text, &address.sin6_addr)
                return withPointer(to: &address, body)
            }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            inet_pton(AF_INET, text, &address.sin_addr)
            return withPointer(to: &address, body)
        }

        private func withPointer<Address, Result>(
            to address: inout Address,
            _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
        ) -> Result {
            withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<Address>.size))
                }
            }
        }
    }
}

extension UInt16 {
    /// The two bytes in network order.
    fileprivate var bytes: [UInt8] { [UInt8(self >> 8), UInt8(self & 0xff)] }
}
