internal import Flow

/// The conntrack zones that rules of nf_tables name, gathered rule by rule.
///
/// `ct zone set 5` is an immediate value in a register and an expression `ct` that takes it from there; `ct zone 5` is
/// an expression `ct` that loads a register and one that compares it. The CT target of iptables comes as an expression
/// `target` with its own structure in it:
///
/// | offset | size | field |
/// | --- | --- | --- |
/// | 0 | 2 | flags, host order |
/// | 2 | 2 | zone, host order |
struct RuleZones {
    /// Zones that a rule names.
    private(set) var named: Set<UInt16> = []
    /// Whether a rule takes the zone from a map, a mark or a range: then any zone may be in use.
    var isAnyPossible = false

    /// Takes in one message of a rule (`NFT_MSG_NEWRULE`).
    mutating func receive(_ message: RawSpan) throws(MessageDefect) {
        guard message.byteCount >= Netlink.flowHeaderByteCount else { throw .truncatedMessage }
        var attributes = AttributeReader(start: Netlink.flowHeaderByteCount, end: message.byteCount)
        while try attributes.next(message) {
            guard attributes.type == RuleAttribute.expressions else { continue }
            var constants: [UInt32: UInt16] = [:]
            var isZoneLoaded = false
            var elements = attributes.nested()
            while try elements.next(message) {
                guard elements.type == RuleAttribute.element else { continue }
                try receiveExpression(message, elements.nested(), &constants, &isZoneLoaded)
            }
            // Loaded for something that this walk does not know.
            if isZoneLoaded { isAnyPossible = true }
        }
    }

    private mutating func receiveExpression(
        _ message: RawSpan,
        _ expression: AttributeReader,
        _ constants: inout [UInt32: UInt16],
        _ isZoneLoaded: inout Bool
    ) throws(MessageDefect) {
        var name: UInt64 = 0
        var data = AttributeReader(start: 0, end: 0)
        var attributes = expression
        while try attributes.next(message) {
            switch attributes.type {
            case RuleAttribute.expressionName: name = attributes.sixteenBytes(message, endsAtZero: true).low
            case RuleAttribute.expressionData: data = attributes.nested()
            default: break
            }
        }
        if isZoneLoaded {
            if name == Self.word("cmp"), let zone = try value(message, in: data, RuleAttribute.compareData) {
                named.insert(zone)
            } else {
                isAnyPossible = true
            }
            isZoneLoaded = false
        }
        switch name {
        case Self.word("immediat"):
            if let register = try integer(message, in: data, RuleAttribute.immediateDestination) {
                constants[register] = try value(message, in: data, RuleAttribute.immediateData)
            }
        case Self.word("ct"):
            guard try integer(message, in: data, RuleAttribute.conntrackKey) == RuleAttribute.zoneKey else { return }
            guard let source = try integer(message, in: data, RuleAttribute.conntrackSource) else {
                isZoneLoaded = true
                return
            }
            if let zone = constants[source] { named.insert(zone) } else { isAnyPossible = true }
        case Self.word("target"):
            try receiveTarget(message, data)
        default:
            break
        }
    }

    private mutating func receiveTarget(_ message: RawSpan, _ data: AttributeReader) throws(MessageDefect) {
        var isConntrack = false
        var (flags, zone): (UInt16, UInt16) = (0, 0)
        var attributes = data
        while try attributes.next(message) {
            switch attributes.type {
            case RuleAttribute.targetName:
                isConntrack = attributes.sixteenBytes(message, endsAtZero: true).low == Self.word("CT")
            case RuleAttribute.targetInfo where attributes.byteCount >= 4:
                flags = try attributes.word(message, UInt16.self)
                zone = try attributes.word(message, UInt16.self, at: 2)
            default: break
            }
        }
        guard isConntrack else { return }
        if flags & RuleAttribute.zoneFromMark != 0 { isAnyPossible = true } else if zone != 0 { named.insert(zone) }
    }

    /// The big-endian integer of an attribute; nil if there is none of that type.
    private func integer(
        _ message: RawSpan,
        in data: AttributeReader,
        _ type: UInt16
    ) throws(MessageDefect) -> UInt32? {
        var attributes = data
        while try attributes.next(message) {
            if attributes.type == type { return try attributes.bigEndian(message, UInt32.self) }
        }
        return nil
    }

    /// The value of a nest of data if it is as long as a zone; registers hold it in host order.
    private func value(
        _ message: RawSpan,
        in data: AttributeReader,
        _ type: UInt16
    ) throws(MessageDefect) -> UInt16? {
        var attributes = data
        while try attributes.next(message) {
            guard attributes.type == type else { continue }
            var nested = attributes.nested()
            while try nested.next(message) {
                if nested.type == RuleAttribute.dataValue, nested.byteCount == 2 {
                    return try nested.word(message, UInt16.self)
                }
            }
        }
        return nil
    }

    /// The first eight bytes of a name as they lie in memory.
    private static func word(_ name: StaticString) -> UInt64 {
        var word: UInt64 = 0
        for (index, byte) in name.description.utf8.prefix(8).enumerated() { word |= UInt64(byte) << UInt64(index * 8) }
        return word.littleEndian
    }
}
