import Flow
import Testing

@testable import FlowTable

@Suite("Reconciling with a dump")
struct ReconcileTests {
    private let now = Instant(nanoseconds: 5_000_000_000)

    /// Reads `flows` as a dump in slices of `sliceCount`, calling `between` before each slice.
    private func dump(
        _ flows: [Flow],
        into cache: inout InternalCache,
        sliceCount: Int = 10,
        between: (Int, inout InternalCache) -> Void = { _, _ in }
    ) -> [Slot] {
        var announced: [Slot] = []
        for (slice, first) in stride(from: 0, to: flows.count, by: sliceCount).enumerated() {
            between(slice, &cache)
            cache.beginSlice()
            for flow in flows[first..<min(first + sliceCount, flows.count)] {
                if let slot = cache.reconcile(flow, now: now) { announced.append(slot) }
            }
        }
        return announced
    }

    private func sweep(_ cache: inout InternalCache, slotCountMax: Int = 7) -> [Slot] {
        var buried: [Slot] = []
        for _ in 0..<10_000 {
            if cache.sweepVanished(slotCountMax: slotCountMax, into: &buried) { return buried }
        }
        Issue.record("the sweep does not end")
        return buried
    }

    private func isAlive(_ flow: Flow, in cache: borrowing InternalCache) -> Bool {
        cache.table.find(flow.identity).map { !cache[$0].flags.contains(.dead) } ?? false
    }

    @Test("the cache equals the dump afterwards: missing flows come, others change, vanished ones are buried")
    func plain() {
        var cache = InternalCache(seed: 1, now: now)
        for number in 0..<100 { _ = cache.create(makeFlow(number), now: now) }
        cache.beginReconcile()
        #expect(cache.isReconciling == true)
        // 0…29 have vanished, 30…59 are as they were, 60…99 carry another mark, 100…119 are new.
        let announced = dump((30..<120).map { makeFlow($0, mark: $0 < 60 ? 0 : 1) }, into: &cache)
        #expect(announced.count == 60, "what did not change is not announced again")
        let buried = sweep(&cache)
        #expect(cache.isReconciling == false)
        #expect(Set(buried.map { cache.table.record(at: $0).identity }) == Set((0..<30).map { makeFlow($0).identity }))
        #expect(cache.count == 90 && cache.counters.destroyed == 30)
        for slot in buried { cache.settle(slot) }
        #expect(cache.table.occupiedCount == 90, "after the dump tombstones go as usual")
        for number in 30..<120 {
            let slot = cache.table.find(makeFlow(number).identity)
            #expect(slot.map { cache.table.record(at: $0).mark } == (number < 60 ? 0 : 1))
        }
    }

    @Test("a talking flow's timeout moves the deadline silently, unless the one announced has run out")
    func refreshedTimeout() {
        var cache = InternalCache(seed: 2, now: now)
        let fresh = cache.create(makeFlow(0, timeoutSeconds: 100), now: now)
        let overdue = cache.create(makeFlow(3, timeoutSeconds: 5), now: now)
        // Their talking is known already: it would be news by itself.
        cache.table.setTalking(true, at: fresh)
        cache.table.setTalking(true, at: overdue)
        let later = now.advanced(bySeconds: 30)
        cache.beginReconcile()
        cache.beginSlice()
        cache.beginSlice()
        #expect(cache.reconcile(makeFlow(0, timeoutSeconds: 100), now: later) == nil)
        #expect(cache[fresh].deadline == later.advanced(bySeconds: 100))
        #expect(cache.reconcile(makeFlow(3, timeoutSeconds: 100), now: later) == cache.table.find(makeFlow(3).identity))
        #expect(cache.counters.updated == 0)
    }

    @Test("an event newer than the dump's message wins, in the same slice and over the next slice's beginning")
    func eventWins() {
        for sliceOfEvent in [1, 2] {
            var cache = InternalCache(seed: 3, now: now)
            _ = cache.create(makeFlow(0), now: now)
            cache.beginReconcile()
            for slice in 1...2 {
                cache.beginSlice()
                if slice == sliceOfEvent { _ = cache.update(makeFlow(0, mark: 9), now: now) }
            }
            // The kernel filled this slice's buffer when the slice before was read.
            #expect(cache.reconcile(makeFlow(0, mark: 1), now: now) == nil)
            let slot = cache.table.find(makeFlow(0).identity)
            #expect(slot.map { cache.table.record(at: $0).mark } == 9, "event in slice \(sliceOfEvent)")
            #expect(sweep(&cache) == [])
        }
    }

