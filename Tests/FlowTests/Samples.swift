import Flow

/// A random source that a seed replays (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }

    mutating func word<T: FixedWidthInteger>(_ type: T.Type = T.self) -> T { T(truncatingIfNeeded: next()) }
}

extension Flow {
    /// A flow of random content that has exactly these sections and fixed attributes.
    static func random(
        _ family: AddressFamily,
        _ sections: FlowRecord.Section,
        fixed: Attributes = FlowRecord.fixedAttributes,
        _ random: inout SeededGenerator
    ) -> Flow {
        func address() -> Address {
            family == .ipv4
                ? Address(high: UInt64(random.word(UInt32.self)).littleEndian, low: 0)
                : Address(high: random.next(), low: random.next())
        }
        func tuple() -> Tuple {
            Tuple(
                source: address(),
                destination: address(),
                key: ProtocolKey(raw: random.word()),
                protocolNumber: IPProtocol.names[Int(random.next() % 8)].number,
                family: family
            )
        }
        var flow = Flow(original: tuple())
        if sections.contains(.replySource) { flow.reply.source = address() }
        if sections.contains(.replyDestination) { flow.reply.destination = address() }
        if sections.contains(.replyKey) { flow.reply.key.raw = ~flow.reply.key.raw }
        if sections.contains(.zone) {
            flow.zone = Zone(
                id: random.word(UInt16.self) | 1,
                direction: [.both, .original, .reply][Int(random.next() % 3)]
            )
        }
        flow.setFixed(fixed, &random)
        flow.setOptional(sections, master: tuple(), &random)
        return flow
    }

    /// Sets the attributes of the fixed part to random values.
    mutating func setFixed(_ fixed: Attributes, _ random: inout SeededGenerator) {
        attributes.formUnion(fixed)
        if fixed.contains(.status) { status = FlowStatus(rawValue: random.word()) }
        if fixed.contains(.timeout) { timeoutSeconds = random.word() }
        if fixed.contains(.mark) { mark = random.word() }
        if fixed.contains(.protocolState) { protocolState = random.word() }
        if fixed.contains(.tcpFlags) { (tcp.flagsOriginal, tcp.flagsReply) = (random.word(), random.word()) }
        if fixed.contains(.tcpWindowScale) {
            (tcp.windowScaleOriginal, tcp.windowScaleReply) = (random.word() % 15, random.word() % 15)
        }
    }

    private mutating func setOptional(
        _ sections: FlowRecord.Section,
        master: Tuple,
        _ random: inout SeededGenerator
    ) {
        func adjustment() -> SequenceAdjustment {
            var adjustment = SequenceAdjustment()
            adjustment.correctionPosition = random.word()
            adjustment.offsetBefore = random.word()
            adjustment.offsetAfter = random.word()
            return adjustment
        }
        if sections.contains(.labels) {
            attributes.insert(.labels)
            (labels.low, labels.high) = (random.word(), random.word())
        }
        if sections.contains(.helper) {
            attributes.insert(.helper)
            helper = HelperName(["ftp", "sip", "netbios-ns", "fifteen-letters"][Int(random.next() % 4)]) ?? helper
        }
        if sections.contains(.sequenceAdjustment) {
            attributes.insert(.sequenceAdjustment)
            (sequenceAdjustmentOriginal, sequenceAdjustmentReply) = (adjustment(), adjustment())
        }
        if sections.contains(.master) {
            attributes.insert(.master)
            self.master = master
        }
        if sections.contains(.sctp) {
            attributes.insert(.sctpVerificationTags)
            sctpVerificationTags = (random.word(), random.word())
        }
        if sections.contains(.dccp) {
            attributes.insert(.dccp)
            dccp = (random.word(), random.word())
        }
        if sections.contains(.synproxy) {
            attributes.insert(.synproxy)
            synproxy.initialSequenceNumber = random.word()
            synproxy.initialTimestamp = random.word()
            synproxy.timestampOffset = random.word()
        }
    }

    /// The name of the first attribute in which two flows differ; nil if they say the same.
    func difference(from other: Flow) -> String? {
        if original != other.original { return "original tuple" }
        if reply != other.reply { return "reply tuple" }
        if zone != other.zone { return "zone" }
        if attributes != other.attributes { return "attributes \(attributes) \(other.attributes)" }
        func differs(_ attribute: Attributes, _ isEqual: Bool) -> Bool { attributes.contains(attribute) && !isEqual }
        if differs(.status, status == other.status) { return "status" }
        if differs(.timeout, timeoutSeconds == other.timeoutSeconds) { return "timeout" }
        if differs(.mark, mark == other.mark) { return "mark" }
        if differs(.protocolState, protocolState == other.protocolState) { return "protocol state" }
        if differs(.tcpFlags, tcp.flagsOriginal == other.tcp.flagsOriginal && tcp.flagsReply == other.tcp.flagsReply) {
            return "TCP flags"
        }
        if differs(.tcpWindowScale, tcp.windowScaleOriginal == other.tcp.windowScaleOriginal)
            || differs(.tcpWindowScale, tcp.windowScaleReply == other.tcp.windowScaleReply)
        {
            return "TCP window scale"
        }
        if differs(.labels, labels == other.labels) { return "labels" }
        if differs(.helper, helper == other.helper) { return "helper" }
        if differs(.sequenceAdjustment, sequenceAdjustmentOriginal == other.sequenceAdjustmentOriginal)
            || differs(.sequenceAdjustment, sequenceAdjustmentReply == other.sequenceAdjustmentReply)
        {
            return "sequence adjustment"
        }
        if differs(.master, master == other.master) { return "master" }
        if differs(.sctpVerificationTags, sctpVerificationTags == other.sctpVerificationTags) { return "SCTP tags" }
        if differs(.dccp, dccp == other.dccp) { return "DCCP" }
        if differs(.synproxy, synproxy == other.synproxy) { return "SYNPROXY" }
        return nil
    }
}

/// The record of a flow, as bytes.
func record(of flow: Flow) -> [UInt8] {
    EncodedFlowRecord(flow).bytes.withUnsafeBytes { Array($0) }
}

/// The flow of a record's bytes.
func flow(of record: [UInt8]) -> Flow { FlowRecordView(record.span.bytes).flow }

/// Why `validate` refuses the bytes; nil if it does not.
func malformation(of bytes: [UInt8]) -> FlowRecord.Malformation? {
    do throws(FlowRecord.Malformation) {
        _ = try FlowRecord.validate(bytes.span.bytes)
        return nil
    } catch {
        return error
    }
}
