import Flow
import Testing

@testable import FlowTable

@Suite("Bucket digests")
struct BucketDigestTests {
    /// The sums as they follow from the table's live flows alone.
    private func expected(of table: borrowing FlowTable, owner: UInt16) -> (
        sums: [Int: UInt64], total: UInt64, count: Int
    ) {
        var sums: [Int: UInt64] = [:]
        var (total, count): (UInt64, Int) = (0, 0)
        var position = table.next(after: nil)
        while let slot = position {
            let header = table[slot]
            if !header.flags.contains(.dead), header.owner == owner {
                let digest = table.record(at: slot).digest
                let bucket = Int(BucketDigests.bucket(of: table.record(at: slot).identity))
                sums[bucket, default: 0] &+= digest
                total &+= digest
                count += 1
            }
            position = table.next(after: slot)
        }
        return (sums, total, count)
    }

    private func check(_ table: inout FlowTable, owner: UInt16) {
        let wanted = expected(of: table, owner: owner)
        let digests = table.digests(owner: owner)
        #expect(digests.total == wanted.total)
        #expect(digests.flowCount == wanted.count)
        var differing = 0
        for bucket in 0..<BucketDigests.bucketCount
        where digests.sum(depth: 4, node: bucket) != wanted.sums[bucket, default: 0] {
            differing += 1
        }
        #expect(differing == 0)
        for depth in 0...3 {
            var total: UInt64 = 0
            for node in 0..<BucketDigests.nodeCount(depth: depth) { total &+= digests.sum(depth: depth, node: node) }
            #expect(total == wanted.total)
        }
    }

    @Test("Whatever happens to a cache, the sums stay those of its live flows")
    func upkeep() {
        var random = SeededRandom(seed: 5)
        var cache = InternalCache(seed: 7, now: Instant(nanoseconds: 0))
        let now = Instant(nanoseconds: 1)
        for turn in 0..<20_000 {
            // From here on there are sums of buckets to keep up to date; those before are made by a walk.
            if turn == 10_000 { check(&cache.table, owner: 0) }
            var flow = makeFlow(Int.random(in: 0..<500, using: &random))
            flow.mark = UInt32.random(in: 0..<4, using: &random)
            flow.attributes.insert(.mark)
            if Bool.random(using: &random) { flow.reply.destination = flow.original.source }
            switch Int.random(in: 0..<6, using: &random) {
            case 0, 1: _ = cache.create(flow, now: now)
            case 2, 3: _ = cache.update(flow, now: now)
            case 4: if let slot = cache.destroy(flow.identity) { cache.settle(slot) }
            default: _ = cache.destroy(flow.identity)
            }
        }
        #expect(cache.count > 50)
        check(&cache.table, owner: 0)
        cache.removeAll()
        #expect(cache.table.total(owner: 0).digest == 0)
    }

    @Test("A flow that changes hands is summed under its new owner only")
    func owners() {
        var cache = ExternalCache(seed: 3, now: Instant(nanoseconds: 0))
        let now = Instant(nanoseconds: 1)
        for round in 0..<3 {
            // Of owner 1 from the second round on, of the others by a walk at the end.
            if round == 1 { check(&cache.table, owner: 1) }
            for number in 0..<300 {
                let origin = ExternalCache.Origin(
                    owner: UInt16((number + round) % 3),
                    sequence: UInt64(round * 300 + number + 1),
                    generation: 1,
                    epochGeneration: 1
                )
                let record = EncodedFlowRecord(makeFlow(number))
                _ = cache.upsert(record.bytes, from: origin, now: now) { _ in true }
            }
        }
        for owner: UInt16 in 0..<4 { check(&cache.table, owner: owner) }
        #expect(cache.table.total(owner: 1).flowCount == 100)
    }

