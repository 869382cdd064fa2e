internal import Flow

/// The requests of a commit for records of the usual kind, written straight from the record's bytes.
///
/// TCP and UDP flows without zone, helper or any other rare attribute are nearly all there are. Unpacking such a record
/// into a `Flow` and encoding that attribute by attribute costs 180 ns, this a third of it, which is a twentieth of
/// what the kernel takes for a new entry. What is appended is what `RequestEncoder` would append, byte for byte; every
/// other record is left to it.
enum UsualRequests {
    private static let tupleSections: FlowRecord.Section = [.replySource, .replyDestination, .replyKey]
    private static let knownOfUDP: Flow.Attributes = [.status]
    private static let knownOfTCP: Flow.Attributes = [.status, .protocolState, .tcpFlags, .tcpWindowScale]

    /// Where a record's tuples lie.
    private struct Tuples {
        let isIPv4: Bool
        let number: UInt8
        let source: Int
        let destination: Int
        let key: Int
        let replySource: Int
        let replyDestination: Int
        let replyKey: Int?

        @inline(__always)
        init(_ record: FlowRecordView, _ sections: FlowRecord.Section) {
            isIPv4 = record.family == .ipv4
            number = record.protocolNumber
            let width = record.family.addressByteCount
            source = FlowRecord.Offset.tuple
            destination = source + width
            key = destination + width
            var end = key + 4
            replySource = sections.contains(.replySource) ? end : destination
            if sections.contains(.replySource) { end += width }
            replyDestination = sections.contains(.replyDestination) ? end : source
            if sections.contains(.replyDestination) { end += width }
            replyKey = sections.contains(.replyKey) ? end : nil
        }
    }

    /// Appends the request if the record is of the usual kind; false, and nothing appended, if not.
    @inline(__always)
    @_lifetime(output: copy output)
    static func encode(
        _ request: RequestEncoder.Request,
        of record: FlowRecordView,
        sequence: UInt32,
        isAcknowledged: Bool,
        into output: inout OutputRawSpan
    ) -> Bool {
        let sections = record.sections
        let isTCP = record.protocolNumber == IPProtocol.tcp
        guard isTCP || record.protocolNumber == IPProtocol.udp, sections.isSubset(of: tupleSections),
            record.fixedAttributes.isSuperset(of: isTCP ? knownOfTCP : knownOfUDP)
        else { return false }
        var flags = Netlink.request | (isAcknowledged ? Netlink.acknowledge : 0)
        let type: UInt16
        switch request {
        case .create:
            type = Netlink.messageNew
            flags |= Netlink.create | Netlink.exclusive
        case .get: type = Netlink.messageGet
        default: return false
        }
        let tuples = Tuples(record, sections)
        let family = tuples.isIPv4 ? Netlink.familyIPv4 : Netlink.familyIPv6
        let start = output.beginMessage(type: type, flags: flags, sequence: sequence, family: family)
        let key = record.bytes.word(at: tuples.key, as: UInt32.self).littleEndian
        // Ports as they lie in memory, source first.
        let (source, destination) = (UInt16(truncatingIfNeeded: key), UInt16(truncatingIfNeeded: key >> 16))
        putTuple(MessageAttribute.originalTuple, record, tuples, tuples.source, tuples.destination, &output)
        output.putRaw(TupleAttribute.sourcePort, source.littleEndian)
        output.putRaw(TupleAttribute.destinationPort, destination.littleEndian)
        if request == .create {
            putTuple(MessageAttribute.replyTuple, record, tuples, tuples.destination, tuples.source, &output)
            output.putRaw(TupleAttribute.sourcePort, destination.littleEndian)
            output.putRaw(TupleAttribute.destinationPort, source.littleEndian)
            if !sections.isEmpty { putTranslations(record, tuples, (source, destination), &output) }
            putState(record, isTCP: isTCP, &output)
        }
        _ = output.endMessage(start)
        return true
    }

    /// Appends a tuple up to its ports.
    @inline(__always)
    @_lifetime(output: copy output)
    private static func putTuple(
        _ type: UInt16,
        _ record: FlowRecordView,
        _ tuples: Tuples,
        _ source: Int,
        _ destination: Int,
        _ output: inout OutputRawSpan
    ) {
        output.putNestHeader(type, payloadByteCount: tuples.isIPv4 ? 48 : 72)
        output.putNestHeader(TupleAttribute.addresses, payloadByteCount: tuples.isIPv4 ? 16 : 40)
        let isIPv4 = tuples.isIPv4
        putAddress(isIPv4 ? TupleAttribute.ipv4Source : TupleAttribute.ipv6Source, record, isIPv4, source, &output)
        putAddress(
            isIPv4 ? TupleAttribute.ipv4Destination : TupleAttribute.ipv6Destination,
            record,
            isIPv4,
            destination,
            &output
        )
        output.putNestHeader(TupleAttribute.protocolKey, payloadByteCount: 24)
        output.putRaw(TupleAttribute.protocolNumber, tuples.number)
    }

