public import Flow

// Keeping a copy of the cache in this node's kernel while the node stands by (preload).
//
// The cache notes which flows the kernel's copy lacks or holds in an older state, and keeps the records of flows that
// the kernel still has although the cache no longer does. The caller writes both into the kernel and says what came of
// it. A flow that this node takes over leaves the cache without a trace here: `endMirroring` comes first.

/// What a copy in the kernel is behind by.
struct MirrorBacklog {
    /// Places of flows to be written, in order; those before `head` are done.
    var changed: [Slot] = []
    var head = 0
    /// Records of flows to be deleted, back to back.
    var goneRecords: [UInt8] = []
    var goneCount = 0
    /// Flows that the kernel holds.
    var mirroredCount = 0
    var refreshPosition: Slot?
}

extension ExternalCache {
    /// Flows that the kernel holds too.
    public var mirroredCount: Int { mirror.mirroredCount }

    /// Whether something is to be written to the kernel, or deleted there.
    public var hasMirrorBacklog: Bool { mirror.head < mirror.changed.count || mirror.goneCount > 0 }

    /// Begins to keep a copy in the kernel: every flow is to be written.
    public mutating func beginMirroring() {
        guard !isMirrored else { return }
        isMirrored = true
        var slot = table.next(after: nil)
        while let current = slot {
            // Also what was mirrored once: nobody has watched those copies meanwhile.
            noteChange(current)
            slot = table.next(after: current)
        }
    }

    /// Ends it.
    ///
    /// - Parameter deletesCopy: whether the kernel's copy is to be deleted; otherwise those of its flows that are up to
    ///   date stay marked as mirrored, until they change, and the kernel's are the caller's business from now on.
    public mutating func endMirroring(deletesCopy: Bool) {
        guard isMirrored else { return }
        if deletesCopy {
            var slot = table.next(after: nil)
            while let current = slot {
                unmirror(current)
                slot = table.next(after: current)
            }
        }
        isMirrored = false
        for slot in mirror.changed[mirror.head...] where table[slot].flags.contains(.changed) {
            table[slot].flags.remove(.changed)
            // The kernel has it in an older state, if at all.
            forgetMirrored(slot)
        }
        mirror.changed = []
        mirror.head = 0
    }

    /// The next flows to be written, at most `countMax`.
    public mutating func takeChanged(countMax: Int) -> [Slot] {
        var slots: [Slot] = []
        while slots.count < countMax, mirror.head < mirror.changed.count {
            let slot = mirror.changed[mirror.head]
            mirror.head += 1
            // Its flow may have gone since, and the place may hold another one, which is noted for itself.
            guard table[slot].flags.contains(.changed) else { continue }
            table[slot].flags.remove(.changed)
            if !table[slot].flags.contains(.dead) { slots.append(slot) }
        }
        if mirror.head == mirror.changed.count {
            mirror.changed.removeAll(keepingCapacity: true)
            mirror.head = 0
        }
        return slots
    }

    /// Records of the flows to be deleted in the kernel, back to back, and how many there are.
    public mutating func takeGone() -> (records: [UInt8], count: Int) {
        defer {
            mirror.goneRecords = []
            mirror.goneCount = 0
        }
        return (mirror.goneRecords, mirror.goneCount)
    }

    /// Takes note that the kernel has accepted a flow, or says that it must be deleted again because the flow has gone
    /// meanwhile.
    ///
    /// - Parameter timeoutSeconds: for how long the kernel will keep it.
    public mutating func confirmMirrored(_ record: FlowRecordView, timeoutSeconds: UInt32, now: Instant) {
        // What is written anew by a takeover must not count as written because of an older state.
        guard isMirrored else { return }
        guard let slot = table.find(record.identity), !table[slot].flags.contains(.dead) else {
            deleteLater(record)
            return
        }
        if !table[slot].flags.contains(.mirrored) {
            table[slot].flags.insert(.mirrored)
            mirror.mirroredCount += 1
        }
        table[slot].touched = seconds(now) &+ timeoutSeconds
    }

