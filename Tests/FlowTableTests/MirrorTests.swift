import Flow
import Testing

@testable import FlowTable

/// A kernel that takes whatever it is told, for tests of what it is told.
private struct Copy {
    var flows: [FlowIdentity: UInt32] = [:]

    /// Writes and deletes what the cache has noted, and confirms it; the cache may change in between.
    mutating func follow(
        _ cache: inout ExternalCache,
        now: Instant,
        countMax: Int = 8,
        between: (inout ExternalCache) -> Void = { _ in }
    ) {
        while cache.hasMirrorBacklog {
            let (gone, goneCount) = cache.takeGone()
            var offset = 0
            for _ in 0..<goneCount {
                let view = FlowRecordView(gone.span.bytes.extracting(offset...))
                flows[view.identity] = nil
                offset += view.byteCount
            }
            var records: [UInt8] = []
            let slots = cache.takeChanged(countMax: countMax)
            for slot in slots { cache.table.appendRecord(at: slot, timeoutSeconds: 180, to: &records) }
            between(&cache)
            offset = 0
            for _ in slots {
                let view = FlowRecordView(records.span.bytes.extracting(offset...))
                flows[view.identity] = view.mark
                cache.confirmMirrored(view, timeoutSeconds: view.timeoutSeconds, now: now)
                offset += view.byteCount
            }
        }
    }
}

@Suite("A copy of the external cache in the kernel")
struct MirrorTests {
    private let start = Instant(nanoseconds: 5_000_000_000)

    private func origin(_ sequence: UInt64) -> ExternalCache.Origin {
        ExternalCache.Origin(owner: 0, sequence: sequence, generation: 1, epochGeneration: 1)
    }

    private func upsert(_ flow: Flow, _ sequence: UInt64, into cache: inout ExternalCache) {
        let record = EncodedFlowRecord(flow)
        _ = cache.upsert(record.bytes, from: origin(sequence), now: start) { _ in true }
    }

    private func delete(_ flow: Flow, _ sequence: UInt64, from cache: inout ExternalCache) {
        let record = EncodedFlowRecord(flow)
        var tombstones: [Slot]?
        _ = cache.delete(record.bytes, from: origin(sequence), now: start, tombstones: &tombstones) { _ in true }
    }

    private func expectEqual(_ copy: Copy, _ cache: borrowing ExternalCache) {
        var held: [FlowIdentity: UInt32] = [:]
        var slot = cache.table.next(after: nil)
        while let current = slot {
            let view = cache.table.record(at: current)
            if !cache.table[current].flags.contains(.dead) { held[view.identity] = view.mark }
            slot = cache.table.next(after: current)
        }
        #expect(copy.flows == held)
        #expect(cache.mirroredCount == held.count)
    }

    @Test("what was there, what comes, changes and goes reaches the kernel")
    func follows() {
        var cache = ExternalCache(seed: 1, now: start)
        for number in 0..<20 { upsert(makeFlow(number), 1, into: &cache) }
        #expect(cache.hasMirrorBacklog == false)
        cache.beginMirroring()
        var copy = Copy()
        copy.follow(&cache, now: start)
        expectEqual(copy, cache)
        for number in 10..<30 { upsert(makeFlow(number, mark: 9), 2, into: &cache) }
        for number in 0..<5 { delete(makeFlow(number), 3, from: &cache) }
        // A record that outgrows its place.
        upsert(makeFlow(12, .everything, mark: 11), 4, into: &cache)
        copy.follow(&cache, now: start)
        expectEqual(copy, cache)
        #expect(copy.flows.count == 25)
    }

    @Test("a flow that goes while it is being written is deleted again")
    func goesMeanwhile() {
        var cache = ExternalCache(seed: 2, now: start)
        cache.beginMirroring()
        for number in 0..<6 { upsert(makeFlow(number), 1, into: &cache) }
        var copy = Copy()
        var isFirst = true
        copy.follow(&cache, now: start) { cache in
            guard isFirst else { return }
            isFirst = false
            delete(makeFlow(2), 2, from: &cache)
            upsert(makeFlow(3, mark: 5), 3, into: &cache)
        }
        expectEqual(copy, cache)
        #expect(copy.flows.count == 5 && copy.flows[makeFlow(3).identity] == 5)
    }