    @inline(__always)
    @_lifetime(output: copy output)
    private static func putAddress(
        _ type: UInt16,
        _ record: FlowRecordView,
        _ isIPv4: Bool,
        _ offset: Int,
        _ output: inout OutputRawSpan
    ) {
        if isIPv4 {
            output.putRaw(type, record.bytes.word(at: offset, as: UInt32.self))
        } else {
            let (low, high) = (offset, offset + 8)
            output.putSixteenBytes(
                type,
                low: record.bytes.word(at: low, as: UInt64.self),
                high: record.bytes.word(at: high, as: UInt64.self)
            )
        }
    }

    @inline(__always)
    @_lifetime(output: copy output)
    private static func putTranslations(
        _ record: FlowRecordView,
        _ tuples: Tuples,
        _ ports: (source: UInt16, destination: UInt16),
        _ output: inout OutputRawSpan
    ) {
        var (source, destination) = (ports.source, ports.destination)
        if let offset = tuples.replyKey {
            let key = record.bytes.word(at: offset, as: UInt32.self).littleEndian
            // Of the reply: its destination is what the source is translated to.
            (destination, source) = (UInt16(truncatingIfNeeded: key), UInt16(truncatingIfNeeded: key >> 16))
        }
        putTranslation(MessageAttribute.sourceNAT, record, tuples.isIPv4, tuples.replyDestination, source, &output)
        putTranslation(MessageAttribute.destinationNAT, record, tuples.isIPv4, tuples.replySource, destination, &output)
    }

    @inline(__always)
    @_lifetime(output: copy output)
    private static func putTranslation(
        _ type: UInt16,
        _ record: FlowRecordView,
        _ isIPv4: Bool,
        _ address: Int,
        _ port: UInt16,
        _ output: inout OutputRawSpan
    ) {
        output.putNestHeader(type, payloadByteCount: isIPv4 ? 20 : 32)
        putAddress(isIPv4 ? NATAttribute.ipv4Min : NATAttribute.ipv6Min, record, isIPv4, address, &output)
        output.putNestHeader(NATAttribute.protocolRange, payloadByteCount: 8)
        output.putRaw(NATAttribute.portMin, port.littleEndian)
    }

    @inline(__always)
    @_lifetime(output: copy output)
    private static func putState(_ record: FlowRecordView, isTCP: Bool, _ output: inout OutputRawSpan) {
        output.put(MessageAttribute.timeout, record.timeoutSeconds)
        let status = record.status.subtracting(.ownedByKernel).union(.confirmed)
        output.put(MessageAttribute.status, UInt32(status.rawValue))
        let mark = record.mark
        if mark != 0, record.fixedAttributes.contains(.mark) { output.put(MessageAttribute.mark, mark) }
        guard isTCP else { return }
        output.putNestHeader(MessageAttribute.protocolInfo, payloadByteCount: 44)
        output.putNestHeader(ProtocolInfoAttribute.tcp, payloadByteCount: 40)
        output.put(ProtocolInfoAttribute.tcpState, record.protocolState)
        let scales = record.bytes.word(at: FlowRecord.Offset.windowScales, as: UInt8.self)
        output.put(ProtocolInfoAttribute.tcpWindowScaleOriginal, scales & 0xf)
        output.put(ProtocolInfoAttribute.tcpWindowScaleReply, scales >> 4)
        let mask = UInt16(TCPFlag.beLiberal | TCPFlag.portable)
        let original = record.bytes.word(at: FlowRecord.Offset.tcpFlagsOriginal, as: UInt8.self)
        let reply = record.bytes.word(at: FlowRecord.Offset.tcpFlagsReply, as: UInt8.self)
        let liberal = UInt16(TCPFlag.beLiberal) << 8
        let portable = UInt16(TCPFlag.portable) << 8
        output.put(ProtocolInfoAttribute.tcpFlagsOriginal, UInt16(original) << 8 & portable | liberal | mask)
        output.put(ProtocolInfoAttribute.tcpFlagsReply, UInt16(reply) << 8 & portable | liberal | mask)
    }
}
