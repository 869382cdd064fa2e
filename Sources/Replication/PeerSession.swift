public import Flow
import FlowTable

/// What a node does in the pair, as its heartbeats say.
public enum NodeRole: UInt8, Sendable, CaseIterable {
    /// No one has said; the node announces its flows and takes nothing over.
    case unset = 0
    /// Handles the traffic.
    case primary = 1
    /// Stands by.
    case backup = 2
    /// Unfit to handle traffic.
    case fault = 3

    /// Whether a node in this role announces the flows of its kernel.
    public var claimsFlows: Bool { self == .unset || self == .primary }
}

/// What is known of one peer: as a sender (its epoch's datagrams) and as a receiver (what it has acknowledged).
struct PeerSession {
    /// A request for the peer's whole state that has not been answered to its end.
    struct Request {
        var token: UInt32
        /// Whether everything is to be sent; else every change from now on, and a digest tells what else is needed.
        var isWhole: Bool
        var startedAt: Instant
        var sentAt: Instant?
    }

    /// A walk over the external cache that removes what a finished transfer did not confirm.
    struct Sweep {
        var position: Slot?
        var removedCount = 0
        var flowCount: Int
        var startedAt: Instant
    }

    let nodeID: UInt32
    var epoch: UInt64
    var name = ""
    var isUp = true
    var lastHeard: Instant
    /// When it last spoke as the owner of its flows.
    var ownedUntil: Instant
    /// When a transfer to it last began.
    var servedAt: Instant?
    var role = NodeRole.unset
    var isClaiming: Bool
    var takeoverNumber: UInt32
    /// The number of its last heartbeat.
    var lastHeartbeat: UInt16?
    /// Flows in the peer's internal cache, by its last heartbeat.
    var announcedFlowCount: UInt32 = 0
    /// Whether it acknowledges and waits for acknowledgements.
    var isReliable = true
    /// Settings in which it differs from this node.
    var mismatchedSettings: [String] = []
    /// Its last challenge, echoed until it believes this node; 0 if there was none.
    var echo: UInt32 = 0

    // As a sender.
    /// The highest sequence that a header of this epoch named.
    var latestSequence: UInt64 = 0
    var window: ReceiveWindow
    var ackDueAt: Instant?
    /// Stamped on every flow the peer announces; a new one begins with every request for its whole state.
    var generation: UInt16 = 0
    /// The first generation of its present epoch.
    var epochGeneration: UInt16 = 0
    var request: Request?
    var sweep: Sweep?
    /// Since when this node's copy of its flows has been known to be equal.
    var synchronisedSince: Instant?
    var comparison = Comparison()
    /// When it was last heard, on each of its links.
    var heardOnLink: [4 of Instant] = .init(repeating: Instant(nanoseconds: 0))
    var owesVerdict = false
    /// Tombstones in the external cache that go once nothing older can arrive.
    var tombstones: [(slot: Slot, sequence: UInt64)] = []

    // As a receiver.
    /// Its acknowledgements up to here were taken in.
    var ackedThrough: UInt64 = 0
    /// The token of its request that was answered last, or is being answered.
    var servedToken: UInt32?
    /// It acknowledges a stream it is no member of: it has to ask for the whole state.
    var owesBehind = false
    /// This node's links on which it hears this node, as it says.
    var linksHeard: UInt8 = 0
    /// What it last said of its copy of this node's flows: how many differ, and when it said so.
    var verdict: (differingFlowCount: UInt32, at: Instant)?

    init(_ header: DatagramHeader, now: Instant) {
        nodeID = header.nodeID
        epoch = header.epoch
        lastHeard = now
        ownedUntil = now
        isClaiming = header.flags.contains(.claiming)
        // Not the header's: `hearTakeoverNumber` has to see it as news.
        takeoverNumber = 0
        window = ReceiveWindow(floor: header.floor)
    }

    /// Asks for the peer's whole state; flows it does not confirm will go at the transfer's end.
    ///
    /// Where flows of it are here already, changes will do: its digest tells what else is needed.
    mutating func beginRequest(isWhole: Bool, now: Instant) {
        generation &+= 1
        request = Request(token: UInt32(generation), isWhole: isWhole, startedAt: now)
        sweep = nil
        synchronisedSince = nil
        comparison.repair = nil
    }

    /// Starts over with a new epoch of the peer.
    mutating func restart(_ header: DatagramHeader, isWhole: Bool, now: Instant) {
        epoch = header.epoch
        latestSequence = 0
        window = ReceiveWindow(floor: header.floor)
        ackDueAt = nil
        ackedThrough = 0
        servedToken = nil
        owesBehind = false
        verdict = nil
        lastHeartbeat = nil
        linksHeard = 0
        isClaiming = header.flags.contains(.claiming)
        beginRequest(isWhole: isWhole, now: now)
        epochGeneration = generation
    }

    /// Its flows are no longer its own to speak of: there is nothing more to compare or to wait for.
    mutating func endComparison(now: Instant) {
        comparison.repair = nil
        comparison.differingFlowCount = 0
        sweep = nil
        if request == nil { synchronisedSince = synchronisedSince ?? now }
    }

    /// What it is told of this node's copy of its flows: how many differ; the largest number if that is not known.
    var verdictToSend: UInt32 {
        if synchronisedSince != nil { return 0 }
        return comparison.differingFlowCount > 0 ? UInt32(clamping: comparison.differingFlowCount) : .max
    }

    /// The peer's name, or its id while no heartbeat has said it.
    var displayName: String {
        name.isEmpty ? "node \(String(nodeID, radix: 16))" : name
    }
}

/// What `flowsync status` shows of a peer.
public struct PeerStatus: Sendable {
    /// Its name, or its id in hexadecimal while no heartbeat has said it.
    public var name: String
    /// Its node id.
    public var nodeID: UInt32
    /// Its epoch.
    public var epoch: UInt64
    /// Whether it was heard lately.
    public var isUp: Bool
    /// Its role, as it says.
    public var role: NodeRole
    /// Whether it announces its flows.
    public var isClaiming: Bool
    /// The takeover number it claims them under.
    public var takeoverNumber: UInt32
    /// When it was last heard.
    public var lastHeard: Instant
    /// Since when this node's copy of its flows has been known to be equal; nil while it is not.
    public var synchronisedSince: Instant?
    /// When the copy was last compared and found equal.
    public var verifiedAt: Instant?
    /// Its flows that are known to differ here.
    public var differingFlowCount: Int
    /// The last repair of this node's copy.
    public var lastRepair: RepairReport?
    /// Repairs of this node's copy.
    public var repairCount: UInt64
    /// When it last said that its copy of this node's flows is equal.
    public var peerVerifiedAt: Instant?
    /// This node's flows that differ in its copy, as it last said; nil if it has not said anything yet.
    public var peerDifferingFlowCount: Int?
    /// Settings in which it differs from this node, as they are called in the configuration.
    public var mismatchedSettings: [String]
    /// This node's links on which it hears this node, one bit each.
    public var linksHeard: UInt8
    /// Whether it has asked for this node's state and gets every change.
    public var isMember: Bool
    /// It has received every datagram of this node up to this one.
    public var acknowledgedSequence: UInt64
    /// Flows in its internal cache, as it says.
    public var announcedFlowCount: UInt32
}
