internal import Flow

extension Flow {
    /// What a kernel keeps of this flow once it is written, as a dump tells it; the timeout aside.
    ///
    /// Of a flow written and of its entry it is the same, unless the kernel dropped or changed something that matters.
    /// Labels are left out: a kernel keeps them only where a rule of the same namespace uses them.
    var keptContent: Flow {
        var flow = self
        flow.status = attributes.contains(.status) ? status.subtracting(.ownedByKernel) : []
        flow.status.insert(.confirmed)
        // Follows from the adjustments, and from the helper.
        flow.status.subtract([.sequenceAdjusted, .helper])
        if !attributes.contains(.mark) { flow.mark = 0 }
        flow.attributes.formUnion([.status, .timeout, .mark])
        flow.attributes.remove(.labels)
        if flow.helper == HelperName() { flow.attributes.remove(.helper) }
        switch original.protocolNumber {
        case IPProtocol.tcp: flow.keepTCP()
        case IPProtocol.sctp:
            if !attributes.contains(.protocolState) { (flow.protocolState, flow.sctpVerificationTags) = (0, (0, 0)) }
            if !attributes.contains(.sctpVerificationTags) { flow.sctpVerificationTags = (0, 0) }
            flow.attributes.formUnion([.protocolState, .sctpVerificationTags])
        case IPProtocol.dccp:
            // Kernels from 6.17 on track it by addresses alone.
            flow.original.key = ProtocolKey(raw: 0)
            flow.reply.key = ProtocolKey(raw: 0)
            flow.attributes.subtract([.dccp, .protocolState])
        default:
            break
        }
        return flow
    }

    private mutating func keepTCP() {
        if !attributes.contains(.protocolState) {
            let isEstablished = !status.isDisjoint(with: [.assured, .offload, .hardwareOffload])
            protocolState = isEstablished ? TCPState.established.rawValue : TCPState.none.rawValue
        }
        let (original, reply) = attributes.contains(.tcpFlags) ? (tcp.flagsOriginal, tcp.flagsReply) : (0, 0)
        tcp.flagsOriginal = original & TCPFlag.portable | TCPFlag.beLiberal
        tcp.flagsReply = reply & TCPFlag.portable | TCPFlag.beLiberal
        // The kernel takes the scales only if both sides scale (`nlattr_to_tcp`).
        let isScaled = attributes.contains(.tcpWindowScale) && original & reply & TCPFlag.windowScale != 0
        if !isScaled { (tcp.windowScaleOriginal, tcp.windowScaleReply) = (0, 0) }
        attributes.formUnion([.protocolState, .tcpFlags, .tcpWindowScale])
    }
}
