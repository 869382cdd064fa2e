/// Reads the fields of a valid record where it lies.
///
/// Made of bytes that `FlowRecord.validate` accepted or `FlowRecord.encode` wrote; the view lives no longer than they.
public struct FlowRecordView: ~Escapable {
    /// The record's bytes; bytes after the record's own count are ignored.
    public let bytes: RawSpan

    /// A view of a valid record.
    @inlinable
    @_lifetime(copy bytes)
    public init(_ bytes: RawSpan) {
        self.bytes = bytes
    }

    /// Bytes of the whole record, a multiple of 4.
    @inlinable
    public var byteCount: Int { Int(bytes.word(at: 0, as: UInt8.self)) * 4 }

    /// The family of the tuples.
    @inlinable
    public var family: AddressFamily { bytes.word(at: 1, as: UInt8.self) & 1 == 0 ? .ipv4 : .ipv6 }

    /// The kernel's status bits.
    @inlinable
    public var status: FlowStatus { FlowStatus(rawValue: bytes.littleEndian(at: 4, as: UInt16.self)) }

    /// The IP protocol number.
    @inlinable
    public var protocolNumber: UInt8 { bytes.word(at: 6, as: UInt8.self) }

    /// The TCP, SCTP or DCCP state; 0 if unknown.
    @inlinable
    public var protocolState: UInt8 { bytes.word(at: 7, as: UInt8.self) }

    /// Seconds left as the record says; a cache keeps its own deadline beside it.
    @inlinable
    public var timeoutSeconds: UInt32 { bytes.littleEndian(at: 8, as: UInt32.self) }

    /// The connection mark; 0 if unknown.
    @inlinable
    public var mark: UInt32 { bytes.littleEndian(at: 12, as: UInt32.self) }

    /// Whether traffic refreshed the flow's timeout between the owner's last two looks at its kernel's table.
    @inlinable
    public var isTalking: Bool { bytes.word(at: 1, as: UInt8.self) & 2 != 0 }

    /// The attributes of the fixed part that are known.
    package var fixedAttributes: Flow.Attributes {
        Flow.Attributes(rawValue: UInt16(bytes.word(at: FlowRecord.Offset.known, as: UInt8.self)))
    }

    package var sections: FlowRecord.Section {
        FlowRecord.Section(rawValue: bytes.littleEndian(at: FlowRecord.Offset.sections, as: UInt16.self))
    }

    /// Zone and original tuple.
    public var identity: FlowIdentity {
        FlowIdentity(tuple: originalTuple, zone: zone)
    }

    /// The original direction's tuple.
    public var originalTuple: Tuple {
        let family = family
        let width = family.addressByteCount
        return Tuple(
            source: address(at: FlowRecord.Offset.tuple, family),
            destination: address(at: FlowRecord.Offset.tuple + width, family),
            key: ProtocolKey(raw: bytes.word(at: FlowRecord.Offset.tuple + 2 * width, as: UInt32.self)),
            protocolNumber: protocolNumber,
            family: family
        )
    }

    /// Whether the flow was expected by another one.
    public var hasMaster: Bool { sections.contains(.master) }

    /// The conntrack zone.
    public var zone: Zone {
        guard let start = offset(of: .zone) else { return .standard }
        let direction = Zone.Direction(rawValue: bytes.word(at: start + 2, as: UInt8.self)) ?? .both
        return Zone(id: bytes.littleEndian(at: start, as: UInt16.self), direction: direction)
    }

    /// The reply direction's tuple, NAT applied.
    public var replyTuple: Tuple {
        var tuple = originalTuple.inverted
        let family = family
        if let start = offset(of: .replySource) { tuple.source = address(at: start, family) }
        if let start = offset(of: .replyDestination) { tuple.destination = address(at: start, family) }
        if let start = offset(of: .replyKey) { tuple.key = ProtocolKey(raw: bytes.word(at: start, as: UInt32.self)) }
        return tuple
    }

    /// Whether the record is that of `identity`.
    ///
    /// Reads no more than it must.
    public func isOf(_ identity: FlowIdentity) -> Bool {
        let tuple = identity.tuple
        guard protocolNumber == tuple.protocolNumber, family == tuple.family else { return false }
        let start = FlowRecord.Offset.tuple
        if tuple.family == .ipv4 {
            guard
                bytes.word(at: start, as: UInt32.self).littleEndian
                    == UInt32(truncatingIfNeeded: tuple.source.high.littleEndian),
                bytes.word(at: start + 4, as: UInt32.self).littleEndian
                    == UInt32(truncatingIfNeeded: tuple.destination.high.littleEndian),
                bytes.word(at: start + 8, as: UInt32.self) == tuple.key.raw
            else { return false }
        } else {
            guard bytes.word(at: start, as: UInt64.self) == tuple.source.high,
                bytes.word(at: start + 8, as: UInt64.self) == tuple.source.low,
                bytes.word(at: start + 16, as: UInt64.self) == tuple.destination.high,
                bytes.word(at: start + 24, as: UInt64.self) == tuple.destination.low,
                bytes.word(at: start + 32, as: UInt32.self) == tuple.key.raw
            else { return false }
        }
        return zone == identity.zone
    }