    @Test("a message of a later slice is newer than the event")
    func dumpWins() {
        var cache = InternalCache(seed: 4, now: now)
        cache.beginReconcile()
        cache.beginSlice()
        let slot = cache.create(makeFlow(0, mark: 9), now: now)
        cache.beginSlice()
        cache.beginSlice()
        #expect(cache.reconcile(makeFlow(0, mark: 1), now: now) == slot)
        #expect(cache.table.record(at: slot).mark == 1)
    }

    @Test("a flow destroyed during the dump is not brought back by an older message, even once its death is settled")
    func noResurrection() {
        var cache = InternalCache(seed: 5, now: now)
        for number in 0..<20 { _ = cache.create(makeFlow(number), now: now) }
        cache.beginReconcile()
        let flows = (0..<20).map { makeFlow($0) }
        let announced = dump(flows, into: &cache, sliceCount: 5) { slice, cache in
            guard slice == 2 else { return }
            // Flow 10 is in the next buffer already; flow 1 was shown before; both are acknowledged at once.
            for number in [1, 10] {
                guard let slot = cache.destroy(makeFlow(number).identity) else {
                    Issue.record("flow \(number) is not there")
                    return
                }
                cache.settle(slot)
                #expect(cache[slot].flags.contains(.dead), "kept to the end of the dump")
            }
        }
        #expect(announced == [])
        for number in [1, 10] { #expect(isAlive(makeFlow(number), in: cache) == false) }
        #expect(cache.count == 18 && cache.table.occupiedCount == 20)
        #expect(sweep(&cache) == [], "they were buried already")
        #expect(cache.table.occupiedCount == 18, "settled tombstones go with the dump's end")
    }

    @Test("a flow that dies during the dump before the cache has heard of it is not brought in by an older message")
    func unknownDeath() {
        var cache = InternalCache(seed: 11, now: now)
        cache.beginReconcile()
        let announced = dump((0..<20).map { makeFlow($0) }, into: &cache, sliceCount: 5) { slice, cache in
            // Twice, as when the flow's rebirth was lost.
            if slice >= 1, slice <= 2 { #expect(cache.destroy(makeFlow(10).identity) == nil) }
        }
        #expect(announced.count == 19 && cache.count == 19)
        #expect(cache.counters.destroyFailed == 2 && cache.counters.created == 19)
        #expect(sweep(&cache) == [], "nobody has to be told")
        #expect(cache.table.occupiedCount == 19)
        #expect(cache.destroy(makeFlow(10).identity) == nil)
        #expect(cache.table.occupiedCount == 19, "without a dump no death is remembered")
    }

    @Test("a tombstone that peers have not acknowledged outlives the dump")
    func unsettledTombstone() {
        var cache = InternalCache(seed: 6, now: now)
        let slot = cache.create(makeFlow(0), now: now)
        cache.beginReconcile()
        cache.beginSlice()
        _ = cache.destroy(makeFlow(0).identity)
        #expect(sweep(&cache) == [])
        #expect(cache.table.occupiedCount == 1)
        cache.settle(slot)
        #expect(cache.table.occupiedCount == 0)
    }

    @Test("a flow that dies and is born again during the dump lives")
    func rebirth() {
        var cache = InternalCache(seed: 7, now: now)
        let slot = cache.create(makeFlow(0), now: now)
        cache.beginReconcile()
        cache.beginSlice()
        _ = cache.destroy(makeFlow(0).identity)
        cache.settle(slot)
        _ = cache.create(makeFlow(0, mark: 2), now: now)
        #expect(cache.reconcile(makeFlow(0, mark: 1), now: now) == nil)
        #expect(sweep(&cache) == [])
        #expect(isAlive(makeFlow(0), in: cache) == true)
        #expect(cache.table.record(at: slot).mark == 2)
    }

    @Test("a dump that starts anew judges by its second run alone")
    func restart() {
        var cache = InternalCache(seed: 8, now: now)
        for number in 0..<30 { _ = cache.create(makeFlow(number), now: now) }
        cache.beginReconcile()
        _ = dump((0..<20).map { makeFlow($0) }, into: &cache)
        // Interrupted in the middle of its sweep; meanwhile 0…9 vanish without an event.
        var buried: [Slot] = []
        #expect(cache.sweepVanished(slotCountMax: 4, into: &buried) == false)
        cache.beginReconcile()
        _ = dump((10..<20).map { makeFlow($0) }, into: &cache)
        buried += sweep(&cache)
        #expect(cache.count == 10)
        for number in 0..<30 { #expect(isAlive(makeFlow(number), in: cache) == (10..<20).contains(number)) }
        #expect(Set(buried).count == 20)
    }

    @Test("without a reconciliation there is nothing to sweep")
    func noReconcile() {
        var cache = InternalCache(seed: 9, now: now)
        _ = cache.create(makeFlow(0), now: now)
        var buried: [Slot] = []
        #expect(cache.sweepVanished(slotCountMax: 1, into: &buried) == true)
        #expect(cache.count == 1 && buried == [])
    }

    @Test("random events between random slices of a dump end with the kernel's table", arguments: 0..<20)
    func churn(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        var cache = InternalCache(seed: UInt64(seed), now: now)
        // What the kernel holds, and what the cache has wrongly: events were lost.
        var kernel: [Int: UInt32] = [:]
        for number in 0..<300 where Bool.random(using: &random) { kernel[number] = 1 }
        for number in 0..<300 where Bool.random(using: &random) { _ = cache.create(makeFlow(number), now: now) }
        cache.beginReconcile()
        var unread = Array(0..<300)
        // The buffer that the kernel has filled, one slice ahead of the reader.
        var buffer: [(Int, UInt32)] = []
        func fill() {
            let numbers = unread.prefix(20)
            unread.removeFirst(numbers.count)
            buffer = numbers.compactMap { number in kernel[number].map { (number, $0) } }
        }
        fill()
        var mark: UInt32 = 1
        while !buffer.isEmpty || !unread.isEmpty {
            cache.beginSlice()
            let slice = buffer
            fill()
            for (number, mark) in slice { _ = cache.reconcile(makeFlow(number, mark: mark), now: now) }
            for _ in 0..<Int.random(in: 0..<30, using: &random) {
                mark += 1
                let number = Int.random(in: 0..<300, using: &random)
                if kernel[number] == nil {
                    kernel[number] = mark
                    _ = cache.create(makeFlow(number, mark: mark), now: now)
                } else if Bool.random(using: &random) {
                    kernel[number] = mark
                    _ = cache.update(makeFlow(number, mark: mark), now: now)
                } else {
                    kernel[number] = nil
                    if let slot = cache.destroy(makeFlow(number).identity), Bool.random(using: &random) {
                        cache.settle(slot)
                    }
                }
            }
        }
        _ = sweep(&cache, slotCountMax: 40)
        #expect(cache.count == kernel.count, "seed \(seed)")
        for (number, mark) in kernel {
            let slot = cache.table.find(makeFlow(number).identity)
            #expect(slot.map { cache.table.record(at: $0).mark } == mark, "seed \(seed), flow \(number)")
        }
    }

    @Test("flows whose timeout traffic refreshed are marked as talking; only a change is announced")
    func talking() {
        var cache = InternalCache(seed: 1, now: now)
        for number in 0..<10 { _ = cache.create(makeFlow(number, timeoutSeconds: 600), now: now) }
        /// Dumps 30 s apart: the first five flows have been refreshed, the others run down.
        func dump(_ round: UInt64, talkers: Range<Int>, into cache: inout InternalCache) -> Set<Int> {
            let later = now.advanced(byMilliseconds: round * 30_000)
            cache.beginReconcile()
            // Two slices: the flows were told of in the one before the dump.
            cache.beginSlice()
            cache.beginSlice()
            var announced: Set<Int> = []
            for number in 0..<10 {
                let left = talkers.contains(number) ? 600 : 600 - UInt32(round) * 30
                let slot = cache.reconcile(makeFlow(number, timeoutSeconds: left), now: later)
                if slot != nil { announced.insert(number) }
            }
            _ = sweep(&cache)
            return announced
        }
        func marked(_ cache: borrowing InternalCache) -> Set<Int> {
            Set(
                (0..<10).filter { number in
                    cache.table.find(makeFlow(number).identity).map { cache.table.record(at: $0).isTalking } ?? false
                }
            )
        }
        let first = dump(1, talkers: 0..<5, into: &cache)
        #expect(first == Set(0..<5))
        #expect(marked(cache) == Set(0..<5))
        let second = dump(2, talkers: 0..<5, into: &cache)
        #expect(second.isEmpty, "they talk as before")
        // The third and fourth have fallen silent: their timeouts go on from where the second dump saw them.
        let later = now.advanced(byMilliseconds: 90_000)
        cache.beginReconcile()
        cache.beginSlice()
        cache.beginSlice()
        #expect(cache.reconcile(makeFlow(3, timeoutSeconds: 570), now: later) != nil)
        #expect(!marked(cache).contains(3))
        // Data of it is unacknowledged: five minutes, less than was left.
        #expect(cache.reconcile(makeFlow(4, timeoutSeconds: 300), now: later) == nil)
        #expect(marked(cache).contains(4))
        // A change of another kind keeps the mark.
        _ = cache.update(makeFlow(1, mark: 7, timeoutSeconds: 600), now: later)
        #expect(marked(cache).contains(1))
    }
}
