import Flow
import Testing

@testable import FlowTable

@Suite("The external cache")
struct ExternalCacheTests {
    private let now = Instant(nanoseconds: 5_000_000_000)

    private func origin(
        _ sequence: UInt64,
        owner: UInt16 = 0,
        generation: UInt16 = 1,
        epochGeneration: UInt16 = 1
    ) -> ExternalCache.Origin {
        ExternalCache.Origin(
            owner: owner,
            sequence: sequence,
            generation: generation,
            epochGeneration: epochGeneration
        )
    }

    private func upsert(
        _ flow: Flow,
        _ origin: ExternalCache.Origin,
        into cache: inout ExternalCache,
        at instant: Instant? = nil,
        outranks: Bool = false
    ) -> ExternalCache.Outcome {
        let record = EncodedFlowRecord(flow)
        return cache.upsert(record.bytes, from: origin, now: instant ?? now) { _ in outranks }
    }

    /// Deletes a flow; `tombstones` nil says that nothing older can be under way.
    private func delete(
        _ flow: Flow,
        _ origin: ExternalCache.Origin,
        from cache: inout ExternalCache,
        tombstones: inout [Slot]?,
        outranks: Bool = false
    ) -> ExternalCache.Outcome {
        let record = EncodedFlowRecord(flow)
        return cache.delete(record.bytes, from: origin, now: now, tombstones: &tombstones) { _ in outranks }
    }

    private func mark(of flow: Flow, in cache: borrowing ExternalCache) -> UInt32? {
        guard let slot = cache.table.find(flow.identity), !cache.table[slot].flags.contains(.dead) else { return nil }
        return cache.table.record(at: slot).mark
    }

    @Test("a state is applied only if its datagram is newer than the one held")
    func order() {
        var cache = ExternalCache(seed: 1, now: now)
        #expect(upsert(makeFlow(0, mark: 5), origin(5), into: &cache) == .created)
        #expect(upsert(makeFlow(0, mark: 4), origin(4), into: &cache) == .stale)
        #expect(upsert(makeFlow(0, mark: 50), origin(5), into: &cache) == .stale, "twice in one datagram")
        #expect(mark(of: makeFlow(0), in: cache) == 5)
        #expect(upsert(makeFlow(0, mark: 6), origin(6), into: &cache) == .updated)
        #expect(mark(of: makeFlow(0), in: cache) == 6)
        #expect(cache.counters.created == 1 && cache.counters.updated == 1 && cache.counters.updateFailed == 2)
    }

    @Test("a transfer stamps what it confirms, even within one epoch, and order still holds across its generations")
    func generations() {
        var cache = ExternalCache(seed: 1, now: now)
        _ = upsert(makeFlow(0, mark: 5), origin(5), into: &cache)
        #expect(upsert(makeFlow(0, mark: 4), origin(4, generation: 2), into: &cache) == .stale)
        #expect(upsert(makeFlow(0, mark: 6), origin(6, generation: 2), into: &cache) == .updated)
        #expect(cache.table.find(makeFlow(0).identity).map { cache.table[$0].generation } == 2)
    }

    @Test("a new epoch's states replace the old ones whatever their numbers, tombstones included")
    func epochs() {
        var cache = ExternalCache(seed: 2, now: now)
        _ = upsert(makeFlow(0, mark: 1), origin(1_000, generation: 3), into: &cache)
        var tombstones: [Slot]? = []
        _ = delete(makeFlow(3), origin(1_001, generation: 3), from: &cache, tombstones: &tombstones)
        let fresh = origin(1, generation: 4, epochGeneration: 4)
        #expect(upsert(makeFlow(0, mark: 2), fresh, into: &cache) == .updated)
        #expect(upsert(makeFlow(3, mark: 2), fresh, into: &cache) == .created)
        #expect(mark(of: makeFlow(0), in: cache) == 2 && mark(of: makeFlow(3), in: cache) == 2)
        // The old epoch's tombstone entry must not bury the new flow.
        for slot in tombstones ?? [] { cache.settle(slot, sequence: 1_001) }
        #expect(mark(of: makeFlow(3), in: cache) == 2)
        // Generations wrap around.
        let last = origin(9, owner: 1, generation: .max, epochGeneration: .max)
        _ = upsert(makeFlow(6), last, into: &cache)
        let wrapped = origin(3, owner: 1, generation: 0, epochGeneration: 0)
        #expect(upsert(makeFlow(6), wrapped, into: &cache) == .updated)
    }

    @Test("a delete in order leaves nothing behind")
    func deleteInOrder() {
        var cache = ExternalCache(seed: 3, now: now)
        _ = upsert(makeFlow(0), origin(1), into: &cache)
        var tombstones: [Slot]?
        #expect(delete(makeFlow(0), origin(1), from: &cache, tombstones: &tombstones) == .stale)
        #expect(delete(makeFlow(0), origin(2), from: &cache, tombstones: &tombstones) == .removed)
        #expect(delete(makeFlow(0), origin(3), from: &cache, tombstones: &tombstones) == .absent)
        #expect(cache.count == 0 && cache.table.occupiedCount == 0)
        #expect(cache.counters.destroyed == 1 && cache.counters.destroyFailed == 2)
    }

