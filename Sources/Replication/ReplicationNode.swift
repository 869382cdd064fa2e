public import Flow
public import FlowTable

// The native protocol (DESIGN §2) as a sans-I/O state machine.
//
// A node announces its internal cache in one sequenced stream of datagrams and keeps, per peer, what arrived of the
// peer's stream in the external cache. Streams are identified by (node id, epoch); an epoch begins when a node starts.
//
//   first contact      the receiver takes the sender's floor as its own, then asks for the whole state (token)
//   whole state        the sender walks its cache within a budget, beside live changes; when every flow of the walk is
//                      acknowledged it sends a transfer end with the token, and the receiver removes what the
//                      transfer did not confirm
//   belief             an epoch of a peer is believed once it has echoed a number that this node has just given out:
//                      a replay of what was recorded before, in whatever life of either node, cannot
//   loss               receivers acknowledge a cumulative number and ranges; what a sender gives up as lost it sends
//                      again as the flow's state now, in a new datagram; the floor in every header lets receivers
//                      stop waiting for the old one
//   order              a receiver applies a state only if its datagram is newer than the one applied last; deletes
//                      leave a tombstone while anything older may still arrive
//   proof              a sender states the sum over its flows' digests; a receiver that has every datagram up to there
//                      compares, searches the buckets that differ, and has just these flows mended
//   links              heartbeats go over every link and say on which of the peer's links it is heard; the first link
//                      on which every peer hears this node carries the rest
//   silence            after `peerTimeoutMilliseconds` a peer no longer holds the stream up; when it comes back and
//                      acknowledges, it is told that it is behind, and asks for the whole state
//
// The node opens nothing and reads no clock: bytes and time come in as arguments, bytes and deadlines go out.

/// A node's identity and limits.
public struct NodeSettings: Sendable {
    /// The node's name in heartbeats, at most 64 bytes of UTF-8.
    public var name: String
    /// Larger at every start of this node.
    public var epoch: UInt64
    /// Whether what is lost is sent again; else digests find and mend it.
    public var isReliable: Bool
    /// What peers should have set alike.
    public var shared: SharedSettings
    /// The traffic group whose flows this is about: a router has one node of the protocol for each.
    public var group: UInt8

    /// Settings of a name and an epoch.
    public init(
        name: String,
        epoch: UInt64,
        isReliable: Bool = true,
        shared: SharedSettings = SharedSettings(),
        group: UInt8 = 0
    ) {
        self.name = name
        self.epoch = epoch
        self.isReliable = isReliable
        self.shared = shared
        self.group = group
    }

    /// The node id: a digest of the name, never 0.
    public var nodeID: UInt32 { SharedSettings.digest(name) }
}

/// One node of the protocol: its stream out, and a session per peer.
///
/// The caches belong to the caller and are lent to every call. After `receive`, `timeOut` or any change, call
/// `nextTransmit` until it returns 0, and come back at `nextDeadline`.
public struct ReplicationNode: ~Copyable {
    /// Peers a node keeps; what a set of peers in one machine word allows.
    public static let peerCountMax = 64
    /// Time between heartbeats.
    public static let heartbeatMilliseconds: UInt64 = 250
    /// Silence after which a peer counts as gone: eight heartbeats.
    public static let peerTimeoutMilliseconds: UInt64 = 2_000
    /// Datagrams that may be under way unacknowledged.
    public static let inFlightCountMax = Int(SendLog.datagramCountMax)
    /// Between the beginnings of two transfers to one peer.
    static let transferPauseMilliseconds: UInt64 = 500
    static let requestRepeatMilliseconds: UInt64 = 100
    /// While nothing is missing: acknowledging each datagram by itself cost both sides a third of their time at 10,000
    /// events a second.
    ///
    /// The log holds what 300 MB/s put into it meanwhile.
    static let ackDelayMilliseconds: UInt64 = 10
    static let sweepSlotCountMax = 16_384

    var settings: NodeSettings
    let nodeID: UInt32
    var sender: Sender
    var peers: [PeerSession] = []
    var heartbeatDueAt: Instant
    var digestDueAt: Instant
    var candidates = Candidates()
    var summaries = SummaryQueue()
    var links = LinkSelection()
    /// When another node was last heard that uses this node's id.
    public internal(set) var duplicateHeardAt: Instant?
    var events: [ReplicationEvent] = []
    /// Whether the internal cache is whole, so that what it lacks is not there; the caller says so.
    ///
    /// Until it is, nothing is proved by it and no request for its state is served.
    public var isWhole = true
    /// This node's role, as heartbeats say it.
    public private(set) var role: NodeRole
    /// The number under which this node claims its flows: higher than any seen when it took over (DESIGN §2).
    public internal(set) var takeoverNumber: UInt32
    /// The highest takeover number heard of, from any peer in any of its epochs.
    public internal(set) var highestTakeoverNumber: UInt32
    /// What heartbeats say: the role before, while a takeover is under way.
    var roleToAnnounce: NodeRole
    /// What was received, and why something was not taken.
    public internal(set) var received = ReceiveCounters()

