/// Whose claim to a flow prevails: the later takeover's, which has the higher number.
///
/// Nodes that took over at once without hearing of each other (a split brain) have the same number; then the higher
/// node id prevails, so that every node decides alike. Nodes that never took over, number 0, do not outrank each other:
/// each claims what it handles.
struct ClaimRank: Comparable {
    var takeoverNumber: UInt32
    var nodeID: UInt32

    static func < (left: ClaimRank, right: ClaimRank) -> Bool {
        if left.takeoverNumber != right.takeoverNumber { return left.takeoverNumber < right.takeoverNumber }
        return left.takeoverNumber > 0 && left.nodeID < right.nodeID
    }

    static func == (left: ClaimRank, right: ClaimRank) -> Bool {
        !(left < right) && !(right < left)
    }
}

extension DatagramHeader {
    /// The rank of its sender's claim.
    var rank: ClaimRank { ClaimRank(takeoverNumber: takeoverNumber, nodeID: nodeID) }
}

extension PeerSession {
    /// The rank of the peer's claim.
    var rank: ClaimRank { ClaimRank(takeoverNumber: takeoverNumber, nodeID: nodeID) }
}

extension ReplicationNode {
    /// The rank of this node's claim.
    var rank: ClaimRank { ClaimRank(takeoverNumber: takeoverNumber, nodeID: nodeID) }
}
