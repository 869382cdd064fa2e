/// What a node sent, and what became of it.
public struct SendCounters: Sendable, BitwiseCopyable {
    /// Datagrams built.
    public var datagrams: UInt64 = 0
    /// Flow states sent.
    public var upserts: UInt64 = 0
    /// Deletes sent.
    public var deletes: UInt64 = 0
    /// Flows that came and went before they were sent.
    public var coalesced: UInt64 = 0
    /// Acknowledgements taken in.
    public var acks: UInt64 = 0
    /// Acknowledgements of datagrams that were never sent.
    public var invalidAcks: UInt64 = 0
    /// Datagrams given up as lost.
    public var lostDatagrams: UInt64 = 0
    /// Flows sent again after a loss.
    public var resends: UInt64 = 0
    /// Transfers of the whole state.
    public var transfers: UInt64 = 0
    /// Flows that those transfers walked over.
    public var transferredFlows: UInt64 = 0
    /// Walks that sent what peers' lists lacked.
    public var repairs: UInt64 = 0
    /// Flows that those walks sent.
    public var repairedFlows: UInt64 = 0
    /// Parts of lists that found no room.
    public var refusedRepairs: UInt64 = 0
    /// Sums sent, in messages.
    public var summaries: UInt64 = 0
    /// Acknowledgements sent.
    public var acksSent: UInt64 = 0
    /// Heartbeats sent.
    public var heartbeats: UInt64 = 0
    /// Requests for a peer's whole state sent, repetitions included.
    public var resyncRequests: UInt64 = 0

    /// All zero.
    public init() {}

    /// What several nodes of the protocol sent, added up.
    public static func += (sum: inout SendCounters, part: SendCounters) {
        sum.datagrams += part.datagrams
        sum.upserts += part.upserts
        sum.deletes += part.deletes
        sum.coalesced += part.coalesced
        sum.acks += part.acks
        sum.invalidAcks += part.invalidAcks
        sum.lostDatagrams += part.lostDatagrams
        sum.resends += part.resends
        sum.transfers += part.transfers
        sum.transferredFlows += part.transferredFlows
        sum.repairs += part.repairs
        sum.repairedFlows += part.repairedFlows
        sum.refusedRepairs += part.refusedRepairs
        sum.summaries += part.summaries
        sum.acksSent += part.acksSent
        sum.heartbeats += part.heartbeats
        sum.resyncRequests += part.resyncRequests
    }
}

/// What a node received, and why something was not taken.
public struct ReceiveCounters: Sendable, BitwiseCopyable {
    /// Datagrams taken.
    public var datagrams: UInt64 = 0
    /// Flow states taken.
    public var upserts: UInt64 = 0
    /// Deletes taken.
    public var deletes: UInt64 = 0
    /// Heartbeats taken.
    public var heartbeats: UInt64 = 0
    /// Datagrams with fewer bytes than a header.
    public var truncated: UInt64 = 0
    /// Datagrams that are not FlowSync's.
    public var foreign: UInt64 = 0
    /// Datagrams of a traffic group that this node does not have.
    public var otherGroup: UInt64 = 0
    /// Datagrams of another protocol version.
    public var unknownVersion: UInt64 = 0
    /// Datagrams with a malformed message; none of their messages was applied.
    public var malformedMessage: UInt64 = 0
    /// Datagrams with a malformed record; none of their messages was applied.
    public var malformedRecord: UInt64 = 0
    /// Messages of a kind this version does not know, passed over.
    public var unknownMessage: UInt64 = 0
    /// This node's own datagrams, looped back.
    public var own: UInt64 = 0
    /// Datagrams of another node that uses this node's id.
    public var duplicateNodeID: UInt64 = 0
    /// Datagrams of an epoch that its sender has left behind.
    public var staleEpoch: UInt64 = 0
    /// Datagrams that had arrived before.
    public var duplicate: UInt64 = 0
    /// Datagrams too far ahead of what has arrived.
    public var beyondWindow: UInt64 = 0
    /// Datagrams of more peers than a node keeps.
    public var tooManyPeers: UInt64 = 0
    /// Datagrams of an epoch that has not echoed this node's own yet; nothing but that is looked for in them.
    public var unproven: UInt64 = 0
    /// Digests that agreed with this node's copy.
    public var agreements: UInt64 = 0
    /// Digests that did not.
    public var differences: UInt64 = 0
    /// Repairs of this node's copies that came to an end.
    public var repairs: UInt64 = 0
    /// Flows that those mended or removed.
    public var repairedFlows: UInt64 = 0
    /// States older than the one held.
    public var stale: UInt64 = 0
    /// States of flows whose owner outranks the sender.
    public var refused: UInt64 = 0

    /// All zero.
    public init() {}

    /// What several nodes of the protocol received, added up.
    public static func += (sum: inout ReceiveCounters, part: ReceiveCounters) {
        sum.datagrams += part.datagrams
        sum.upserts += part.upserts
        sum.deletes += part.deletes
        sum.heartbeats += part.heartbeats
        sum.truncated += part.truncated
        sum.foreign += part.foreign
        sum.otherGroup += part.otherGroup
        sum.unknownVersion += part.unknownVersion
        sum.malformedMessage += part.malformedMessage
        sum.malformedRecord += part.malformedRecord
        sum.unknownMessage += part.unknownMessage
        sum.own += part.own
        sum.duplicateNodeID += part.duplicateNodeID
        sum.staleEpoch += part.staleEpoch
        sum.duplicate += part.duplicate
        sum.beyondWindow += part.beyondWindow
        sum.tooManyPeers += part.tooManyPeers
        sum.unproven += part.unproven
        sum.agreements += part.agreements
        sum.differences += part.differences
        sum.repairs += part.repairs
        sum.repairedFlows += part.repairedFlows
        sum.stale += part.stale
        sum.refused += part.refused
    }
}

/// Something that operators want to read in the log.
public enum ReplicationEvent: Sendable, Equatable {
    /// A peer was heard for the first time, or again after silence.
    case peerUp(name: String)
    /// A peer has been silent for too long.
    case peerDown(name: String)
    /// A peer has restarted; its state is asked for anew.
    case peerRestarted(name: String)
    /// The peer's whole state is here.
    case synchronised(name: String, flowCount: Int, removedCount: Int, milliseconds: UInt64)
    /// A peer asked for this node's whole state.
    case transferRequested(name: String)
    /// A peer claims its flows under a higher takeover number.
    case outranked(name: String, takeoverNumber: UInt32)
    /// A peer that had taken over has stepped back while this node was primary all along; it claims its flows anew.
    case claimedAnew(takeoverNumber: UInt32)
    /// The copy of a peer's flows differs from what the peer says it has.
    case differs(name: String, flowCount: Int)
    /// The copy was mended.
    case repaired(name: String, flowCount: Int, byteCount: Int, milliseconds: UInt64)
    /// A peer's settings are not this node's; empty when they are again.
    case settingsDiffer(name: String, settings: [String])
    /// Another link carries the load.
    case linkChanged(link: Int)
    /// Another node uses this node's name.
    case duplicateNodeID
}
