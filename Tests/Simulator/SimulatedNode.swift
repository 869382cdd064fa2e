import Flow
import FlowTable
import Replication

/// A node as the daemon would hold it: the real protocol, its caches, and the kernel they stand for.
///
/// All calls into the code under test are made here.
final class SimulatedNode {
    /// What a node knows of a peer.
    struct PeerView {
        var owner: UInt16
        var index: Int
        var epoch: UInt64
        var isUp: Bool
        var isClaiming: Bool
        var role: NodeRole
        var takeoverNumber: UInt32
        /// When its flows here were last found to equal its own; nil if they are not known to.
        var verifiedAt: Instant?
        var differingFlowCount: Int
        var isSynchronised: Bool
    }

    let index: Int
    var clock: NodeClock
    var kernel: SimulatedKernel
    /// How often the daemon was started.
    private(set) var incarnation = 0
    private(set) var epoch: UInt64
    private(set) var node: ReplicationNode
    private(set) var internalCache: InternalCache
    private(set) var externalCache: ExternalCache
    /// Counts changes of the internal cache.
    private(set) var internalChangeCount = 0
    private let isReliable: Bool
    private let seed: UInt64

    /// The names make the node ids, so that the index can be told from a peer's name.
    private static func name(_ index: Int) -> String { "r\(index)" }

    init(
        index: Int,
        epoch: UInt64,
        role: NodeRole,
        isReliable: Bool,
        clock: NodeClock,
        flowNumberCount: Int,
        seed: UInt64,
        at moment: Moment
    ) {
        self.index = index
        self.epoch = epoch
        self.clock = clock
        self.isReliable = isReliable
        self.seed = seed
        kernel = SimulatedKernel(flowNumberCount: flowNumberCount)
        let now = clock.now(at: moment)
        node = ReplicationNode(
            settings: Self.settings(index, epoch, isReliable),
            role: role,
            takeoverNumber: role == .primary ? 1 : 0,
            now: now
        )
        internalCache = InternalCache(seed: seed, now: now)
        externalCache = ExternalCache(seed: seed &+ 1, now: now)
    }

    private static func settings(_ index: Int, _ epoch: UInt64, _ isReliable: Bool) -> NodeSettings {
        NodeSettings(name: name(index), epoch: epoch, isReliable: isReliable)
    }

    /// Starts the daemon anew; it remembers its role and the takeover numbers, as its role file does.
    func restart(epoch: UInt64, role: NodeRole, at moment: Moment) {
        incarnation += 1
        self.epoch = epoch
        let now = clock.now(at: moment)
        node = ReplicationNode(
            settings: Self.settings(index, epoch, isReliable),
            role: role,
            takeoverNumber: node.takeoverNumber,
            highestTakeoverNumber: node.highestTakeoverNumber,
            now: now
        )
        internalCache = InternalCache(seed: seed &+ epoch, now: now)
        externalCache = ExternalCache(seed: seed ^ epoch, now: now)
        internalChangeCount += 1
    }

    // MARK: Datagrams

    func receive(_ bytes: [UInt8], at moment: Moment) {
        node.receive(
            bytes.span.bytes,
            now: clock.now(at: moment),
            internalCache: &internalCache,
            externalCache: &externalCache
        )
    }

    /// Builds the next datagram; nil if there is none.
    ///
    /// - Parameter send: gets the datagram once per link it goes over.
    func transmit(
        into buffer: inout [UInt8],
        liveMask: UInt8,
        at moment: Moment,
        send: (_ bytes: [UInt8], _ link: Int) -> Void
    ) -> Int {
        let now = clock.now(at: moment)
        let transmission = build(into: &buffer, now: now)
        guard transmission.byteCount > 0 else { return 0 }
        let datagram = Array(buffer[..<transmission.byteCount])
        if transmission.isForAllLinks {
            for link in 0..<4 where liveMask & 1 << UInt8(link) != 0 { send(Self.stamped(datagram, link), link) }
        } else {
            let link = node.activeLink(liveMask: liveMask, now: now)
            send(Self.stamped(datagram, link), link)
        }
        return transmission.byteCount
    }

    private func build(into buffer: inout [UInt8], now: Instant) -> Transmission {
        var span = buffer.mutableSpan
        var bytes = span.mutableBytes
        return node.nextTransmit(into: &bytes, now: now, internalCache: &internalCache)
    }

    private static func stamped(_ datagram: [UInt8], _ link: Int) -> [UInt8] {
        var datagram = datagram
        var span = datagram.mutableSpan
        var bytes = span.mutableBytes
        ReplicationNode.stamp(link: link, into: &bytes)
        return datagram
    }