    /// A node that has heard of nobody.
    public init(
        settings: NodeSettings,
        role: NodeRole,
        takeoverNumber: UInt32,
        highestTakeoverNumber: UInt32 = 0,
        now: Instant
    ) {
        self.settings = settings
        nodeID = settings.nodeID
        self.role = role
        self.takeoverNumber = takeoverNumber
        self.highestTakeoverNumber = max(highestTakeoverNumber, takeoverNumber)
        roleToAnnounce = role
        sender = Sender(isClaiming: role.claimsFlows, isReliable: settings.isReliable)
        heartbeatDueAt = now
        digestDueAt = now
    }

    /// What was sent.
    public var sent: SendCounters { sender.counters }
    /// Flows that wait to be sent.
    public var queuedCount: Int { sender.queuedCount }
    /// The last sequenced datagram's number.
    public var sentSequence: UInt64 { sender.log.next - 1 }
    /// Datagrams that are not yet acknowledged by all.
    public var inFlightCount: Int { sender.log.inFlightCount }
    /// Whether a transfer of the whole state to some peer is under way.
    public var isTransferring: Bool { sender.transfer != nil }

    /// The peers, in the order of first contact; the index is the owner's in the external cache.
    public var peerStatus: [PeerStatus] {
        peers.indices.map { index in
            let peer = peers[index]
            return PeerStatus(
                name: peer.displayName,
                nodeID: peer.nodeID,
                epoch: peer.epoch,
                isUp: peer.isUp,
                role: peer.role,
                isClaiming: peer.isClaiming,
                takeoverNumber: peer.takeoverNumber,
                lastHeard: peer.lastHeard,
                synchronisedSince: peer.synchronisedSince,
                verifiedAt: peer.comparison.verifiedAt,
                differingFlowCount: peer.comparison.differingFlowCount,
                lastRepair: peer.comparison.lastRepair,
                repairCount: peer.comparison.repairCount,
                peerVerifiedAt: peer.verdict.flatMap { $0.differingFlowCount == 0 ? $0.at : nil },
                peerDifferingFlowCount: peer.verdict.map { Int($0.differingFlowCount) },
                mismatchedSettings: peer.mismatchedSettings,
                linksHeard: peer.linksHeard,
                isMember: sender.members & 1 << UInt64(index) != 0,
                acknowledgedSequence: peer.ackedThrough,
                announcedFlowCount: peer.announcedFlowCount
            )
        }
    }

    /// The traffic group that a datagram speaks of; nil if it is too short to say.
    public static func group(of datagram: RawSpan) -> UInt8? {
        guard datagram.byteCount >= DatagramHeader.byteCount else { return nil }
        return datagram.word(at: DatagramHeader.groupOffset, as: UInt8.self)
    }

    /// Whether the peer with this index was heard lately.
    public func isUp(_ owner: UInt16) -> Bool {
        Int(owner) < peers.count && peers[Int(owner)].isUp
    }

    /// Hands out what happened since the last call, oldest first.
    public mutating func takeEvents() -> [ReplicationEvent] {
        guard !events.isEmpty else { return [] }
        defer { events.removeAll() }
        return events
    }

    // MARK: What the node is told

    /// Peers must learn of the state of a slot of the internal cache.
    public mutating func announce(_ slot: Slot, in cache: inout InternalCache) {
        sender.announce(slot, in: &cache)
    }

    /// Changes the role.
    ///
    /// As primary the node claims its flows under a number above every one heard of. Peers read "primary" only after
    /// `finishTakeover`: until then its state is not whole. A node that stops claiming asks every peer for its state.
    public mutating func setRole(_ role: NodeRole, now: Instant, internalCache: inout InternalCache) {
        if role == .primary, self.role != .primary || highestTakeoverNumber > takeoverNumber {
            takeoverNumber = nextTakeoverNumber
            roleToAnnounce = self.role == .primary ? .unset : self.role
        } else {
            roleToAnnounce = role
        }
        let claimed = self.role.claimsFlows
        self.role = role
        // What an outranked owner says it does not have is what this node takes over.
        for index in peers.indices where !isOwner(index) { peers[index].endComparison(now: now) }
        sender.setClaiming(role.claimsFlows, cache: &internalCache)
        if claimed, !role.claimsFlows { requestResync(now: now) }
        heartbeatDueAt = now
    }

    /// A number above every one heard of; at the end of all numbers the last one, which peers still accept.
    var nextTakeoverNumber: UInt32 {
        min(max(takeoverNumber, highestTakeoverNumber), DatagramHeader.takeoverNumberMax - 1) + 1
    }

    /// Lets the peers know that the takeover is done and this node's state is whole.
    public mutating func finishTakeover(now: Instant) {
        roleToAnnounce = role
        heartbeatDueAt = now
    }

    /// When the peer with this index last spoke as the owner of its flows; `distantFuture` while it does.
    ///
    /// An owner lives, announces its flows, and this node has not taken them over.
    public func ownedUntil(_ owner: UInt16) -> Instant {
        let index = Int(owner)
        guard index < peers.count else { return Instant(nanoseconds: 0) }
        return peers[index].isUp && isOwner(index) ? .distantFuture : peers[index].ownedUntil
    }

