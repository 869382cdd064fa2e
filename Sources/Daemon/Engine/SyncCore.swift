internal import Conntrack
internal import Flow
internal import FlowTable
internal import Replication

/// One traffic group's caches and protocol.
///
/// No descriptors and no clock in here.
struct SyncCore: ~Copyable {
    var internalCache: InternalCache
    var externalCache: ExternalCache
    var node: ReplicationNode
    private(set) var reconciledFlowCount: UInt64 = 0
    private(set) var expiredCount: UInt64 = 0
    /// Where the look at the copies in the kernel goes on, after a dump.
    private var copyPosition: Slot?
    private var areCopiesChecked = true

    init(node: consuming ReplicationNode, seed: UInt64, now: Instant) {
        self.node = node
        internalCache = InternalCache(seed: seed, now: now)
        externalCache = ExternalCache(seed: seed &* 0x9e37_79b9_7f4a_7c15, now: now)
    }

    /// Takes in one kernel event.
    mutating func receive(_ event: borrowing ConntrackEvent, now: Instant) {
        switch event.kind {
        case .new:
            node.announce(internalCache.create(event.flow, now: now), in: &internalCache)
        case .update:
            node.announce(internalCache.update(event.flow, now: now), in: &internalCache)
        case .destroy:
            forget(event.flow.identity)
            if externalCache.isMirrored { externalCache.noteLost(event.flow.identity) }
        }
    }

    /// Removes a flow from the internal cache: the kernel no longer has it, or another group has it now.
    mutating func forget(_ identity: FlowIdentity) {
        if let slot = internalCache.destroy(identity) { node.announce(slot, in: &internalCache) }
    }

    /// Takes in one entry of a dump.
    mutating func reconcile(_ flow: borrowing Flow, now: Instant) {
        guard let slot = internalCache.reconcile(copy flow, now: now) else { return }
        reconciledFlowCount += 1
        node.announce(slot, in: &internalCache)
    }

    /// Looks at the next flows of which the kernel should hold a copy.
    ///
    /// Where the internal cache, in line with the kernel after a dump, has none, it is written again: a takeover must
    /// not count on it. One that was written a moment ago may be among them: its event is still to come.
    private static func checkCopies(
        of cache: inout ExternalCache,
        in kernel: borrowing InternalCache,
        after position: Slot?
    ) -> Slot? {
        cache.noteLost(after: position, slotCountMax: 32_768) { identity in
            guard let slot = kernel.table.find(identity) else { return true }
            return kernel.table[slot].flags.contains(.dead)
        }
    }

    /// Gets ready for a dump of the kernel's table.
    mutating func beginReconcile() {
        internalCache.beginReconcile()
        copyPosition = nil
        areCopiesChecked = !externalCache.isMirrored
    }

    /// Goes on removing what the dump did not show; true when done.
    mutating func sweepVanished() -> Bool {
        var buried: [Slot] = []
        let isDone = internalCache.sweepVanished(slotCountMax: 32_768, into: &buried)
        reconciledFlowCount += UInt64(buried.count)
        for slot in buried { node.announce(slot, in: &internalCache) }
        guard isDone, !areCopiesChecked else { return isDone }
        copyPosition = Self.checkCopies(of: &externalCache, in: internalCache, after: copyPosition)
        areCopiesChecked = copyPosition == nil
        return areCopiesChecked
    }

    /// Takes in a datagram from the sync link.
    mutating func receive(_ datagram: RawSpan, now: Instant) {
        node.receive(datagram, now: now, internalCache: &internalCache, externalCache: &externalCache)
    }

    /// Builds the next datagram; 0 if there is none.
    @_lifetime(output: copy output)
    mutating func nextTransmit(into output: inout MutableRawSpan, now: Instant) -> Transmission {
        node.nextTransmit(into: &output, now: now, internalCache: &internalCache)
    }

    /// Does what has become due in the protocol and the external cache.
    mutating func timeOut(now: Instant) {
        node.timeOut(now: now, internalCache: &internalCache, externalCache: &externalCache)
    }

    /// Looks at the next places of the external cache for flows that ran out without an owner.
    mutating func expire(now: Instant, slotCountMax: Int) {
        let owned = (0..<UInt16(ReplicationNode.peerCountMax)).map { node.ownedUntil($0) }
        expiredCount += UInt64(
            externalCache.expire(now: now, slotCountMax: slotCountMax) { owner in
                Int(owner) < owned.count ? owned[Int(owner)] : Instant(nanoseconds: 0)
            }
        )
    }

    /// Looks at the next places of both caches for damaged records; returns how many there were in each.
    mutating func inspect(slotCountMax: Int) -> (own: Int, external: Int) {
        (internalCache.inspect(slotCountMax: slotCountMax), externalCache.inspect(slotCountMax: slotCountMax))
    }

    /// Does harm to one flow and tells nobody, for tests of what finds it; false if there is none.
    mutating func harm(_ harm: EngineRequest.Harm) -> Bool {
        switch harm {
        case .flipInternal: return internalCache.damageFirst()
        case .flipExternal: return externalCache.damageFirst()
        case .forgetExternal:
            guard let slot = externalCache.table.next(after: nil) else { return false }
            externalCache.remove(slot)
            return true
        }
    }

    /// Changes the role; a node that stops claiming releases the flows it holds.
    mutating func setRole(_ role: NodeRole, now: Instant) {
        let claimed = node.role.claimsFlows
        node.setRole(role, now: now, internalCache: &internalCache)
        if claimed, !role.claimsFlows { internalCache.releaseClaim() }
    }

    /// Forgets the internal cache, telling no peer.
    mutating func flushInternal(now: Instant) {
        node.abandonPending(now: now, internalCache: &internalCache)
        internalCache.removeAll()
        // Until a dump has shown what there is, its emptiness is no news for the peers.
        node.isWhole = false
    }
}