    func timeOut(at moment: Moment) {
        node.timeOut(now: clock.now(at: moment), internalCache: &internalCache, externalCache: &externalCache)
    }

    /// When the protocol wants to be called; nil if never.
    func nextMoment(at moment: Moment) -> Moment? {
        clock.moment(of: node.nextDeadline(now: clock.now(at: moment)))
    }

    // MARK: Kernel events and dumps

    func apply(_ event: SimulatedKernel.Event, _ numbers: FlowNumbers, at moment: Moment) {
        let now = clock.now(at: moment)
        internalChangeCount += 1
        switch event.kind {
        case .new:
            let slot = internalCache.create(numbers.flow(event.number, stamp: event.stamp), now: now)
            node.announce(slot, in: &internalCache)
        case .update:
            let slot = internalCache.update(numbers.flow(event.number, stamp: event.stamp), now: now)
            node.announce(slot, in: &internalCache)
        case .destroy:
            if let slot = internalCache.destroy(numbers.identity(event.number)) {
                node.announce(slot, in: &internalCache)
            }
        }
    }

    func beginDump() { internalCache.beginReconcile() }
    func beginSlice() { internalCache.beginSlice() }

    func reconcile(_ flow: Flow, at moment: Moment) {
        internalChangeCount += 1
        if let slot = internalCache.reconcile(flow, now: clock.now(at: moment)) {
            node.announce(slot, in: &internalCache)
        }
    }

    func sweepVanished() -> Bool {
        internalChangeCount += 1
        var buried: [Slot] = []
        let isDone = internalCache.sweepVanished(slotCountMax: 64, into: &buried)
        for slot in buried { node.announce(slot, in: &internalCache) }
        return isDone
    }

    // MARK: Commands

    func setRole(_ role: NodeRole, at moment: Moment) {
        let claimed = node.role.claimsFlows
        node.setRole(role, now: clock.now(at: moment), internalCache: &internalCache)
        if claimed, !role.claimsFlows { internalCache.releaseClaim() }
    }

    func finishTakeover(at moment: Moment) { node.finishTakeover(now: clock.now(at: moment)) }
    func requestResync(at moment: Moment) { node.requestResync(now: clock.now(at: moment)) }
    func push(at moment: Moment) { node.push(now: clock.now(at: moment)) }
    func takeEvents() -> [ReplicationEvent] { node.takeEvents() }

    func flushInternal(at moment: Moment) {
        internalChangeCount += 1
        node.abandonPending(now: clock.now(at: moment), internalCache: &internalCache)
        internalCache.removeAll()
    }

    func flushExternal() { externalCache.removeAll() }

    /// Removes a flow that this node takes over, or that a fault makes it forget.
    func removeExternal(_ slot: Slot) { externalCache.remove(slot) }

    /// Damages what the external cache holds, as a memory fault would, and lets the daemon's inspection find it.
    ///
    /// - Returns: the damaged copy; nil if there is none.
    func damage() -> Flow? {
        var position = externalCache.table.next(after: nil)
        while let slot = position, externalCache.table[slot].flags.contains(.dead) {
            position = externalCache.table.next(after: slot)
        }
        guard let slot = position, externalCache.damageFirst() else { return nil }
        _ = externalCache.inspect(slotCountMax: .max)
        return externalCache.table.flow(at: slot)
    }

    /// Lets flows go that ran out while nobody owned them.
    func expire(at moment: Moment) {
        let owned = node.peerStatus.indices.map { node.ownedUntil(UInt16($0)) }
        _ = externalCache.expire(now: clock.now(at: moment), slotCountMax: 1_024) { owner in
            Int(owner) < owned.count ? owned[Int(owner)] : Instant(nanoseconds: 0)
        }
    }

    // MARK: What can be seen

    var peers: [PeerView] {
        node.peerStatus.enumerated().compactMap { position, peer in
            guard peer.name.first == "r", let index = Int(peer.name.dropFirst()) else { return nil }
            return PeerView(
                owner: UInt16(position),
                index: index,
                epoch: peer.epoch,
                isUp: peer.isUp,
                isClaiming: peer.isClaiming,
                role: peer.role,
                takeoverNumber: peer.takeoverNumber,
                verifiedAt: peer.verifiedAt,
                differingFlowCount: peer.differingFlowCount,
                isSynchronised: peer.isUp && peer.synchronisedSince != nil
            )
        }
    }

    /// What is known of one peer; nil if it was never heard.
    func peer(_ index: Int) -> PeerView? { peers.first { $0.index == index } }

    /// What of the protocol's memory is in use.
    var queuedCount: Int { node.queuedCount }
    var inFlightCount: Int { node.inFlightCount }
}