    /// The whole flow, unpacked.
    public var flow: Flow {
        var flow = Flow(original: originalTuple, reply: replyTuple)
        flow.zone = zone
        flow.attributes = fixedAttributes
        flow.status = status
        flow.timeoutSeconds = timeoutSeconds
        flow.mark = mark
        flow.protocolState = protocolState
        flow.tcp.flagsOriginal = bytes.word(at: FlowRecord.Offset.tcpFlagsOriginal, as: UInt8.self)
        flow.tcp.flagsReply = bytes.word(at: FlowRecord.Offset.tcpFlagsReply, as: UInt8.self)
        let scales = bytes.word(at: FlowRecord.Offset.windowScales, as: UInt8.self)
        flow.tcp.windowScaleOriginal = scales & 0xf
        flow.tcp.windowScaleReply = scales >> 4
        if !sections.intersection(.known).isSubset(of: .tuples) { unpackSections(into: &flow) }
        return flow
    }

    /// Whether `news` changes nothing but the fixed fields, so that the record can be patched where it lies.
    ///
    /// A message's optional sections are compared by merging, not here: any of them means "no".
    public func takesPatch(of news: Flow) -> Bool {
        news.attributes.isSubset(of: FlowRecord.fixedAttributes) && replyTuple == news.reply
    }

    private func unpackSections(into flow: inout Flow) {
        if let start = offset(of: .labels) {
            flow.attributes.insert(.labels)
            flow.labels.low = bytes.word(at: start, as: UInt64.self)
            flow.labels.high = bytes.word(at: start + 8, as: UInt64.self)
        }
        if let start = offset(of: .helper) {
            flow.attributes.insert(.helper)
            flow.helper.low = bytes.word(at: start, as: UInt64.self)
            flow.helper.high = bytes.word(at: start + 8, as: UInt64.self)
        }
        if let start = offset(of: .sequenceAdjustment) {
            flow.attributes.insert(.sequenceAdjustment)
            flow.sequenceAdjustmentOriginal = adjustment(at: start)
            flow.sequenceAdjustmentReply = adjustment(at: start + 12)
        }
        if let start = offset(of: .master) {
            flow.attributes.insert(.master)
            let family = family
            let width = family.addressByteCount
            flow.master = Tuple(
                source: address(at: start, family),
                destination: address(at: start + width, family),
                key: ProtocolKey(raw: bytes.word(at: start + 2 * width, as: UInt32.self)),
                protocolNumber: bytes.word(at: start + 2 * width + 4, as: UInt8.self),
                family: family
            )
        }
        if let start = offset(of: .sctp) {
            flow.attributes.insert(.sctpVerificationTags)
            flow.sctpVerificationTags.original = bytes.word(at: start, as: UInt32.self)
            flow.sctpVerificationTags.reply = bytes.word(at: start + 4, as: UInt32.self)
        }
        if let start = offset(of: .dccp) {
            flow.attributes.insert(.dccp)
            flow.dccp.role = bytes.word(at: start, as: UInt8.self)
            flow.dccp.handshakeSequence = bytes.littleEndian(at: start + 4, as: UInt64.self)
        }
        if let start = offset(of: .synproxy) {
            flow.attributes.insert(.synproxy)
            flow.synproxy.initialSequenceNumber = bytes.littleEndian(at: start, as: UInt32.self)
            flow.synproxy.initialTimestamp = bytes.littleEndian(at: start + 4, as: UInt32.self)
            flow.synproxy.timestampOffset = bytes.littleEndian(at: start + 8, as: UInt32.self)
        }
    }

    /// Where a section starts; nil if the record has none.
    private func offset(of section: FlowRecord.Section) -> Int? {
        let sections = sections
        guard sections.contains(section) else { return nil }
        let width = family.addressByteCount
        var offset = FlowRecord.Offset.tuple + 2 * width + 4
        var bit: UInt16 = 1
        while bit < section.rawValue {
            if sections.rawValue & bit != 0 {
                offset += FlowRecord.byteCount(of: FlowRecord.Section(rawValue: bit), addressByteCount: width)
            }
            bit <<= 1
        }
        return offset
    }

    private func address(at offset: Int, _ family: AddressFamily) -> Address {
        switch family {
        case .ipv4:
            Address(high: UInt64(bytes.littleEndian(at: offset, as: UInt32.self)).littleEndian, low: 0)
        case .ipv6:
            Address(
                high: bytes.word(at: offset, as: UInt64.self),
                low: bytes.word(at: offset + 8, as: UInt64.self)
            )
        }
    }

    private func adjustment(at offset: Int) -> Flow.SequenceAdjustment {
        var adjustment = Flow.SequenceAdjustment()
        adjustment.correctionPosition = bytes.littleEndian(at: offset, as: UInt32.self)
        adjustment.offsetBefore = bytes.littleEndian(at: offset + 4, as: UInt32.self)
        adjustment.offsetAfter = bytes.littleEndian(at: offset + 8, as: UInt32.self)
        return adjustment
    }
}
