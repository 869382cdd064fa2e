public import Flow

/// The flows this router handles: a copy of its kernel's table, as far as policy admits.
///
/// Fed by events (`create`, `update`, `destroy`) and by dumps (`InternalCache+Reconcile.swift`). Every operation
/// returns the slot whose state peers must learn, if any. Removed flows stay as tombstones until `settle` says that
/// everyone has learnt of their death.
public struct InternalCache: ~Copyable {
    /// Seconds that a flow without a timeout counts as alive.
    static let offloadedTimeoutSeconds: UInt32 = 3_600

    /// The flows.
    public internal(set) var table: FlowTable
    /// What happened so far.
    public internal(set) var counters = CacheCounters()
    /// The number of the dump slice under way or last read; see `InternalCache+Reconcile.swift`.
    var slice: UInt32 = 1
    /// The slice in which the running reconciliation began; nil if none runs.
    var reconcileStart: UInt32?
    var sweepPosition: Slot?
    /// Flows taken under another claim were here before this node gave up its role.
    private(set) var claim: UInt16 = 0
    private let start: Instant
    private var inspectionPosition: Slot?

    /// An empty cache.
    ///
    /// - Parameters:
    ///   - seed: random, for the table's hash.
    ///   - now: the instant from which the flows' ages count.
    public init(seed: UInt64, now: Instant) {
        table = FlowTable(seed: seed)
        start = now
    }

    /// What is kept beside a flow's record; `sequence` and `flags` belong to the sender that announces the flows.
    ///
    /// Copied in and out: called from another module, accessors that yield allocate a frame each time (4 allocations
    /// per event, a tenth of its cost).
    public subscript(slot: Slot) -> SlotHeader {
        get { table[slot] }
        set { table[slot] = newValue }
    }

    /// Flows in the cache.
    public var count: Int { table.liveCount }

    /// Seconds since the flow in `slot` appeared here.
    public func activeSeconds(_ slot: Slot, now: Instant) -> UInt32 {
        let age = UInt32(clamping: now.milliseconds(since: start) / 1000)
        return age - min(age, table[slot].createdSeconds)
    }

    /// Takes in a flow that the kernel calls new.
    ///
    /// What was known under its identity is forgotten.
    public mutating func create(_ flow: Flow, now: Instant) -> Slot {
        guard let slot = table.find(flow.identity) else { return insert(flow, now: now) }
        if table[slot].flags.contains(.dead) {
            table.revive(slot)
            table[slot].createdSeconds = UInt32(clamping: now.milliseconds(since: start) / 1000)
            counters.created += 1
        } else {
            counters.updated += 1
        }
        table[slot].generation = claim
        return store(flow, at: slot, news: flow, now: now)
    }

    /// Takes in what the kernel says of a flow; attributes it leaves out keep their values.
    public mutating func update(_ news: Flow, now: Instant) -> Slot {
        guard let slot = table.find(news.identity), !table[slot].flags.contains(.dead) else {
            return create(news, now: now)
        }
        counters.updated += 1
        if table.record(at: slot).takesPatch(of: news) {
            table.patchRecord(at: slot, with: news)
            touch(slot, news, now: now)
            return slot
        }
        var merged = table.record(at: slot).flow
        merged.merge(news)
        return store(merged, at: slot, news: news, now: now)
    }

    /// Takes in a flow's death; returns the tombstone, or nil if the flow was not known.
    public mutating func destroy(_ identity: FlowIdentity) -> Slot? {
        guard let slot = table.find(identity) else {
            counters.destroyFailed += 1
            if isReconciling { buryUnknown(identity) }
            return nil
        }
        guard !table[slot].flags.contains(.dead) else {
            // It was born again unheard: what a running dump has to say of that life is older than this.
            table[slot].touched = slice
            counters.destroyFailed += 1
            return nil
        }
        bury(slot)
        return slot
    }