    @Test("a delete that overtook older states keeps a tombstone, which stops them until it settles")
    func tombstone() throws {
        var cache = ExternalCache(seed: 4, now: now)
        var tombstones: [Slot]? = []
        _ = upsert(makeFlow(0), origin(1), into: &cache)
        #expect(delete(makeFlow(0), origin(9), from: &cache, tombstones: &tombstones) == .removed)
        #expect(delete(makeFlow(3), origin(9), from: &cache, tombstones: &tombstones) == .absent)
        #expect(cache.count == 0 && cache.table.occupiedCount == 2 && tombstones?.count == 2)
        for number in [0, 3] {
            #expect(upsert(makeFlow(number), origin(8), into: &cache) == .stale, "flow \(number) must stay dead")
        }
        let slots = try #require(tombstones)
        for slot in slots { cache.settle(slot, sequence: 8) }
        #expect(cache.table.occupiedCount == 2, "another datagram's tombstones")
        // A newer state brings the flow back; its tombstone's settling then means nothing.
        #expect(upsert(makeFlow(0, mark: 7), origin(10), into: &cache) == .created)
        for slot in slots { cache.settle(slot, sequence: 9) }
        #expect(cache.count == 1 && cache.table.occupiedCount == 1)
        #expect(mark(of: makeFlow(0), in: cache) == 7)
        #expect(upsert(makeFlow(3), origin(8), into: &cache) == .created, "settled means forgotten")
    }

    @Test("a newer delete over a tombstone takes its place, and settles in its own time")
    func tombstoneTwice() throws {
        var cache = ExternalCache(seed: 5, now: now)
        var first: [Slot]? = []
        var second: [Slot]? = []
        _ = delete(makeFlow(0), origin(5), from: &cache, tombstones: &first)
        #expect(delete(makeFlow(0), origin(4), from: &cache, tombstones: &second) == .stale)
        #expect(delete(makeFlow(0), origin(9), from: &cache, tombstones: &second) == .absent)
        for slot in first ?? [] { cache.settle(slot, sequence: 5) }
        #expect(cache.table.occupiedCount == 1)
        #expect(upsert(makeFlow(0), origin(8), into: &cache) == .stale)
        for slot in second ?? [] { cache.settle(slot, sequence: 9) }
        #expect(cache.table.occupiedCount == 0)
    }

