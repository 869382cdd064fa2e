public import Flow

// Reconciling the cache with a dump while events go on.
//
// A dump is read in slices between which events are taken in. The kernel fills the next dump buffer when the previous
// one is read, so the first messages of slice n show the table as it was during slice n - 1: older, perhaps, than
// events taken in since. Every flow therefore remembers in which slice an event last spoke of it (`touched`), and a
// dump message gives way to an event of its own or of the previous slice. Tombstones made during a dump stay to its
// end for the same reason: without them, an old dump message would bring a dead flow back. That holds for flows the
// cache has not heard of as well: while it is first filled, most deaths are theirs.
//
// At the end, flows that neither the dump nor an event spoke of are gone from the kernel without an event.

extension InternalCache {
    /// How far a timeout that nothing refreshed may seem to have moved: the kernel shows whole seconds.
    static let timeoutSlackMilliseconds: UInt64 = 2_000

    /// Whether a reconciliation is under way.
    public var isReconciling: Bool { reconcileStart != nil }

    /// Begins a reconciliation; one that is under way starts anew.
    public mutating func beginReconcile() {
        slice &+= 1
        reconcileStart = slice
        sweepPosition = nil
    }

    /// Says that a slice of the dump is about to be read.
    public mutating func beginSlice() {
        slice &+= 1
    }

    /// Takes in a flow that the dump shows; returns the slot if peers must learn of it.
    public mutating func reconcile(_ flow: Flow, now: Instant) -> Slot? {
        guard let slot = table.find(flow.identity) else { return insert(flow, now: now) }
        guard table[slot].touched &+ 1 < slice else { return nil }
        if table[slot].flags.contains(.dead) { return create(flow, now: now) }
        var merged = table.record(at: slot).flow
        merged.merge(flow)
        // A timeout that traffic refreshed changes nothing by itself, unless peers hold one that has run out.
        let wasOverdue = table[slot].deadline < now
        let changesTalking = noteTalking(slot, flow, now: now)
        if isDifferent(merged, at: slot) {
            counters.updated += 1
            return store(merged, at: slot, news: flow, now: now)
        }
        touch(slot, flow, now: now)
        return wasOverdue || changesTalking ? slot : nil
    }

    /// Sees by the timeout that a dump shows whether traffic has refreshed it since the cache last heard of the flow;
    /// whether that is news.
    ///
    /// Only a change is told to peers: flows that stay silent, which are most, cost nothing.
    private mutating func noteTalking(_ slot: Slot, _ shown: Flow, now: Instant) -> Bool {
        // An offloaded flow shows no timeout: what is known of it stays.
        guard shown.attributes.contains(.timeout) else { return false }
        let known = table[slot].deadline
        let end = now.advanced(bySeconds: shown.timeoutSeconds)
        let slack = Self.timeoutSlackMilliseconds
        // One that has fallen faster than time passes is a sign as well: the kernel gives a connection five minutes
        // while data is unacknowledged, and at any moment that is so for some of those that talk.
        let isTalking = end > known.advanced(byMilliseconds: slack) || known > end.advanced(byMilliseconds: slack)
        guard isTalking != table.record(at: slot).isTalking else { return false }
        table.setTalking(isTalking, at: slot)
        return true
    }

    /// Goes through the next places of the table after the dump's last message and buries what the kernel no longer
    /// has.
    ///
    /// To be called until it returns true: the reconciliation is then over.
    ///
    /// - Parameters:
    /// - slotCountMax: the places looked at in this call.
    /// - buried: receives the new tombstones.
    public mutating func sweepVanished(slotCountMax: Int, into buried: inout [Slot]) -> Bool {
        guard let reconcileStart else { return true }
        var settled: [Slot] = []
        let first = buried.count
        sweepPosition = table.walk(after: sweepPosition, slotCountMax: slotCountMax) { slot, header in
            if header.flags.contains(.dead) {
                if header.flags.contains(.settled) { settled.append(slot) }
            } else if header.touched < reconcileStart {
                buried.append(slot)
            }
        }
        for slot in settled { table.remove(slot) }
        for slot in buried[first...] { bury(slot) }
        guard sweepPosition == nil else { return false }
        self.reconcileStart = nil
        return true
    }
}
