public import Flow

/// The flows that peers handle, as they announced them; what a takeover puts into the kernel.
///
/// Each flow has one owner. A state is applied only if it is newer than the one held: by the datagram's sequence within
/// one epoch of the owner, always across epochs. A flow goes when its owner deletes it, when a transfer of the owner's
/// whole state leaves it out (`sweep`), when it is taken over, or, once the owner is gone, when it expires.
public struct ExternalCache: ~Copyable {
    /// Where a state comes from.
    public struct Origin: Sendable, BitwiseCopyable {
        /// The owner's index among the peers.
        public var owner: UInt16
        /// The number of the datagram that brought the state, in the owner's epoch.
        public var sequence: UInt64
        /// The transfer under way or last finished; stamped on every flow it confirms.
        public var generation: UInt16
        /// The first generation of the owner's epoch: sequences of older generations do not compare.
        public var epochGeneration: UInt16
        /// Whether the state may be one of a whole state that is sent, or of a repair: then a flow that is new here is
        /// perhaps an old one.
        public var isOfWholeState: Bool

        /// An origin of its parts.
        public init(
            owner: UInt16,
            sequence: UInt64,
            generation: UInt16,
            epochGeneration: UInt16,
            isOfWholeState: Bool = false
        ) {
            self.isOfWholeState = isOfWholeState
            self.owner = owner
            self.sequence = sequence
            self.generation = generation
            self.epochGeneration = epochGeneration
        }
    }

    /// What became of a state.
    public enum Outcome: Sendable {
        /// The flow was added.
        case created
        /// The flow was changed.
        case updated
        /// The flow was removed.
        case removed
        /// There was nothing to remove.
        case absent
        /// A newer state is held.
        case stale
        /// The flow is another peer's, whose claim outranks this one.
        case refused
    }

    /// Seconds that a flow which had run out while its owner lived is kept when the owner has gone.
    ///
    /// It was alive then: the owner's kernel refreshes timeouts without an event, and its end would have been sent.
    public static let graceSeconds: UInt32 = 120
    /// Flows held at most: sixteen times what a kernel's table is commonly allowed, about 1.6 GB of IPv4 flows.
    public static let flowCountMax = 1 << 24

    /// The flows.
    public internal(set) var table: FlowTable
    /// What happened so far.
    public private(set) var counters = CacheCounters()
    /// Whether a copy of the flows is kept in this node's kernel, so that changes are noted for it.
    public internal(set) var isMirrored = false
    /// What the kernel's copy lacks, and what it has too much.
    var mirror = MirrorBacklog()
    let start: Instant
    private var expiryPosition: Slot?
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

    /// Flows in the cache.
    public var count: Int { table.liveCount }

    /// Seconds since the flow in `slot` appeared here.
    public func activeSeconds(_ slot: Slot, now: Instant) -> UInt32 {
        let age = UInt32(clamping: now.milliseconds(since: start) / 1000)
        return age - min(age, table[slot].createdSeconds)
    }

    /// The sums over an owner's live flows, those of buckets too, which may take a walk over the table: see
    /// `BucketDigests`.
    public mutating func digests(owner: UInt16) -> BucketDigests { table.digests(owner: owner) }

    /// Applies a peer's state of a flow.
    ///
    /// - Parameters:
    ///   - record: a valid record.
    ///   - origin: where it comes from.
    ///   - outranks: whether the sender's claim outranks that of the peer with the given index.
    public mutating func upsert(
        _ record: RawSpan,
        from origin: Origin,
        now: Instant,
        outranks: (UInt16) -> Bool
    ) -> Outcome {
        let view = FlowRecordView(record)
        let identity = view.identity
        let deadline = now.advanced(bySeconds: view.timeoutSeconds)
        guard let found = table.find(identity) else {
            guard table.occupiedCount < Self.flowCountMax else {
                counters.createFailed += 1
                return .refused
            }
            let slot = table.insert(record, of: identity, owner: origin.owner)
            table[slot].createdSeconds = UInt32(clamping: now.milliseconds(since: start) / 1000)
            if !origin.isOfWholeState { table[slot].flags.insert(.announcedNew) }
            stamp(slot, origin, deadline)
            counters.created += 1
            return .created
        }
        if let refusal = refusal(at: found, origin, outranks) {
            counters.updateFailed += 1
            return refusal
        }
        let wasDead = table[found].flags.contains(.dead)
        if wasDead {
            table.revive(found)
            table[found].createdSeconds = UInt32(clamping: now.milliseconds(since: start) / 1000)
            if !origin.isOfWholeState { table[found].flags.insert(.announcedNew) }
        }
        let moved = table.replaceRecord(at: found, with: record)
        // The backlog names the old place.
        if moved != found { table[moved].flags.remove(.changed) }
        stamp(moved, origin, deadline)
        if wasDead { counters.created += 1 } else { counters.updated += 1 }
        return wasDead ? .created : .updated
    }

