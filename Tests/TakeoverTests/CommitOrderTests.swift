import Flow
import FlowTable
import Testing

@testable import Takeover

@Suite("The commit's order")
struct CommitOrderTests {
    private let start = Instant(nanoseconds: 5_000_000_000)

    private func makeFlow(_ number: Int, assured: Bool = true, master: Bool = false, timeoutSeconds: UInt32 = 600)
        -> Flow
    {
        var flow = Flow(
            original: Tuple(
                source: Address(ipv4: (10, 0, UInt8(number >> 8), UInt8(number & 255))),
                destination: Address(ipv4: (192, 0, 2, 1)),
                key: ProtocolKey(sourcePort: 1024, destinationPort: 21),
                protocolNumber: IPProtocol.tcp,
                family: .ipv4
            )
        )
        flow.attributes = [.status, .timeout, .mark]
        flow.status = assured ? [.seenReply, .assured, .confirmed] : [.confirmed]
        flow.timeoutSeconds = timeoutSeconds
        flow.mark = UInt32(number)
        if master { flow.attributes.insert(.master) }
        return flow
    }

    private func insert(
        _ flow: Flow,
        talking: Bool = false,
        young: Bool = false,
        owner: UInt16 = 0,
        into cache: inout ExternalCache,
        at now: Instant
    ) {
        var record = EncodedFlowRecord(flow)
        record.setTalking(talking)
        let origin = ExternalCache.Origin(
            owner: owner,
            sequence: 1,
            generation: 1,
            epochGeneration: 1,
            isOfWholeState: !young
        )
        #expect(cache.upsert(record.bytes, from: origin, now: now) { _ in true } == .created)
    }

    private struct Committed: Equatable {
        var number: UInt32
        var timeoutSeconds: UInt32
    }

    /// The records of a batch, read back as the writer reads them.
    private func read(_ batch: CommitOrder.Batch) throws -> [Committed] {
        var committed: [Committed] = []
        var offset = 0
        let bytes = batch.records.span.bytes
        while offset < bytes.byteCount {
            let rest = bytes.extracting(offset..<bytes.byteCount)
            offset += try FlowRecord.validate(rest)
            let view = FlowRecordView(rest)
            committed.append(Committed(number: view.mark, timeoutSeconds: view.timeoutSeconds))
        }
        #expect(committed.count == batch.count)
        return committed
    }

    @Test(
        "talking assured flows come first, then young, then silent ones, then the others, and flows with a master last",
        arguments: [1, 7, 1_000]
    )
    func order(countMax: Int) throws {
        var cache = ExternalCache(seed: 1, now: start)
        for number in 0..<90 {
            let flow = makeFlow(number, assured: number % 3 == 0, master: number % 3 == 2)
            // A flow that has hardly begun does not come forward by talking.
            insert(flow, talking: number % 2 == 0, young: number % 4 < 2, into: &cache, at: start)
        }
        // An expected flow that is itself assured still has to wait for its master.
        insert(makeFlow(200, assured: true, master: true), into: &cache, at: start)
        var order = CommitOrder()
        var numbers: [UInt32] = []
        while let batch = order.next(from: cache, countMax: countMax, now: start, ownedUntil: { _ in start }) {
            #expect(batch.count <= countMax && batch.expiredCount == 0)
            numbers += try read(batch).map(\.number)
            guard numbers.count <= 91 else { break }
        }
        #expect(numbers.count == 91 && Set(numbers).count == 91)
        let kinds = numbers.map { number in
            if number == 200 || number % 3 == 2 { return 4 }
            if number % 3 == 1 { return 3 }
            return number % 2 == 0 ? 0 : number % 4 < 2 ? 1 : 2
        }
        #expect(kinds == kinds.sorted())
        let afterwards = order.next(from: cache, countMax: countMax, now: start, ownedUntil: { _ in start })
        #expect(afterwards?.count == nil)
    }

    @Test("a flow is young for a while only")
    func growsUp() throws {
        var cache = ExternalCache(seed: 6, now: start)
        insert(makeFlow(1), into: &cache, at: start)
        insert(makeFlow(2), young: true, into: &cache, at: start)
        func first(_ seconds: UInt32) throws -> UInt32? {
            let now = start.advanced(bySeconds: seconds)
            var order = CommitOrder()
            guard let batch = order.next(from: cache, countMax: 1, now: now, ownedUntil: { _ in now }) else {
                return nil
            }
            return try read(batch).first?.number
        }
        #expect(try first(CommitOrder.youngSeconds - 1) == 2)
        #expect(try first(CommitOrder.youngSeconds) == 1)
    }

    @Test("batches are full to the limit but for the last")
    func batches() {
        var cache = ExternalCache(seed: 2, now: start)
        for number in 0..<50 { insert(makeFlow(number, assured: number < 25), into: &cache, at: start) }
        var order = CommitOrder()
        var counts: [Int] = []
        while let batch = order.next(from: cache, countMax: 20, now: start, ownedUntil: { _ in start }) {
            counts.append(batch.count)
            guard counts.count < 10 else { break }
        }
        #expect(counts == [20, 20, 10])
    }

    @Test("an empty cache has nothing to commit")
    func empty() {
        let cache = ExternalCache(seed: 3, now: start)
        var order = CommitOrder()
        let batch = order.next(from: cache, countMax: 10, now: start, ownedUntil: { _ in .distantFuture })
        #expect(batch?.count == nil)
    }