    /// Lets a tombstone go, now that nobody has to be told any more.
    ///
    /// A running dump keeps it a little longer, until it is read to its end.
    public mutating func settle(_ slot: Slot) {
        guard table[slot].flags.contains(.dead) else { return }
        if let reconcileStart, sweepPosition == nil, table[slot].touched >= reconcileStart {
            table[slot].flags.insert(.settled)
        } else {
            table.remove(slot)
        }
    }

    /// Forgets every flow at once, telling nobody.
    public mutating func removeAll() {
        var slot = table.next(after: nil)
        while let current = slot {
            slot = table.next(after: current)
            if !table[current].flags.contains(.dead) { counters.destroyed += 1 }
            table.remove(current)
        }
    }

    /// The sums over the live flows, those of buckets too, which may take a walk over the table: see `BucketDigests`.
    public mutating func digests() -> BucketDigests { table.digests(owner: 0) }

    /// Gives up the flows held so far: `isReleased` holds for them from now on.
    public mutating func releaseClaim() {
        claim &+= 1
    }

    /// Whether the flow was here before the claim was last given up.
    public func isReleased(_ slot: Slot) -> Bool {
        table[slot].generation != claim
    }

    /// Looks at the next places of the table for records that are no longer what was written: a memory fault, say.
    ///
    /// Nothing is changed: a dump of the kernel's table brings the truth back. Peers still hold it.
    ///
    /// - Returns: the damaged records found.
    public mutating func inspect(slotCountMax: Int) -> Int {
        let damaged = table.damagedSlots(after: &inspectionPosition, slotCountMax: slotCountMax).count
        counters.damaged += UInt64(damaged)
        return damaged
    }

    /// Damages one record and tells nobody, for tests; false if there is no flow.
    public mutating func damageFirst() -> Bool { table.damageFirst() }

    // MARK: -

    mutating func bury(_ slot: Slot) {
        table.markDead(slot)
        table[slot].touched = slice
        counters.destroyed += 1
    }

    /// Remembers until the end of the running dump that a flow is gone which the dump has yet to show, perhaps.
    private mutating func buryUnknown(_ identity: FlowIdentity) {
        var flow = Flow(original: identity.tuple)
        flow.zone = identity.zone
        let slot = table.insert(EncodedFlowRecord(flow).bytes, of: identity)
        table.markDead(slot)
        table[slot].touched = slice
        table[slot].flags.insert(.settled)
    }

    mutating func insert(_ flow: Flow, now: Instant) -> Slot {
        let record = EncodedFlowRecord(flow)
        let slot = table.insert(record.bytes, of: flow.identity)
        table[slot].createdSeconds = UInt32(clamping: now.milliseconds(since: start) / 1000)
        table[slot].generation = claim
        counters.created += 1
        touch(slot, flow, now: now)
        return slot
    }

    /// Writes a flow's record anew; the deadline follows only if `news` brought a timeout.
    mutating func store(_ flow: Flow, at slot: Slot, news: Flow, now: Instant) -> Slot {
        var record = EncodedFlowRecord(flow)
        if table.record(at: slot).isTalking { record.setTalking(true) }
        let moved = table.replaceRecord(at: slot, with: record.bytes)
        touch(moved, news, now: now)
        return moved
    }

    func isDifferent(_ flow: Flow, at slot: Slot) -> Bool {
        let known = table.record(at: slot)
        var record = EncodedFlowRecord(flow)
        guard known.byteCount == record.byteCount else { return true }
        record.setTimeout(known.timeoutSeconds)
        record.setTalking(known.isTalking)
        let bytes = record.bytes
        var offset = 0
        while offset < bytes.byteCount {
            if bytes.word(at: offset, as: UInt32.self) != known.bytes.word(at: offset, as: UInt32.self) { return true }
            offset += 4
        }
        return false
    }

    mutating func touch(_ slot: Slot, _ news: Flow, now: Instant) {
        table[slot].touched = slice
        // Messages of offloaded flows carry no timeout: it does not run down while they are offloaded.
        let seconds = news.attributes.contains(.timeout) ? news.timeoutSeconds : Self.offloadedTimeoutSeconds
        table[slot].deadline = now.advanced(bySeconds: seconds)
    }
}
