internal import Flow

/// Decodes the attributes of a ctnetlink message into a `Flow`, in place and without allocating.
///
/// One pass over the attributes; those that `Flow` does not hold (counters, timestamps, ids, security contexts) are
/// passed over by their length.
enum FlowDecoder {
    /// Decodes the attributes that follow the nfnetlink header.
    ///
    /// - Parameters:
    ///   - message: one whole message, header included.
    ///   - end: where the message ends; not beyond `message`.
    static func decode(_ message: RawSpan, end: Int, into flow: inout Flow) throws(MessageDefect) {
        let family: AddressFamily
        switch message.word(at: Netlink.headerByteCount, as: UInt8.self) {
        case Netlink.familyIPv4: family = .ipv4
        case Netlink.familyIPv6: family = .ipv6
        default: throw .foreignFamily
        }
        var hasOriginal = false
        var hasReply = false
        var reader = AttributeReader(start: Netlink.flowHeaderByteCount, end: end)
        while try reader.next(message) {
            switch reader.type {
            case MessageAttribute.originalTuple:
                hasOriginal = true
                try decodeTuple(
                    message,
                    reader,
                    family,
                    &flow.original,
                    zone: &flow.zone,
                    direction: .original
                )
            case MessageAttribute.replyTuple:
                hasReply = true
                try decodeTuple(message, reader, family, &flow.reply, zone: &flow.zone, direction: .reply)
            case MessageAttribute.status:
                flow.status = FlowStatus(
                    rawValue: UInt16(truncatingIfNeeded: try reader.bigEndian(message, UInt32.self))
                )
                flow.attributes.insert(.status)
            case MessageAttribute.timeout:
                flow.timeoutSeconds = try reader.bigEndian(message, UInt32.self)
                flow.attributes.insert(.timeout)
            case MessageAttribute.mark:
                flow.mark = try reader.bigEndian(message, UInt32.self)
                flow.attributes.insert(.mark)
            case MessageAttribute.protocolInfo:
                if !UsualShapes.decodeTCP(reader.payload(message), into: &flow) {
                    try decodeProtocolInfo(message, reader.nested(), into: &flow)
                }
            default:
                try decodeRare(message, reader, family, into: &flow)
            }
        }
        guard hasOriginal, hasReply else { throw .incompleteTuple }
        guard flow.original.protocolNumber == flow.reply.protocolNumber else { throw .protocolMismatch }
    }

    /// The kernel's id of the entry that a whole message tells of; nil if it tells none.
    ///
    /// Few need it: it is looked for where it is wanted instead of at every event.
    static func entryID(of message: RawSpan) -> UInt32? {
        var reader = AttributeReader(start: Netlink.flowHeaderByteCount, end: message.byteCount)
        while (try? reader.next(message)) == true {
            if reader.type == MessageAttribute.id { return try? reader.bigEndian(message, UInt32.self) }
        }
        return nil
    }

    /// The attributes that few messages carry.
    private static func decodeRare(
        _ message: RawSpan,
        _ reader: AttributeReader,
        _ family: AddressFamily,
        into flow: inout Flow
    ) throws(MessageDefect) {
        switch reader.type {
        case MessageAttribute.zone:
            flow.zone = Zone(id: try reader.bigEndian(message, UInt16.self))
        case MessageAttribute.labels:
            let words = reader.sixteenBytes(message)
            flow.labels.low = words.low
            flow.labels.high = words.high
            flow.attributes.insert(.labels)
        case MessageAttribute.helper:
            try decodeHelper(message, reader.nested(), into: &flow)
        case MessageAttribute.sequenceAdjustmentOriginal:
            flow.sequenceAdjustmentOriginal = try decodeAdjustment(message, reader.nested())
            flow.attributes.insert(.sequenceAdjustment)
        case MessageAttribute.sequenceAdjustmentReply:
            flow.sequenceAdjustmentReply = try decodeAdjustment(message, reader.nested())
            flow.attributes.insert(.sequenceAdjustment)
        case MessageAttribute.masterTuple:
            var zone = Zone.standard
            try decodeTuple(message, reader, family, &flow.master, zone: &zone, direction: .original)
            flow.attributes.insert(.master)
        case MessageAttribute.synproxy:
            try decodeSynproxy(message, reader.nested(), into: &flow)
        default:
            break
        }
    }