    @Test("what the kernel lost, refused or is about to forget is written again")
    func refresh() {
        var cache = ExternalCache(seed: 3, now: start)
        cache.beginMirroring()
        for number in 0..<4 { upsert(makeFlow(number), 1, into: &cache) }
        var copy = Copy()
        copy.follow(&cache, now: start)
        copy.flows[makeFlow(1).identity] = nil
        cache.noteLost(makeFlow(1).identity)
        #expect(cache.mirroredCount == 3)
        copy.follow(&cache, now: start)
        expectEqual(copy, cache)
        // 180 s were given: at 80 s there is time, at 100 s there is not.
        cache.refreshMirrored(now: start.advanced(bySeconds: 80), slotCountMax: 10_000, whenSecondsLeft: 90)
        #expect(cache.hasMirrorBacklog == false)
        cache.refreshMirrored(now: start.advanced(bySeconds: 100), slotCountMax: 10_000, whenSecondsLeft: 90)
        #expect(cache.takeChanged(countMax: 10).count == 4)
        // Those four were refused: they are looked for again.
        cache.noteLost(makeFlow(0).identity)
        _ = cache.takeChanged(countMax: 10)
        cache.refreshMirrored(now: start, slotCountMax: 10_000, whenSecondsLeft: 90)
        #expect(cache.takeChanged(countMax: 10).count == 1)
    }

    @Test("a takeover keeps the copy: nothing that goes afterwards is deleted in the kernel")
    func takeover() {
        var cache = ExternalCache(seed: 4, now: start)
        cache.beginMirroring()
        for number in 0..<10 { upsert(makeFlow(number), 1, into: &cache) }
        var copy = Copy()
        copy.follow(&cache, now: start)
        upsert(makeFlow(10), 2, into: &cache)
        cache.endMirroring(deletesCopy: false)
        #expect(cache.mirroredCount == 10 && cache.hasMirrorBacklog == false)
        delete(makeFlow(4), 3, from: &cache)
        #expect(cache.hasMirrorBacklog == false && cache.mirroredCount == 9)
        var position: Slot?
        repeat { position = cache.releaseMirrored(after: position, slotCountMax: 3) } while position != nil
        #expect(cache.count == 1 && cache.mirroredCount == 0 && cache.hasMirrorBacklog == false)
    }

    @Test("what the copy has in an older state is left to the takeover's commit, and no late confirmation hides it")
    func changesAroundTakeover() {
        var cache = ExternalCache(seed: 6, now: start)
        cache.beginMirroring()
        for number in 0..<6 { upsert(makeFlow(number), 1, into: &cache) }
        var copy = Copy()
        copy.follow(&cache, now: start)
        upsert(makeFlow(1, mark: 7), 2, into: &cache)
        cache.endMirroring(deletesCopy: false)
        #expect(cache.mirroredCount == 5)
        // The owner goes on until it has heard of the takeover.
        upsert(makeFlow(2, mark: 8), 3, into: &cache)
        #expect(cache.mirroredCount == 4)
        for number in 1...2 {
            let older = EncodedFlowRecord(makeFlow(number))
            cache.confirmMirrored(FlowRecordView(older.bytes), timeoutSeconds: 180, now: start)
        }
        #expect(cache.mirroredCount == 4 && cache.hasMirrorBacklog == false)
    }

    @Test("a copy that nobody watched for a while is written anew as a whole")
    func beginsAnew() {
        var cache = ExternalCache(seed: 7, now: start)
        cache.beginMirroring()
        for number in 0..<6 { upsert(makeFlow(number), 1, into: &cache) }
        var copy = Copy()
        copy.follow(&cache, now: start)
        // A takeover that was given up before its end; meanwhile somebody has emptied the kernel's table.
        cache.endMirroring(deletesCopy: false)
        copy.flows = [:]
        cache.beginMirroring()
        copy.follow(&cache, now: start)
        expectEqual(copy, cache)
    }

    @Test("a node that no longer stands by takes its copy out of the kernel")
    func cleanUp() {
        var cache = ExternalCache(seed: 5, now: start)
        cache.beginMirroring()
        for number in 0..<10 { upsert(makeFlow(number), 1, into: &cache) }
        var copy = Copy()
        copy.follow(&cache, now: start)
        cache.endMirroring(deletesCopy: true)
        copy.follow(&cache, now: start)
        #expect(copy.flows.isEmpty && cache.count == 10 && cache.mirroredCount == 0)
    }
}
