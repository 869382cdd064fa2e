internal import Flow

/// The shapes in which the kernel writes the tuples of port protocols and the TCP state, nearly always.
///
/// Comparing a handful of attribute headers at fixed places costs far less than walking them one by one, and these
/// three nests are most of a message (measured: 93 ns per message against 210). Whatever looks different is walked:
/// this is a shortcut, never a requirement.
enum UsualShapes {
    /// The header of an attribute as one word: length below, type above.
    @inline(__always)
    private static func header(_ type: UInt16, payloadByteCount: UInt16, isNest: Bool = false) -> UInt32 {
        UInt32(type | (isNest ? 0x8000 : 0)) << 16 | UInt32(payloadByteCount + 4)
    }

    @inline(__always)
    private static func has(_ header: UInt32, _ span: RawSpan, at offset: Int) -> Bool {
        span.word(at: offset, as: UInt32.self).littleEndian == header
    }

    /// Decodes the payload of a tuple attribute if it has the usual shape; false, and nothing changed, if not.
    ///
    /// | IPv4 | IPv6 | attribute |
    /// | --- | --- | --- |
    /// | 0 | 0 | nest: addresses |
    /// | 4 | 4 | source |
    /// | 12 | 24 | destination |
    /// | 20 | 44 | nest: protocol |
    /// | 24 | 48 | protocol number (1) |
    /// | 32 | 56 | source port (2) |
    /// | 40 | 64 | destination port (2) |
    @inline(__always)
    static func decodeTuple(_ payload: RawSpan, _ family: AddressFamily, into tuple: inout Tuple) -> Bool {
        switch family {
        case .ipv4:
            guard payload.byteCount == 48,
                has(header(TupleAttribute.addresses, payloadByteCount: 16, isNest: true), payload, at: 0),
                has(header(TupleAttribute.ipv4Source, payloadByteCount: 4), payload, at: 4),
                has(header(TupleAttribute.ipv4Destination, payloadByteCount: 4), payload, at: 12)
            else { return false }
            guard decodePorts(payload, at: 20, into: &tuple) else { return false }
            let source = payload.word(at: 8, as: UInt32.self).littleEndian
            let destination = payload.word(at: 16, as: UInt32.self).littleEndian
            tuple.source = Address(high: UInt64(source).littleEndian, low: 0)
            tuple.destination = Address(high: UInt64(destination).littleEndian, low: 0)
        case .ipv6:
            guard payload.byteCount == 72,
                has(header(TupleAttribute.addresses, payloadByteCount: 40, isNest: true), payload, at: 0),
                has(header(TupleAttribute.ipv6Source, payloadByteCount: 16), payload, at: 4),
                has(header(TupleAttribute.ipv6Destination, payloadByteCount: 16), payload, at: 24)
            else { return false }
            guard decodePorts(payload, at: 44, into: &tuple) else { return false }
            tuple.source = Address(
                high: payload.word(at: 8, as: UInt64.self),
                low: payload.word(at: 16, as: UInt64.self)
            )
            tuple.destination = Address(
                high: payload.word(at: 28, as: UInt64.self),
                low: payload.word(at: 36, as: UInt64.self)
            )
        }
        tuple.family = family
        return true
    }

    @inline(__always)
    private static func decodePorts(_ payload: RawSpan, at start: Int, into tuple: inout Tuple) -> Bool {
        guard has(header(TupleAttribute.protocolKey, payloadByteCount: 24, isNest: true), payload, at: start),
            has(header(TupleAttribute.protocolNumber, payloadByteCount: 1), payload, at: start + 4),
            has(header(TupleAttribute.sourcePort, payloadByteCount: 2), payload, at: start + 12),
            has(header(TupleAttribute.destinationPort, payloadByteCount: 2), payload, at: start + 20)
        else { return false }
        let number = payload.word(at: start + 8, as: UInt8.self)
        guard IPProtocol.hasPorts(number) else { return false }
        tuple.protocolNumber = number
        tuple.key = ProtocolKey(
            sourcePort: UInt16(bigEndian: payload.word(at: start + 16, as: UInt16.self)),
            destinationPort: UInt16(bigEndian: payload.word(at: start + 24, as: UInt16.self))
        )
        return true
    }

    /// Decodes the payload of a protocol info attribute if it is a whole TCP state; false, and nothing changed, if not.
    ///
    /// | offset | attribute |
    /// | --- | --- |
    /// | 0 | nest: TCP |
    /// | 4 | state (1) |
    /// | 12, 20 | window scales: original, reply (1) |
    /// | 28, 36 | flags and mask: original, reply (2) |
    @inline(__always)
    static func decodeTCP(_ payload: RawSpan, into flow: inout Flow) -> Bool {
        guard payload.byteCount == 44,
            has(header(ProtocolInfoAttribute.tcp, payloadByteCount: 40, isNest: true), payload, at: 0),
            has(header(ProtocolInfoAttribute.tcpState, payloadByteCount: 1), payload, at: 4),
            has(header(ProtocolInfoAttribute.tcpWindowScaleOriginal, payloadByteCount: 1), payload, at: 12),
            has(header(ProtocolInfoAttribute.tcpWindowScaleReply, payloadByteCount: 1), payload, at: 20),
            has(header(ProtocolInfoAttribute.tcpFlagsOriginal, payloadByteCount: 2), payload, at: 28),
            has(header(ProtocolInfoAttribute.tcpFlagsReply, payloadByteCount: 2), payload, at: 36)
        else { return false }
        flow.protocolState = payload.word(at: 8, as: UInt8.self)
        flow.tcp.windowScaleOriginal = payload.word(at: 16, as: UInt8.self)
        flow.tcp.windowScaleReply = payload.word(at: 24, as: UInt8.self)
        flow.tcp.flagsOriginal = payload.word(at: 32, as: UInt8.self)
        flow.tcp.flagsReply = payload.word(at: 40, as: UInt8.self)
        flow.attributes.formUnion([.protocolState, .tcpWindowScale, .tcpFlags])
        return true
    }
}
