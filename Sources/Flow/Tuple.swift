/// IP protocol numbers that conntrack knows by name (IANA, `linux/in.h`).
public enum IPProtocol {
    /// ICMP for IPv4.
    public static let icmp: UInt8 = 1
    /// TCP.
    public static let tcp: UInt8 = 6
    /// UDP.
    public static let udp: UInt8 = 17
    /// DCCP.
    public static let dccp: UInt8 = 33
    /// GRE.
    public static let gre: UInt8 = 47
    /// ICMP for IPv6.
    public static let icmpv6: UInt8 = 58
    /// SCTP.
    public static let sctp: UInt8 = 132
    /// UDP-Lite.
    public static let udplite: UInt8 = 136

    /// The names used in configuration and dumps, with their numbers.
    public static let names: [(name: String, number: UInt8)] = [
        ("tcp", tcp), ("udp", udp), ("icmp", icmp), ("icmpv6", icmpv6), ("sctp", sctp), ("gre", gre),
        ("dccp", dccp), ("udplite", udplite),
    ]

    /// Whether this protocol's flows are told apart by two 16-bit ports (for GRE: keys).
    @inlinable
    public static func hasPorts(_ number: UInt8) -> Bool {
        switch number {
        case tcp, udp, dccp, gre, sctp, udplite: true
        default: false
        }
    }

    /// Whether this is ICMP or ICMPv6, whose flows are told apart by type, code and identifier.
    @inlinable
    public static func isICMP(_ number: UInt8) -> Bool {
        number == icmp || number == icmpv6
    }
}

/// What tells the flows between two addresses apart: ports, GRE keys, or ICMP type, code and identifier.
///
/// Layout of `raw` (4 bytes as they lie in memory): ports and GRE keys are two 16-bit words in network order, source
/// first. ICMP is the identifier in network order, then type, then code. 0 for protocols that have neither.
public struct ProtocolKey: Hashable, BitwiseCopyable, Sendable {
    /// The four bytes as they lie in memory.
    public var raw: UInt32

    /// A key of four bytes as they lie in memory.
    @inlinable
    public init(raw: UInt32) { self.raw = raw }

    /// A key of two ports (or GRE keys) in host order.
    @inlinable
    public init(sourcePort: UInt16, destinationPort: UInt16) {
        raw = (UInt32(sourcePort) << 16 | UInt32(destinationPort)).bigEndian
    }

    /// A key of an ICMP identifier in host order, a type and a code.
    @inlinable
    public init(icmpIdentifier: UInt16, type: UInt8, code: UInt8) {
        raw = (UInt32(icmpIdentifier) << 16 | UInt32(type) << 8 | UInt32(code)).bigEndian
    }

    /// The source port or GRE key, host order.
    @inlinable public var sourcePort: UInt16 { UInt16(truncatingIfNeeded: raw.bigEndian >> 16) }
    /// The destination port or GRE key, host order.
    @inlinable public var destinationPort: UInt16 { UInt16(truncatingIfNeeded: raw.bigEndian) }
    /// The ICMP identifier, host order.
    @inlinable public var icmpIdentifier: UInt16 { sourcePort }
    /// The ICMP type.
    @inlinable public var icmpType: UInt8 { UInt8(truncatingIfNeeded: raw.bigEndian >> 8) }
    /// The ICMP code.
    @inlinable public var icmpCode: UInt8 { UInt8(truncatingIfNeeded: raw.bigEndian) }

    /// The key of the packets that answer: ports swapped, ICMP request turned into its reply.
    ///
    /// The ICMP pairs are those of the kernel's `invmap` (`nf_conntrack_proto_icmp.c`, `…icmpv6.c`); other types have
    /// no answer and stay as they are.
    @inlinable
    public func inverted(protocolNumber: UInt8) -> ProtocolKey {
        if IPProtocol.hasPorts(protocolNumber) {
            return ProtocolKey(sourcePort: destinationPort, destinationPort: sourcePort)
        }
        guard IPProtocol.isICMP(protocolNumber) else { return self }
        let inverse: UInt8 =
            switch (protocolNumber, icmpType) {
            case (IPProtocol.icmp, 8): 0
            case (IPProtocol.icmp, 0): 8
            case (IPProtocol.icmp, 13): 14
            case (IPProtocol.icmp, 14): 13
            case (IPProtocol.icmp, 15): 16
            case (IPProtocol.icmp, 16): 15
            case (IPProtocol.icmp, 17): 18
            case (IPProtocol.icmp, 18): 17
            case (IPProtocol.icmpv6, 128): 129
            case (IPProtocol.icmpv6, 129): 128
            case (IPProtocol.icmpv6, 139): 140
            case (IPProtocol.icmpv6, 140): 139
            default: icmpType
            }
        return ProtocolKey(icmpIdentifier: icmpIdentifier, type: inverse, code: icmpCode)
    }
}

/// One direction of a flow: addresses, protocol and protocol key.
public struct Tuple: Hashable, BitwiseCopyable, Sendable {
    /// The address that sends in this direction.
    public var source: Address
    /// The address that receives in this direction.
    public var destination: Address
    /// Ports, GRE keys or ICMP type, code and identifier.
    public var key: ProtocolKey
    /// The IP protocol number.
    public var protocolNumber: UInt8
    /// The family of both addresses.
    public var family: AddressFamily

    /// A tuple of its parts.
    @inlinable
    public init(
        source: Address,
        destination: Address,
        key: ProtocolKey,
        protocolNumber: UInt8,
        family: AddressFamily
    ) {
        self.source = source
        self.destination = destination
        self.key = key
        self.protocolNumber = protocolNumber
        self.family = family
    }

    /// The tuple of the packets that answer when nothing is translated.
    @inlinable
    public var inverted: Tuple {
        Tuple(
            source: destination,
            destination: source,
            key: key.inverted(protocolNumber: protocolNumber),
            protocolNumber: protocolNumber,
            family: family
        )
    }
}