    @Test("another peer's flow is changed or deleted only by a claim that outranks its owner's")
    func owners() {
        var cache = ExternalCache(seed: 6, now: now)
        _ = upsert(makeFlow(0, mark: 1), origin(100, owner: 0), into: &cache)
        let other = origin(1, owner: 1)
        var tombstones: [Slot]?
        #expect(upsert(makeFlow(0, mark: 2), other, into: &cache) == .refused)
        #expect(delete(makeFlow(0), other, from: &cache, tombstones: &tombstones) == .refused)
        #expect(mark(of: makeFlow(0), in: cache) == 1)
        #expect(cache.counters.updateFailed == 1 && cache.counters.destroyFailed == 1)
        #expect(upsert(makeFlow(0, mark: 2), other, into: &cache, outranks: true) == .updated)
        #expect(mark(of: makeFlow(0), in: cache) == 2)
        #expect(cache.table.find(makeFlow(0).identity).map { cache.table[$0].owner } == 1)
        // The new owner's numbers count from now on, the old owner's do not.
        #expect(upsert(makeFlow(0, mark: 3), origin(101, owner: 0), into: &cache) == .refused)
        #expect(upsert(makeFlow(0, mark: 4), origin(2, owner: 1), into: &cache) == .updated)
        #expect(
            delete(makeFlow(0), origin(1, owner: 0), from: &cache, tombstones: &tombstones, outranks: true) == .removed
        )
    }

    @Test("a sweep removes the owner's unconfirmed flows and no others, in slices")
    func sweep() {
        var cache = ExternalCache(seed: 7, now: now)
        for number in 0..<90 {
            let generation: UInt16 = number % 3 == 0 ? 2 : 1
            let owner: UInt16 = number < 60 ? 0 : 1
            _ = upsert(makeFlow(number), origin(1, owner: owner, generation: generation), into: &cache)
        }
        var (removedCount, callCount) = (0, 0)
        var position: Slot?
        repeat {
            position = cache.sweep(
                owner: 0,
                generation: 2,
                after: position,
                slotCountMax: 8,
                removedCount: &removedCount
            )
            callCount += 1
        } while position != nil && callCount < 1_000
        #expect(removedCount == 40 && cache.count == 50 && cache.counters.destroyed == 40)
        #expect(callCount > 90 / 8, "bounded slices")
        for number in 0..<90 {
            #expect((mark(of: makeFlow(number), in: cache) != nil) == (number >= 60 || number % 3 == 0))
        }
    }

    @Test("flows expire once their owner is silent, never while it speaks")
    func expire() {
        var cache = ExternalCache(seed: 8, now: now)
        for number in 0..<30 {
            let flow = makeFlow(number, timeoutSeconds: number < 15 ? 50 : 500)
            _ = upsert(flow, origin(1, owner: UInt16(number % 2)), into: &cache)
        }
        var tombstones: [Slot]? = []
        _ = delete(makeFlow(99), origin(2, owner: 1), from: &cache, tombstones: &tombstones)
        let later = now.advanced(bySeconds: 60)
        #expect(expireAll(&cache, later) { _ in .distantFuture } == 0)
        let silence = now.advanced(bySeconds: 20)
        #expect(expireAll(&cache, later) { $0 == 0 ? .distantFuture : silence } == 7, "the odd ones of 0…14")
        #expect(cache.count == 23 && cache.table.occupiedCount == 24, "tombstones are not expiry's business")
        #expect(expireAll(&cache, later) { _ in silence } == 8)
        #expect(cache.count == 15)
        for number in 15..<30 { #expect(mark(of: makeFlow(number), in: cache) != nil) }
    }

    @Test("a flow that ran out while its owner spoke was alive: it goes only after a time of grace")
    func grace() {
        var cache = ExternalCache(seed: 8, now: now)
        _ = upsert(makeFlow(0, timeoutSeconds: 50), origin(1), into: &cache)
        let silence = now.advanced(bySeconds: 100)
        let end = silence.advanced(bySeconds: ExternalCache.graceSeconds)
        #expect(expireAll(&cache, end) { _ in silence } == 0)
        #expect(expireAll(&cache, end.advanced(byMilliseconds: 1)) { _ in silence } == 1)
        // One that had time left runs out without it.
        _ = upsert(makeFlow(0, timeoutSeconds: 101), origin(2), into: &cache)
        let runOut = now.advanced(bySeconds: 101)
        #expect(expireAll(&cache, runOut) { _ in silence } == 0)
        #expect(expireAll(&cache, runOut.advanced(byMilliseconds: 1)) { _ in silence } == 1)
    }

    /// Looks at the whole table in slices, more than once.
    private func expireAll(_ cache: inout ExternalCache, _ now: Instant, ownedUntil: (UInt16) -> Instant) -> Int {
        var count = 0
        for _ in 0..<20 { count += cache.expire(now: now, slotCountMax: 10, ownedUntil: ownedUntil) }
        return count
    }

    @Test("an upsert moves deadline and age on")
    func deadline() throws {
        var cache = ExternalCache(seed: 9, now: now)
        _ = upsert(makeFlow(0, timeoutSeconds: 10), origin(1), into: &cache)
        let later = now.advanced(bySeconds: 7)
        _ = upsert(makeFlow(0, .everything, timeoutSeconds: 100), origin(2), into: &cache, at: later)
        let found = cache.table.find(makeFlow(0).identity)
        let slot = try #require(found)
        #expect(cache.table[slot].deadline == later.advanced(bySeconds: 100))
        #expect(cache.activeSeconds(slot, now: later) == 7)
        #expect(bytes(of: cache.table.record(at: slot)) == recordBytes(makeFlow(0, .everything, timeoutSeconds: 100)))
    }

    @Test("removing everything leaves no flow and no tombstone")
    func removeAll() {
        var cache = ExternalCache(seed: 10, now: now)
        for number in 0..<50 { _ = upsert(makeFlow(number), origin(1), into: &cache) }
        var tombstones: [Slot]? = []
        _ = delete(makeFlow(99), origin(2), from: &cache, tombstones: &tombstones)
        cache.removeAll()
        #expect(cache.count == 0 && cache.table.occupiedCount == 0)
        #expect(cache.counters.destroyed == 50)
        for slot in tombstones ?? [] { cache.settle(slot, sequence: 2) }
        #expect(cache.table.occupiedCount == 0, "a late settling finds nothing")
    }

    @Test("random datagrams in random order end with the latest state of each flow", arguments: 0..<20)
    func churn(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        var cache = ExternalCache(seed: UInt64(seed), now: now)
        var latest: [Int: (sequence: UInt64, isDead: Bool)] = [:]
        var late: [Slot] = []
        for sequence in Array<UInt64>(1...2_000).shuffled(using: &random) {
            // What datagram `sequence` says is a function of its number.
            let number = Int(sequence &* 2_654_435_761 % 97)
            let isDead = sequence % 3 == 0
            if isDead {
                var tombstones: [Slot]? = []
                _ = delete(makeFlow(number), origin(sequence), from: &cache, tombstones: &tombstones)
                late += tombstones ?? []
            } else {
                _ = upsert(makeFlow(number, mark: UInt32(sequence)), origin(sequence), into: &cache)
            }
            if sequence > latest[number]?.sequence ?? 0 { latest[number] = (sequence, isDead) }
        }
        for (number, state) in latest {
            #expect(mark(of: makeFlow(number), in: cache) == (state.isDead ? nil : UInt32(state.sequence)))
        }
        #expect(cache.count == latest.values.count { !$0.isDead })
        for slot in late { cache.settle(slot, sequence: cache.table[slot].sequence) }
        #expect(cache.table.occupiedCount == cache.count)
    }
}
