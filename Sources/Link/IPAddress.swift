internal import CLinux
internal import Glibc

/// An IPv4 or IPv6 address of a node's interface or of a peer.
public struct IPAddress: Hashable, Sendable, BitwiseCopyable, CustomStringConvertible {
    /// The two kinds of addresses.
    public enum Family: UInt8, Sendable, BitwiseCopyable {
        /// IPv4, 4 bytes.
        case v4 = 4
        /// IPv6, 16 bytes.
        case v6 = 6

        /// The name as operators write it.
        public var name: String { self == .v4 ? "IPv4" : "IPv6" }
    }

    /// The kind of this address.
    public let family: Family
    /// The first eight bytes, as they lie in memory in network order; of an IPv4 address the first four are used.
    public let high: UInt64
    /// The last eight bytes, as they lie in memory; 0 for IPv4.
    public let low: UInt64

    /// Reads an address as people write it; nil if it is none.
    ///
    /// A scope such as `%eth2` is no part of an address: a link has its interface anyway.
    public init?(_ text: String) {
        var words: (UInt64, UInt64) = (0, 0)
        // SAFETY: inet_pton writes 4 or 16 bytes, the destination holds 16; the text is NUL-terminated for the call.
        let isV4 = unsafe withUnsafeMutableBytes(of: &words) { unsafe inet_pton(AF_INET, text, $0.baseAddress) } == 1
        if !isV4 {
            words = (0, 0)
            let isV6 =
                unsafe withUnsafeMutableBytes(of: &words) { unsafe inet_pton(AF_INET6, text, $0.baseAddress) } == 1
            guard isV6 else { return nil }
        }
        self.init(family: isV4 ? .v4 : .v6, high: words.0, low: words.1)
    }

    init(family: Family, high: UInt64, low: UInt64) {
        self.family = family
        self.high = high
        self.low = low
    }

    /// The address in a C endpoint; nil if there is none in it.
    init?(_ endpoint: clinux_endpoint) {
        guard let family = Family(rawValue: endpoint.family) else { return nil }
        self.init(family: family, high: endpoint.address.0, low: endpoint.address.1)
    }

    /// The address as the kernel wants it; an IPv6 address of link scope means something only on an interface.
    func endpoint(port: UInt16, interfaceIndex: UInt32) -> clinux_endpoint {
        clinux_endpoint(
            address: (high, low),
            scope: needsScope ? interfaceIndex : 0,
            port: port,
            family: family.rawValue
        )
    }

    /// The usual text form: dotted quad, or RFC 5952.
    public var description: String {
        var words = (high, low)
        return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { buffer in
            let domain = family == .v4 ? AF_INET : AF_INET6
            // SAFETY: inet_ntop reads 4 or 16 of the 16 bytes and writes at most `count` bytes, NUL included.
            let text = unsafe withUnsafeBytes(of: &words) {
                unsafe inet_ntop(domain, $0.baseAddress, buffer.baseAddress, socklen_t(buffer.count))
            }
            guard let text = unsafe text else { return "?" }
            return unsafe String(cString: text)
        }
    }

    /// Whether it names a group, not a host.
    public var isMulticast: Bool {
        family == .v4 ? byte(at: 0) & 0xf0 == 0xe0 : byte(at: 0) == 0xff
    }

    /// Whether it is `0.0.0.0` or `::`.
    public var isUnspecified: Bool { high == 0 && low == 0 }

    /// Whether it is an IPv6 address of link scope (fe80::/10), which may exist on several interfaces at once.
    public var isLinkLocal: Bool {
        family == .v6 && byte(at: 0) == 0xfe && byte(at: 1) & 0xc0 == 0x80
    }

    /// Whether the kernel wants an interface index beside it: link scope, as a host (fe80::/10) or group (ff02::/16).
    var needsScope: Bool {
        family == .v6 && (isLinkLocal || (isMulticast && byte(at: 1) & 0x0f <= 2))
    }

    private func byte(at index: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: high.littleEndian >> UInt64(index * 8))
    }
}