    @Test("Sums of buckets that nobody asks for are let go after a million changes, and made anew when asked for")
    func idleBuckets() {
        var cache = InternalCache(seed: 7, now: Instant(nanoseconds: 0))
        for number in 0..<100 { _ = cache.create(makeFlow(number), now: Instant(nanoseconds: 1)) }
        #expect(!cache.table.digests[0].hasBuckets)
        check(&cache.table, owner: 0)
        #expect(cache.table.digests[0].hasBuckets)

        var digests = cache.digests()
        for _ in 0..<BucketDigests.idleChangeCountMax / 2 - 1 {
            digests.subtract(5, bucket: 3)
            digests.add(5, bucket: 3)
        }
        digests.keepBuckets()
        for _ in 0..<BucketDigests.idleChangeCountMax / 2 - 1 {
            digests.subtract(5, bucket: 3)
            digests.add(5, bucket: 3)
        }
        #expect(digests.hasBuckets)
        digests.subtract(5, bucket: 3)
        digests.add(5, bucket: 3)
        #expect(!digests.hasBuckets)
        #expect(digests.total == cache.table.total(owner: 0).digest)
        #expect(digests.sum(depth: 4, node: 3) == 0)
    }

    @Test("The digest leaves out the timeout and nothing else")
    func digest() {
        let flow = makeFlow(1)
        var later = EncodedFlowRecord(flow)
        later.setTimeout(flow.timeoutSeconds + 7)
        let original = EncodedFlowRecord(flow)
        #expect(FlowRecordView(original.bytes).digest == FlowRecordView(later.bytes).digest)
        let count = FlowRecordView(original.bytes).byteCount
        for offset in 0..<count where !(8..<12).contains(offset) {
            var bytes = (0..<count).map { original.bytes.word(at: $0, as: UInt8.self) }
            bytes[offset] ^= 0x10
            // The record's own byte count decides how far is read; what lies behind it is no part of it.
            if offset == 0 { continue }
            #expect(FlowRecordView(bytes.span.bytes).digest != FlowRecordView(original.bytes).digest, "byte \(offset)")
        }
    }

    @Test("Two copies that took different ways to the same flows have the same sums")
    func order() {
        let now = Instant(nanoseconds: 1)
        var one = InternalCache(seed: 1, now: now)
        var other = InternalCache(seed: 2, now: now)
        for number in 0..<400 { _ = one.create(makeFlow(number), now: now) }
        for number in (0..<500).reversed() { _ = other.create(makeFlow(number), now: now) }
        #expect(one.table.total(owner: 0).digest != other.table.total(owner: 0).digest)
        for number in 400..<500 { _ = other.destroy(makeFlow(number).identity) }
        #expect(one.table.total(owner: 0) == other.table.total(owner: 0))
    }

    @Test("A damaged record is found; the external cache then shows the difference")
    func damageOfExternalCache() {
        let now = Instant(nanoseconds: 1)
        var cache = ExternalCache(seed: 3, now: now)
        for number in 0..<10 {
            let origin = ExternalCache.Origin(owner: 0, sequence: 1, generation: 1, epochGeneration: 1)
            _ = cache.upsert(EncodedFlowRecord(makeFlow(number)).bytes, from: origin, now: now) { _ in true }
        }
        let before = cache.table.total(owner: 0).digest
        let foundBefore = cache.inspect(slotCountMax: 100_000)
        #expect(foundBefore == 0)
        let isDamaged = cache.damageFirst()
        #expect(isDamaged)
        #expect(cache.table.total(owner: 0).digest == before)
        let found = cache.inspect(slotCountMax: 100_000)
        #expect(found == 1)
        #expect(cache.counters.damaged == 1)
        #expect(cache.table.total(owner: 0).digest != before)
        let foundAgain = cache.inspect(slotCountMax: 100_000)
        #expect(foundAgain == 0)
    }

    @Test("A damaged record of the internal cache is found and left to the next dump")
    func damageOfInternalCache() {
        let now = Instant(nanoseconds: 1)
        var cache = InternalCache(seed: 3, now: now)
        for number in 0..<10 { _ = cache.create(makeFlow(number), now: now) }
        let before = cache.table.total(owner: 0).digest
        let isDamaged = cache.damageFirst()
        #expect(isDamaged)
        let found = cache.inspect(slotCountMax: 100_000)
        #expect(found == 1)
        #expect(cache.table.total(owner: 0).digest == before)
        cache.beginReconcile()
        cache.beginSlice()
        cache.beginSlice()
        for number in 0..<10 { _ = cache.reconcile(makeFlow(number), now: now) }
        let foundAfterDump = cache.inspect(slotCountMax: 100_000)
        #expect(foundAfterDump == 0)
        #expect(cache.table.total(owner: 0).digest == before)
    }
}
