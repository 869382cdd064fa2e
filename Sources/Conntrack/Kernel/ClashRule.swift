internal import Flow

/// Which of two flows stays that cannot both be in the table: a record of ours, and an entry that the kernel has.
///
/// Both may have been right: packets that came before the commit make entries with a translation that no peer of the
/// connection knows, and a node cut off from the others goes on making flows of its own. The entry gives way only to a
/// record that is surely worth more:
///
/// 1. One is assured, the other is not: the assured one stays.
/// 2. TCP: the state that is further on stays. An ended connection is behind all others.
/// 3. One has seen a reply, the other none: the former stays. Of the other nobody knows whether its translation is one
///    that the peer of the connection understands, and packets keep it alive for as long as they come.
/// 4. The same protocol and state, so that both began with the same timeout: the one with more of it left talked last.
/// 5. Else the entry stays, as in a tie.
enum ClashRule {
    /// By how much the seconds left must differ to say anything: each side's are cut or rounded to whole seconds.
    static let timeoutSecondsTolerance: UInt32 = 2

    /// Whether the record stays and the entry goes.
    static func keepsOurs(_ ours: Flow, over entry: Flow) -> Bool {
        // No kernel takes it, so nothing may be deleted for it.
        if ours.original.protocolNumber == IPProtocol.tcp, ours.attributes.contains(.protocolState),
            TCPState(rawValue: ours.protocolState) == nil
        {
            return false
        }
        let isAssured = ours.status.contains(.assured)
        guard isAssured == entry.status.contains(.assured) else { return isAssured }
        guard ours.original.protocolNumber == entry.original.protocolNumber else { return false }
        let (ourState, entryState) = (state(of: ours), state(of: entry))
        if ours.original.protocolNumber == IPProtocol.tcp {
            let (ourProgress, entryProgress) = (progress(ourState), progress(entryState))
            if ourProgress != entryProgress { return ourProgress > entryProgress }
        }
        let hasReply = ours.status.contains(.seenReply)
        guard hasReply == entry.status.contains(.seenReply) else { return hasReply }
        guard ourState == entryState, entry.attributes.contains(.timeout) else { return false }
        let (threshold, isOverflow) = entry.timeoutSeconds.addingReportingOverflow(timeoutSecondsTolerance)
        return !isOverflow && ours.timeoutSeconds >= threshold
    }

    /// The protocol state; that which the encoder would write where an offloaded flow's messages left it out.
    private static func state(of flow: Flow) -> UInt8? {
        if flow.attributes.contains(.protocolState) { return flow.protocolState }
        let isEstablished = !flow.status.isDisjoint(with: [.assured, .offload, .hardwareOffload])
        guard flow.original.protocolNumber == IPProtocol.tcp, isEstablished else { return nil }
        return TCPState.established.rawValue
    }

    /// How far a TCP connection has come.
    ///
    /// Half-closed ones may live as long as established ones.
    private static func progress(_ state: UInt8?) -> Int {
        switch state.flatMap(TCPState.init(rawValue:)) {
        case nil, .some(.none), .close, .timeWait: 0
        case .synSent, .synSent2: 1
        case .synReceived: 2
        case .established, .finWait, .closeWait, .lastAck: 3
        }
    }
}
