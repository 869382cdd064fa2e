extension FlowRecord {
    /// Writes `flow` as a record at the start of `output` and returns its byte count.
    ///
    /// - Parameter output: at least `encodedByteCountMax` bytes.
    @_lifetime(output: copy output)
    public static func encode(_ flow: Flow, into output: inout MutableRawSpan) -> Int {
        precondition(output.byteCount >= encodedByteCountMax, "record buffer too small: \(output.byteCount) bytes")
        let family = flow.original.family
        var sections: Section = []
        var end = Offset.tuple
        put(flow.original.source, family, &end, &output)
        put(flow.original.destination, family, &end, &output)
        output.storeWord(flow.original.key.raw, at: end)
        end += 4

        if flow.reply.source != flow.original.destination {
            sections.insert(.replySource)
            put(flow.reply.source, family, &end, &output)
        }
        if flow.reply.destination != flow.original.source {
            sections.insert(.replyDestination)
            put(flow.reply.destination, family, &end, &output)
        }
        if flow.reply.key != flow.original.key.inverted(protocolNumber: flow.original.protocolNumber) {
            sections.insert(.replyKey)
            output.storeWord(flow.reply.key.raw, at: end)
            end += 4
        }
        if flow.zone.id != 0 {
            sections.insert(.zone)
            output.storeLittleEndian(flow.zone.id, at: end)
            output.storeLittleEndian(UInt16(flow.zone.direction.rawValue), at: end + 2)
            end += 4
        }
        if !flow.attributes.isSubset(of: fixedAttributes) {
            putOptionalSections(flow, &sections, &end, &output)
        }

        output.storeWord(UInt8(end / 4), at: Offset.byteCount)
        output.storeWord(version << 4 | (family == .ipv6 ? 1 : 0), at: Offset.version)
        output.storeLittleEndian(sections.rawValue, at: Offset.sections)
        output.storeWord(flow.original.protocolNumber, at: Offset.protocolNumber)
        putFixedFields(flow, &output)
        return end
    }

    /// Overwrites the fixed fields of a record with those that `news` carries; the others stay.
    ///
    /// - Parameter record: a valid record of the same flow.
    @_lifetime(record: copy record)
    public static func patch(_ record: inout MutableRawSpan, with news: Flow) {
        let known = Flow.Attributes(rawValue: UInt16(record.bytes.word(at: Offset.known, as: UInt8.self)))
        let present = news.attributes
        if present.contains(.status) { record.storeLittleEndian(news.status.rawValue, at: Offset.status) }
        if present.contains(.timeout) { record.storeLittleEndian(news.timeoutSeconds, at: Offset.timeout) }
        if present.contains(.mark) { record.storeLittleEndian(news.mark, at: Offset.mark) }
        if present.contains(.protocolState) { record.storeWord(news.protocolState, at: Offset.protocolState) }
        if present.contains(.tcpFlags) {
            record.storeWord(news.tcp.flagsOriginal, at: Offset.tcpFlagsOriginal)
            record.storeWord(news.tcp.flagsReply, at: Offset.tcpFlagsReply)
        }
        if present.contains(.tcpWindowScale) { record.storeWord(windowScales(news), at: Offset.windowScales) }
        record.storeWord(
            UInt8(truncatingIfNeeded: known.union(present.intersection(fixedAttributes)).rawValue),
            at: Offset.known
        )
    }

    /// Says whether the flow talks: whether traffic refreshed its timeout between the owner's last two looks at its
    /// kernel's table.
    ///
    /// A takeover puts flows that talk into the kernel first. Patches leave it alone; encoding anew clears it.
    @_lifetime(record: copy record)
    public static func setTalking(_ isTalking: Bool, in record: inout MutableRawSpan) {
        let byte = record.bytes.word(at: Offset.version, as: UInt8.self)
        record.storeWord(isTalking ? byte | talkingBit : byte & ~talkingBit, at: Offset.version)
    }

    /// Overwrites the seconds left in a record.
    @inlinable
    @_lifetime(record: copy record)
    public static func setTimeout(_ seconds: UInt32, in record: inout MutableRawSpan) {
        record.storeLittleEndian(seconds, at: 8)
    }

    @_lifetime(output: copy output)
    private static func putFixedFields(_ flow: Flow, _ output: inout MutableRawSpan) {
        let known = flow.attributes.intersection(fixedAttributes)
        output.storeLittleEndian(known.contains(.status) ? flow.status.rawValue : 0, at: Offset.status)
        output.storeWord(known.contains(.protocolState) ? flow.protocolState : 0, at: Offset.protocolState)
        output.storeLittleEndian(known.contains(.timeout) ? flow.timeoutSeconds : 0, at: Offset.timeout)
        output.storeLittleEndian(known.contains(.mark) ? flow.mark : 0, at: Offset.mark)
        let hasFlags = known.contains(.tcpFlags)
        output.storeWord(hasFlags ? flow.tcp.flagsOriginal : 0, at: Offset.tcpFlagsOriginal)
        output.storeWord(hasFlags ? flow.tcp.flagsReply : 0, at: Offset.tcpFlagsReply)
        output.storeWord(known.contains(.tcpWindowScale) ? windowScales(flow) : 0, at: Offset.windowScales)
        output.storeWord(UInt8(truncatingIfNeeded: known.rawValue), at: Offset.known)
    }

    /// The kernel caps scales at 14 (RFC 7323 §2.3); a larger one would not survive validation at the peer.
    private static func windowScales(_ flow: Flow) -> UInt8 {
        min(flow.tcp.windowScaleOriginal, 14) | min(flow.tcp.windowScaleReply, 14) << 4
    }

    @_lifetime(output: copy output)
    private static func putOptionalSections(
        _ flow: Flow,
        _ sections: inout Section,
        _ end: inout Int,
        _ output: inout MutableRawSpan
    ) {
        if flow.attributes.contains(.labels) {
            sections.insert(.labels)
            putWords([flow.labels.low, flow.labels.high], &end, &output)
        }
        if flow.attributes.contains(.helper), flow.helper != Flow.HelperName() {
            sections.insert(.helper)
            putWords([flow.helper.low, flow.helper.high], &end, &output)
        }
        if flow.attributes.contains(.sequenceAdjustment) {
            sections.insert(.sequenceAdjustment)
            let (forth, back) = (flow.sequenceAdjustmentOriginal, flow.sequenceAdjustmentReply)
            putIntegers([forth.correctionPosition, forth.offsetBefore, forth.offsetAfter], &end, &output)
            putIntegers([back.correctionPosition, back.offsetBefore, back.offsetAfter], &end, &output)
        }
        if flow.attributes.contains(.master) {
            sections.insert(.master)
            put(flow.master.source, flow.original.family, &end, &output)
            put(flow.master.destination, flow.original.family, &end, &output)
            output.storeWord(flow.master.key.raw, at: end)
            output.storeLittleEndian(UInt32(flow.master.protocolNumber), at: end + 4)
            end += 8
        }
        if flow.attributes.contains(.sctpVerificationTags) {
            sections.insert(.sctp)
            output.storeWord(flow.sctpVerificationTags.original, at: end)
            output.storeWord(flow.sctpVerificationTags.reply, at: end + 4)
            end += 8
        }
        if flow.attributes.contains(.dccp) {
            sections.insert(.dccp)
            output.storeLittleEndian(UInt32(flow.dccp.role), at: end)
            output.storeLittleEndian(flow.dccp.handshakeSequence, at: end + 4)
            end += 12
        }
        if flow.attributes.contains(.synproxy) {
            sections.insert(.synproxy)
            let values = flow.synproxy
            putIntegers([values.initialSequenceNumber, values.initialTimestamp, values.timestampOffset], &end, &output)
        }
    }

    @_lifetime(output: copy output)
    private static func put(
        _ address: Address,
        _ family: AddressFamily,
        _ end: inout Int,
        _ output: inout MutableRawSpan
    ) {
        if family == .ipv4 {
            output.storeLittleEndian(UInt32(truncatingIfNeeded: address.high.littleEndian), at: end)
            end += 4
        } else {
            output.storeWord(address.high, at: end)
            output.storeWord(address.low, at: end + 8)
            end += 16
        }
    }

    @_lifetime(output: copy output)
    private static func putWords(_ words: InlineArray<2, UInt64>, _ end: inout Int, _ output: inout MutableRawSpan) {
        output.storeWord(words[0], at: end)
        output.storeWord(words[1], at: end + 8)
        end += 16
    }

    @_lifetime(output: copy output)
    private static func putIntegers(
        _ values: InlineArray<3, UInt32>,
        _ end: inout Int,
        _ output: inout MutableRawSpan
    ) {
        for index in values.indices {
            output.storeLittleEndian(values[index], at: end)
            end += 4
        }
    }
}