    private static func decodeTuple(
        _ message: RawSpan,
        _ outer: AttributeReader,
        _ family: AddressFamily,
        _ tuple: inout Tuple,
        zone: inout Zone,
        direction: Zone.Direction
    ) throws(MessageDefect) {
        if UsualShapes.decodeTuple(outer.payload(message), family, into: &tuple) { return }
        tuple.family = family
        var seen: UInt8 = 0
        var reader = outer.nested()
        while try reader.next(message) {
            switch reader.type {
            case TupleAttribute.addresses:
                var inner = reader.nested()
                while try inner.next(message) {
                    switch (inner.type, family) {
                    case (TupleAttribute.ipv4Source, .ipv4), (TupleAttribute.ipv6Source, .ipv6):
                        tuple.source = try inner.address(message, family)
                        seen |= 1
                    case (TupleAttribute.ipv4Destination, .ipv4), (TupleAttribute.ipv6Destination, .ipv6):
                        tuple.destination = try inner.address(message, family)
                        seen |= 2
                    default:
                        break
                    }
                }
            case TupleAttribute.protocolKey:
                if try decodeKey(message, reader.nested(), into: &tuple) { seen |= 4 }
            case TupleAttribute.zone:
                zone = Zone(id: try reader.bigEndian(message, UInt16.self), direction: direction)
            default:
                break
            }
        }
        guard seen == 7 else { throw .incompleteTuple }
    }

    /// Decodes protocol number and key; false if the number is missing.
    private static func decodeKey(
        _ message: RawSpan,
        _ outer: AttributeReader,
        into tuple: inout Tuple
    ) throws(MessageDefect) -> Bool {
        var hasNumber = false
        var (first, second): (UInt16, UInt16) = (0, 0)
        var (type, code): (UInt8, UInt8) = (0, 0)
        var reader = outer
        while try reader.next(message) {
            switch reader.type {
            case TupleAttribute.protocolNumber:
                tuple.protocolNumber = try reader.byte(message)
                hasNumber = true
            case TupleAttribute.sourcePort, TupleAttribute.icmpIdentifier, TupleAttribute.icmpv6Identifier:
                first = try reader.bigEndian(message, UInt16.self)
            case TupleAttribute.destinationPort:
                second = try reader.bigEndian(message, UInt16.self)
            case TupleAttribute.icmpType, TupleAttribute.icmpv6Type:
                type = try reader.byte(message)
            case TupleAttribute.icmpCode, TupleAttribute.icmpv6Code:
                code = try reader.byte(message)
            default:
                break
            }
        }
        if IPProtocol.isICMP(tuple.protocolNumber) {
            tuple.key = ProtocolKey(icmpIdentifier: first, type: type, code: code)
        } else if IPProtocol.hasPorts(tuple.protocolNumber) {
            tuple.key = ProtocolKey(sourcePort: first, destinationPort: second)
        } else {
            tuple.key = ProtocolKey(raw: 0)
        }
        return hasNumber
    }

    private static func decodeProtocolInfo(
        _ message: RawSpan,
        _ outer: AttributeReader,
        into flow: inout Flow
    ) throws(MessageDefect) {
        var reader = outer
        while try reader.next(message) {
            switch reader.type {
            case ProtocolInfoAttribute.tcp: try decodeTCP(message, reader.nested(), into: &flow)
            case ProtocolInfoAttribute.sctp: try decodeSCTP(message, reader.nested(), into: &flow)
            case ProtocolInfoAttribute.dccp: try decodeDCCP(message, reader.nested(), into: &flow)
            default: break
            }
        }
    }

    private static func decodeTCP(
        _ message: RawSpan,
        _ outer: AttributeReader,
        into flow: inout Flow
    ) throws(MessageDefect) {
        var reader = outer
        while try reader.next(message) {
            switch reader.type {
            case ProtocolInfoAttribute.tcpState:
                flow.protocolState = try reader.byte(message)
                flow.attributes.insert(.protocolState)
            case ProtocolInfoAttribute.tcpWindowScaleOriginal:
                flow.tcp.windowScaleOriginal = try reader.byte(message)
                flow.attributes.insert(.tcpWindowScale)
            case ProtocolInfoAttribute.tcpWindowScaleReply:
                flow.tcp.windowScaleReply = try reader.byte(message)
                flow.attributes.insert(.tcpWindowScale)
            // struct nf_ct_tcp_flags: flags, mask. The kernel's own messages leave the mask 0.
            case ProtocolInfoAttribute.tcpFlagsOriginal:
                flow.tcp.flagsOriginal = try reader.byte(message)
                flow.attributes.insert(.tcpFlags)
            case ProtocolInfoAttribute.tcpFlagsReply:
                flow.tcp.flagsReply = try reader.byte(message)
                flow.attributes.insert(.tcpFlags)
            default:
                break
            }
        }
    }

