internal import Control
internal import Flow
internal import FlowTable

// A dump goes on where the chunk before ended: the cursor is the traffic group's index and, below it, the slot.

extension Engine {
    /// The next records of a cache of all groups.
    func dumpChunk(_ cache: CacheSelection, after cursor: UInt64?, limit: Int, now: Instant) -> DumpChunk {
        var chunk = DumpChunk(records: [], activeSeconds: [], nextCursor: nil)
        var slot = cursor.map { Slot(rawValue: UInt32(truncatingIfNeeded: $0)) }
        for group in groups.dropFirst(Int(cursor ?? 0) >> 32) {
            while chunk.activeSeconds.count < limit, let next = Self.append(after: slot, cache, group, now, &chunk) {
                slot = next
                chunk.nextCursor = UInt64(group.index) << 32 | UInt64(next.rawValue)
            }
            if chunk.activeSeconds.count >= limit { return chunk }
            slot = nil
        }
        chunk.nextCursor = nil
        return chunk
    }

    /// Appends the flow after `slot`, unless it is dead; returns its place, nil at the end of the group's cache.
    private static func append(
        after slot: Slot?,
        _ cache: CacheSelection,
        _ group: GroupState,
        _ now: Instant,
        _ chunk: inout DumpChunk
    ) -> Slot? {
        switch cache {
        case .internal:
            guard let next = group.core.internalCache.table.next(after: slot) else { return nil }
            let age = group.core.internalCache.activeSeconds(next, now: now)
            append(next, of: group.core.internalCache.table, age, now, &chunk)
            return next
        case .external:
            guard let next = group.core.externalCache.table.next(after: slot) else { return nil }
            let age = group.core.externalCache.activeSeconds(next, now: now)
            append(next, of: group.core.externalCache.table, age, now, &chunk)
            return next
        }
    }

    private static func append(
        _ slot: Slot,
        of table: borrowing FlowTable,
        _ activeSeconds: UInt32,
        _ now: Instant,
        _ chunk: inout DumpChunk
    ) {
        guard !table[slot].flags.contains(.dead) else { return }
        let timeoutSeconds = table[slot].deadline.secondsLeft(at: now)
        table.appendRecord(at: slot, timeoutSeconds: timeoutSeconds, to: &chunk.records)
        chunk.activeSeconds.append(activeSeconds)
    }
}