    @Test("flows that the kernel holds already are left out, some or all", arguments: [0, 1, 29, 30])
    func preloaded(count: Int) throws {
        var cache = ExternalCache(seed: 5, now: start)
        for number in 0..<30 { insert(makeFlow(number), into: &cache, at: start) }
        cache.beginMirroring()
        for slot in cache.takeChanged(countMax: count) {
            let record = EncodedFlowRecord(cache.table.flow(at: slot))
            cache.confirmMirrored(FlowRecordView(record.bytes), timeoutSeconds: 180, now: start)
        }
        cache.endMirroring(deletesCopy: false)
        var order = CommitOrder()
        var numbers: Set<UInt32> = []
        while let batch = order.next(from: cache, countMax: 7, now: start, ownedUntil: { _ in start }) {
            numbers.formUnion(try read(batch).map(\.number))
        }
        #expect(numbers.count == 30 - count)
    }

    @Test("tombstones are not committed")
    func tombstones() {
        var cache = ExternalCache(seed: 4, now: start)
        let record = EncodedFlowRecord(makeFlow(1))
        let origin = ExternalCache.Origin(owner: 0, sequence: 1, generation: 1, epochGeneration: 1)
        var dead: [Slot]? = []
        _ = cache.delete(record.bytes, from: origin, now: start, tombstones: &dead) { _ in true }
        #expect(cache.table.occupiedCount == 1)
        var order = CommitOrder()
        let batch = order.next(from: cache, countMax: 10, now: start, ownedUntil: { _ in start })
        #expect(batch?.count == nil)
    }

    /// When a flow runs out, in seconds after the start; until when its owner spoke for it (nil: it still does); when
    /// the commit is; what the flow gets.
    private static let timeouts: [(runsOut: UInt32, ownedUntil: UInt32?, commit: UInt32, expected: UInt32?)] = [
        // Time is left: that much.
        (600, 0, 0, 600),
        (600, 95, 100, 500),
        (600, nil, 599, 1),
        // It ran out while its owner spoke for it: the owner's kernel had refreshed it, or it would have been deleted.
        (100, 100, 100, CommitOrder.overdueTimeoutSeconds),
        (100, 150, 160, CommitOrder.overdueTimeoutSeconds),
        (100, nil, 200, CommitOrder.overdueTimeoutSeconds),
        // It ran out after the owner's last word: it is over.
        (100, 99, 100, nil),
        (100, 50, 5_000, nil),
    ]

    @Test("the timeout is what is left; a flow that ran out in its owner's silence is left out", arguments: timeouts)
    func timeout(runsOut: UInt32, ownedUntil: UInt32?, commit: UInt32, expected: UInt32?) throws {
        var cache = ExternalCache(seed: 5, now: start)
        insert(makeFlow(1, timeoutSeconds: runsOut), owner: 9, into: &cache, at: start)
        var order = CommitOrder()
        let batch = order.next(from: cache, countMax: 10, now: start.advanced(bySeconds: commit)) { owner in
            #expect(owner == 9)
            return ownedUntil.map { start.advanced(bySeconds: $0) } ?? .distantFuture
        }
        let handedOut = try #require(batch)
        #expect(try read(handedOut).map(\.timeoutSeconds) == [expected].compactMap { $0 })
        #expect(handedOut.expiredCount == (expected == nil ? 1 : 0))
    }

    @Test("a fraction of a second left counts as a second")
    func fraction() throws {
        var cache = ExternalCache(seed: 6, now: start)
        insert(makeFlow(1, timeoutSeconds: 10), into: &cache, at: start)
        var order = CommitOrder()
        let now = start.advanced(byMilliseconds: 9_999)
        let next = order.next(from: cache, countMax: 1, now: now, ownedUntil: { _ in .distantFuture })
        let batch = try #require(next)
        #expect(try read(batch) == [Committed(number: 1, timeoutSeconds: 1)])
    }

    @Test("what is left out is counted once, in whichever batch")
    func expired() throws {
        var cache = ExternalCache(seed: 7, now: start)
        for number in 0..<30 {
            let flow = makeFlow(number, assured: number % 2 == 0, timeoutSeconds: number < 12 ? 10 : 600)
            insert(flow, into: &cache, at: start)
        }
        var order = CommitOrder()
        var (count, expiredCount) = (0, 0)
        let now = start.advanced(bySeconds: 100)
        while let batch = order.next(from: cache, countMax: 4, now: now, ownedUntil: { _ in start }) {
            count += batch.count
            expiredCount += batch.expiredCount
            guard count <= 30 else { break }
        }
        #expect(count == 18 && expiredCount == 12)
    }

    @Test("flows taken out of the cache between batches do not disturb the rest")
    func removal() throws {
        var cache = ExternalCache(seed: 8, now: start)
        for number in 0..<100 { insert(makeFlow(number), into: &cache, at: start) }
        var order = CommitOrder()
        var numbers: [UInt32] = []
        while let batch = order.next(from: cache, countMax: 9, now: start, ownedUntil: { _ in start }) {
            let committed = try read(batch)
            numbers += committed.map(\.number)
            for flow in committed {
                let slot = cache.table.find(makeFlow(Int(flow.number)).identity)
                cache.remove(try #require(slot))
            }
            guard numbers.count <= 100 else { break }
        }
        #expect(numbers.sorted() == Array(0..<100))
        #expect(cache.count == 0)
    }
}