    private static func decodeSCTP(
        _ message: RawSpan,
        _ outer: AttributeReader,
        into flow: inout Flow
    ) throws(MessageDefect) {
        var reader = outer
        while try reader.next(message) {
            switch reader.type {
            case ProtocolInfoAttribute.sctpState:
                flow.protocolState = try reader.byte(message)
                flow.attributes.insert(.protocolState)
            case ProtocolInfoAttribute.sctpTagOriginal:
                flow.sctpVerificationTags.original = try reader.word(message, UInt32.self)
                flow.attributes.insert(.sctpVerificationTags)
            case ProtocolInfoAttribute.sctpTagReply:
                flow.sctpVerificationTags.reply = try reader.word(message, UInt32.self)
                flow.attributes.insert(.sctpVerificationTags)
            default:
                break
            }
        }
    }

    private static func decodeDCCP(
        _ message: RawSpan,
        _ outer: AttributeReader,
        into flow: inout Flow
    ) throws(MessageDefect) {
        var reader = outer
        while try reader.next(message) {
            switch reader.type {
            case ProtocolInfoAttribute.dccpState:
                flow.protocolState = try reader.byte(message)
                flow.attributes.insert(.protocolState)
            case ProtocolInfoAttribute.dccpRole:
                flow.dccp.role = try reader.byte(message)
                flow.attributes.insert(.dccp)
            case ProtocolInfoAttribute.dccpHandshakeSequence:
                flow.dccp.handshakeSequence = try reader.bigEndian(message, UInt64.self)
                flow.attributes.insert(.dccp)
            default:
                break
            }
        }
    }

    private static func decodeHelper(
        _ message: RawSpan,
        _ outer: AttributeReader,
        into flow: inout Flow
    ) throws(MessageDefect) {
        var reader = outer
        while try reader.next(message) {
            guard reader.type == ExtraAttribute.helperName else { continue }
            let words = reader.sixteenBytes(message, endsAtZero: true)
            // NF_CT_HELPER_NAME_LEN is 16 with the terminating zero.
            guard reader.byteCount <= 16, words.high.littleEndian >> 56 == 0 else { throw .invalidValue }
            flow.helper.low = words.low
            flow.helper.high = words.high
            if words.low != 0 { flow.attributes.insert(.helper) }
        }
    }

    private static func decodeAdjustment(
        _ message: RawSpan,
        _ outer: AttributeReader
    ) throws(MessageDefect) -> Flow.SequenceAdjustment {
        var adjustment = Flow.SequenceAdjustment()
        var reader = outer
        while try reader.next(message) {
            switch reader.type {
            case ExtraAttribute.correctionPosition:
                adjustment.correctionPosition = try reader.bigEndian(message, UInt32.self)
            case ExtraAttribute.offsetBefore: adjustment.offsetBefore = try reader.bigEndian(message, UInt32.self)
            case ExtraAttribute.offsetAfter: adjustment.offsetAfter = try reader.bigEndian(message, UInt32.self)
            default: break
            }
        }
        return adjustment
    }

    private static func decodeSynproxy(
        _ message: RawSpan,
        _ outer: AttributeReader,
        into flow: inout Flow
    ) throws(MessageDefect) {
        var reader = outer
        while try reader.next(message) {
            switch reader.type {
            case ExtraAttribute.initialSequenceNumber:
                flow.synproxy.initialSequenceNumber = try reader.bigEndian(message, UInt32.self)
            case ExtraAttribute.initialTimestamp:
                flow.synproxy.initialTimestamp = try reader.bigEndian(message, UInt32.self)
            case ExtraAttribute.timestampOffset:
                flow.synproxy.timestampOffset = try reader.bigEndian(message, UInt32.self)
            default:
                break
            }
        }
        // The kernel gives every entry made by netlink a SYNPROXY extension of zeros; that says nothing, and would cost
        // each of their records a section.
        if flow.synproxy != Flow.Synproxy() { flow.attributes.insert(.synproxy) }
    }
}