    /// Takes note that the kernel no longer has a flow: it is written again if the cache still has it.
    public mutating func noteLost(_ identity: FlowIdentity) {
        guard isMirrored, let slot = table.find(identity), table[slot].flags.contains(.mirrored) else { return }
        forgetMirrored(slot)
        noteChange(slot)
    }

    /// Looks at the next places of the table for flows that the kernel no longer has, and has them written again.
    ///
    /// - Parameter isLost: whether the kernel does not have the flow.
    /// - Returns: where to go on; nil when the whole table was seen.
    public mutating func noteLost(
        after position: Slot?,
        slotCountMax: Int,
        where isLost: (FlowIdentity) -> Bool
    ) -> Slot? {
        guard isMirrored else { return nil }
        var mirrored: [Slot] = []
        let next = table.walk(after: position, slotCountMax: slotCountMax) { slot, header in
            if header.flags.contains(.mirrored) { mirrored.append(slot) }
        }
        for slot in mirrored where isLost(table.record(at: slot).identity) {
            forgetMirrored(slot)
            noteChange(slot)
        }
        return next
    }

    /// Takes note that nothing is known of the kernel's copy.
    public mutating func forgetMirrored() {
        var slot = table.next(after: nil)
        while let current = slot {
            forgetMirrored(current)
            slot = table.next(after: current)
        }
    }

    /// Looks at the next places of the table for flows whose copy is about to run out, or was refused, and has them
    /// written again: while the owner keeps a flow alive, it stays in the kernel.
    public mutating func refreshMirrored(now: Instant, slotCountMax: Int, whenSecondsLeft: UInt32) {
        guard isMirrored else { return }
        let limit = seconds(now) &+ whenSecondsLeft
        var due: [Slot] = []
        mirror.refreshPosition = table.walk(after: mirror.refreshPosition, slotCountMax: slotCountMax) { slot, header in
            if !header.flags.contains(.mirrored) || header.touched < limit { due.append(slot) }
        }
        for slot in due { noteChange(slot) }
    }

    /// Removes the flows that the kernel holds among the next places: they are this node's own now.
    ///
    /// - Returns: where to go on; nil when the whole table was seen.
    public mutating func releaseMirrored(after position: Slot?, slotCountMax: Int) -> Slot? {
        var own: [Slot] = []
        let next = table.walk(after: position, slotCountMax: slotCountMax) { slot, header in
            if header.flags.contains(.mirrored), !header.flags.contains(.dead) { own.append(slot) }
        }
        for slot in own { remove(slot) }
        return next
    }

    // MARK: -

    /// Has the kernel's copy of a flow written, unless that is to be done already.
    mutating func noteChange(_ slot: Slot) {
        guard isMirrored else {
            // During a takeover: what the kernel holds is older now, and left to the commit.
            forgetMirrored(slot)
            return
        }
        guard table[slot].flags.isDisjoint(with: [.changed, .dead]) else { return }
        table[slot].flags.insert(.changed)
        mirror.changed.append(slot)
    }

    /// Has the kernel's copy of a flow deleted that is about to leave the cache.
    mutating func unmirror(_ slot: Slot) {
        table[slot].flags.remove(.changed)
        guard table[slot].flags.contains(.mirrored) else { return }
        forgetMirrored(slot)
        guard isMirrored else { return }
        table.appendRecord(at: slot, timeoutSeconds: 0, to: &mirror.goneRecords)
        mirror.goneCount += 1
    }

    /// Takes note that nothing is known of the kernel's copy of a flow any more.
    mutating func forgetMirrored(_ slot: Slot) {
        guard table[slot].flags.contains(.mirrored) else { return }
        table[slot].flags.remove(.mirrored)
        mirror.mirroredCount -= 1
    }

    private mutating func deleteLater(_ record: FlowRecordView) {
        for offset in 0..<record.byteCount {
            mirror.goneRecords.append(record.bytes.word(at: offset, as: UInt8.self))
        }
        mirror.goneCount += 1
    }

    private func seconds(_ now: Instant) -> UInt32 { UInt32(clamping: now.milliseconds(since: start) / 1000) }
}