    /// Removes a flow because its owner says so.
    ///
    /// - Parameters:
    ///   - record: a valid record of the flow; only its identity counts.
    ///   - tombstones: if not nil, an older state of the flow may still be under way: a tombstone is kept even for a
    ///     flow that is not known, and appended here for a later `settle`.
    public mutating func delete(
        _ record: RawSpan,
        from origin: Origin,
        now: Instant,
        tombstones: inout [Slot]?,
        outranks: (UInt16) -> Bool
    ) -> Outcome {
        let identity = FlowRecordView(record).identity
        guard let slot = table.find(identity) else {
            if tombstones != nil {
                let slot = table.insert(record, of: identity, owner: origin.owner)
                table.markDead(slot)
                stamp(slot, origin, now)
                tombstones?.append(slot)
            }
            counters.destroyFailed += 1
            return .absent
        }
        if let refusal = refusal(at: slot, origin, outranks) {
            counters.destroyFailed += 1
            return refusal
        }
        let wasDead = table[slot].flags.contains(.dead)
        unmirror(slot)
        if tombstones != nil {
            if !wasDead { table.markDead(slot) }
            stamp(slot, origin, now)
            tombstones?.append(slot)
        } else {
            table.remove(slot)
        }
        if wasDead { counters.destroyFailed += 1 } else { counters.destroyed += 1 }
        return wasDead ? .absent : .removed
    }

    /// Lets a tombstone go: no older state of its flow can arrive any more.
    public mutating func settle(_ slot: Slot, sequence: UInt64) {
        let header = table[slot]
        if header.flags.contains(.dead), header.sequence == sequence { table.remove(slot) }
    }

    /// Removes a flow that this node takes over, or that an operator flushes.
    public mutating func remove(_ slot: Slot) {
        if !table[slot].flags.contains(.dead) { counters.destroyed += 1 }
        unmirror(slot)
        table.remove(slot)
    }

    /// Removes a flow that its owner does not have, unless its state has changed since it was listed; whether it did.
    public mutating func remove(
        _ slot: Slot,
        ifUnchanged listed: (owner: UInt16, sequence: UInt64, generation: UInt16)
    ) -> Bool {
        let header = table[slot]
        guard header.flags.contains(.occupied), !header.flags.contains(.dead), header.owner == listed.owner,
            header.sequence == listed.sequence, header.generation == listed.generation
        else { return false }
        remove(slot)
        return true
    }

    /// Removes every flow.
    public mutating func removeAll() {
        var slot = table.next(after: nil)
        while let current = slot {
            slot = table.next(after: current)
            remove(current)
        }
    }

    /// Goes through the next places of the table and removes the owner's flows that its transfer did not confirm.
    ///
    /// - Returns: where to go on; nil when the whole table was seen.
    public mutating func sweep(
        owner: UInt16,
        generation: UInt16,
        after position: Slot?,
        slotCountMax: Int,
        removedCount: inout Int
    ) -> Slot? {
        var gone: [Slot] = []
        let next = table.walk(after: position, slotCountMax: slotCountMax) { slot, header in
            if header.owner == owner, header.generation != generation { gone.append(slot) }
        }
        for slot in gone { remove(slot) }
        removedCount += gone.count
        return next
    }

    /// Looks at the next places of the table and removes flows that ran out since their owner was last there.
    ///
    /// While the owner lives it alone decides: its kernel refreshes timeouts without an event.
    ///
    /// - Parameter ownedUntil: when the peer with an index last spoke as the owner of its flows; `distantFuture` while
    ///   it does.
    public mutating func expire(now: Instant, slotCountMax: Int, ownedUntil: (UInt16) -> Instant) -> Int {
        var gone: [Slot] = []
        expiryPosition = table.walk(after: expiryPosition, slotCountMax: slotCountMax) { slot, header in
            guard header.deadline < now, !header.flags.contains(.dead) else { return }
            let until = ownedUntil(header.owner)
            let wasAlive = header.deadline <= until
            if !wasAlive || until.advanced(bySeconds: Self.graceSeconds) < now { gone.append(slot) }
        }
        for slot in gone { remove(slot) }
        return gone.count
    }

    /// Looks at the next places of the table for records that are no longer what was written: a memory fault, say.
    ///
    /// The sums then speak of what is there, so that the difference to the owner shows and is repaired; what cannot be
    /// read at all is removed.
    ///
    /// - Returns: the damaged records found.
    public mutating func inspect(slotCountMax: Int) -> Int {
        let damaged = table.damagedSlots(after: &inspectionPosition, slotCountMax: slotCountMax)
        for slot in damaged {
            if table.isValid(slot) {
                table.sumAnew(slot)
            } else {
                forgetMirrored(slot)
                table.remove(slot)
            }
        }
        counters.damaged += UInt64(damaged.count)
        return damaged.count
    }

    /// Damages one record and tells nobody, for tests; false if there is no flow.
    public mutating func damageFirst() -> Bool { table.damageFirst() }

    // MARK: -

    private func refusal(at slot: Slot, _ origin: Origin, _ outranks: (UInt16) -> Bool) -> Outcome? {
        let header = table[slot]
        guard header.owner == origin.owner else { return outranks(header.owner) ? nil : .refused }
        let isOfThisEpoch = Int16(bitPattern: header.generation &- origin.epochGeneration) >= 0
        return isOfThisEpoch && header.sequence >= origin.sequence ? .stale : nil
    }

    private mutating func stamp(_ slot: Slot, _ origin: Origin, _ deadline: Instant) {
        table[slot].deadline = deadline
        table[slot].sequence = origin.sequence
        table[slot].generation = origin.generation
        table.setOwner(origin.owner, of: slot)
        noteChange(slot)
    }
}