    func isOwner(_ index: Int) -> Bool {
        peers[index].isClaiming && !(role == .primary && rank > peers[index].rank)
    }

    /// Forgets what waits to be sent or acknowledged, because the caller is about to empty the internal cache.
    public mutating func abandonPending(now: Instant, internalCache: inout InternalCache) {
        sender.abandonPending(now: now, cache: &internalCache)
    }

    /// Asks every peer for its whole state.
    public mutating func requestResync(now: Instant) {
        for index in peers.indices { peers[index].beginRequest(isWhole: true, now: now) }
    }

    /// Takes over settings that peers should share, after a reload.
    public mutating func setShared(_ shared: SharedSettings, now: Instant) {
        settings.shared = shared
        heartbeatDueAt = now
    }

    /// Sends the whole internal cache to all peers.
    public mutating func push(now: Instant) {
        if sender.members != 0, sender.isClaiming { sender.beginTransfer(for: nil, now: now) }
    }

    // MARK: Time

    /// When `timeOut` or `nextTransmit` has something to do even if nothing arrives.
    public func nextDeadline(now: Instant) -> Instant {
        if sender.wantsToSend(now: now) { return now }
        var deadline = min(heartbeatDueAt, sender.resendDeadline ?? .distantFuture)
        if let due = sender.laggardDeadline { deadline = min(deadline, due) }
        if let due = sender.transferDeadline { deadline = min(deadline, due) }
        if isWhole, sender.isClaiming, sender.queuedCount == 0 { deadline = min(deadline, digestDueAt) }
        if !summaries.isEmpty { deadline = min(deadline, sender.pacer.hasBudget ? now : sender.pacer.refillDueAt) }
        if let due = candidates.helloDueAt { deadline = min(deadline, due) }
        for index in peers.indices {
            if peers[index].sweep != nil || peers[index].owesVerdict { return now }
            if peers[index].comparison.isRepairing, let repair = peers[index].comparison.repair {
                if repair.phase == .listing { return now }
                if let due = repair.dueAt {
                    deadline = min(deadline, sender.pacer.hasBudget ? due : max(due, sender.pacer.refillDueAt))
                }
            }
            if let due = peers[index].ackDueAt { deadline = min(deadline, due) }
            if peers[index].isUp {
                let silent = peers[index].lastHeard.advanced(byMilliseconds: Self.peerTimeoutMilliseconds)
                deadline = min(deadline, silent)
            }
        }
        return deadline
    }

    /// Does what has become due: gives up losses and silent peers, goes on with sweeps.
    public mutating func timeOut(
        now: Instant,
        internalCache: inout InternalCache,
        externalCache: inout ExternalCache
    ) {
        let laggards = sender.laggards(now: now)
        for index in peers.indices where laggards & 1 << UInt64(index) != 0 {
            // Its next acknowledgement earns it the word that it is behind.
            peers[index].servedToken = nil
            sender.removeMember(index, cache: &internalCache)
        }
        sender.timeOut(now: now, cache: &internalCache)
        for index in peers.indices {
            let silence = Self.peerTimeoutMilliseconds
            if peers[index].isUp, peers[index].lastHeard.advanced(byMilliseconds: silence) <= now {
                peers[index].isUp = false
                peers[index].synchronisedSince = nil
                peers[index].comparison.repair = nil
                peers[index].verdict = nil
                peers[index].linksHeard = 0
                summaries.removeAll(of: index)
                peers[index].ackDueAt = nil
                peers[index].servedToken = nil
                sender.removeMember(index, cache: &internalCache)
                // What it may still have under way is told anew when it comes back; then nothing older than what is
                // here may be taken, and no tombstone has to stay.
                peers[index].window.advance(toFloor: peers[index].window.largest + 1)
                dropTombstones(index, &externalCache)
                events.append(.peerDown(name: peers[index].displayName))
            }
            stepSweep(index, now: now, externalCache: &externalCache)
            stepRepair(index, externalCache)
        }
    }

    mutating func stepSweep(_ index: Int, now: Instant, externalCache: inout ExternalCache) {
        guard var sweep = peers[index].sweep else { return }
        guard isOwner(index) else {
            peers[index].sweep = nil
            return
        }
        sweep.position = externalCache.sweep(
            owner: UInt16(index),
            generation: peers[index].generation,
            after: sweep.position,
            slotCountMax: Self.sweepSlotCountMax,
            removedCount: &sweep.removedCount
        )
        guard sweep.position == nil else {
            peers[index].sweep = sweep
            return
        }
        peers[index].sweep = nil
        // Where its digest will not be compared, this is all that can be known.
        if !isComparable(index) { peers[index].synchronisedSince = now }
        events.append(
            .synchronised(
                name: peers[index].displayName,
                flowCount: sweep.flowCount,
                removedCount: sweep.removedCount,
                milliseconds: now.milliseconds(since: sweep.startedAt)
            )
        )
    }
}
