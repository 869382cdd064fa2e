import Flow
import FlowTable
import Testing

@testable import Replication

@Suite("Transfers of the whole state")
struct TransferTests {
    /// Two nodes of which the first holds flows that the second has not heard of; the transfer has just begun.
    private func begun(seed: UInt64, flowCount: Int) -> VirtualPair {
        let pair = VirtualPair(seed: seed)
        pair.link.isCut = [true, true]
        for number in 0..<flowCount { pair.nodes[0].create(makeFlow(number), now: pair.now) }
        pair.link.isCut = [false, false]
        for _ in 0..<50 where !pair.nodes[0].node.isTransferring { pair.run(milliseconds: 1) }
        #expect(pair.nodes[0].node.isTransferring == true)
        return pair
    }

    private func isSynchronised(_ index: Int, in pair: VirtualPair) -> Bool {
        pair.nodes[index].node.peerStatus.allSatisfy { $0.synchronisedSince != nil }
    }

    @Test("flows that change, come and go during a transfer arrive in their last state", arguments: 0..<3)
    func changes(seed: UInt64) {
        let pair = begun(seed: seed, flowCount: 10_000)
        pair.link.lossPercent = 10
        var random = SeededRandom(seed: seed)
        pair.run(milliseconds: 60) { step in
            for _ in 0..<20 {
                let number = Int.random(in: 0..<11_000, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: pair.nodes[0].destroy(makeFlow(number).identity)
                case 1: pair.nodes[0].create(makeFlow(number, mark: UInt32(step)), now: pair.now)
                default:
                    // Labels make the record outgrow its size class: the flow moves.
                    var flow = makeFlow(number, mark: UInt32(step))
                    flow.attributes.insert(.labels)
                    flow.labels.low = 1
                    pair.nodes[0].update(flow, now: pair.now)
                }
            }
        }
        pair.link.lossPercent = 0
        pair.run(milliseconds: 2_000)
        #expect(pair.differences(from: 0) == [])
        #expect(pair.nodes[0].node.isTransferring == false && isSynchronised(1, in: pair))
        #expect(pair.nodes[0].internalCache.table.occupiedCount == pair.nodes[0].internalCache.count)
    }

    @Test("the transfer's count is that of the flows it sent, also if it had to start again")
    func count() {
        let pair = begun(seed: 1, flowCount: 10_000)
        pair.run(milliseconds: 2)
        // An operator asks again in the middle of it.
        pair.nodes[1].node.requestResync(now: pair.now)
        pair.run(milliseconds: 3_000)
        let counts = pair.nodes[1].node.takeEvents().compactMap { event -> Int? in
            guard case .synchronised("r1", let flowCount, _, _) = event else { return nil }
            return flowCount
        }
        #expect(counts.last == 10_000)
        #expect(pair.differences(from: 0) == [])
    }

    @Test("a role given up during a transfer ends it, and removes nothing at the peer", arguments: [0, 1, 3, 10])
    func roleGivenUp(after milliseconds: Int) {
        let pair = begun(seed: 2, flowCount: 10_000)
        pair.run(milliseconds: milliseconds)
        pair.setRole(.backup, of: 0)
        // Changes that nobody is told of any more, among them flows that move.
        for number in 0..<100 {
            var flow = makeFlow(number, mark: 1)
            flow.attributes.insert(.labels)
            pair.nodes[0].update(flow, now: pair.now)
        }
        for number in 100..<200 { pair.nodes[0].destroy(makeFlow(number).identity) }
        pair.run(milliseconds: 2_000)
        let count = pair.nodes[1].externalCache.count
        #expect(pair.nodes[0].node.isTransferring == false)
        #expect(isSynchronised(1, in: pair), "a peer that announces nothing is not waited for")
        #expect(pair.nodes[0].internalCache.table.occupiedCount == pair.nodes[0].internalCache.count)
        pair.setRole(.unset, of: 0)
        pair.run(milliseconds: 2_000)
        #expect(pair.differences(from: 0) == [], "\(count) flows were here before")
    }

    @Test("a role taken, given up and taken while nothing gets through")
    func roleFlips() {
        let pair = begun(seed: 3, flowCount: 2_000)
        pair.run(milliseconds: 1_000)
        #expect(pair.differences(from: 0) == [])
        pair.link.isCut = [true, false]
        for role in [NodeRole.primary, .backup, .primary, .fault, .primary] {
            pair.setRole(role, of: 0)
            for number in 0..<50 { pair.nodes[0].update(makeFlow(number, mark: 8), now: pair.now) }
            for number in 50..<100 { pair.nodes[0].destroy(makeFlow(number).identity) }
            pair.run(milliseconds: 10)
        }
        pair.link.isCut = [false, false]
        pair.run(milliseconds: 2_000)
        #expect(pair.differences(from: 0) == [])
        #expect(isSynchronised(1, in: pair))
    }

    @Test("flushing the internal cache during a transfer ends with two equal caches", arguments: [0, 1, 3, 10, 40])
    func flush(after milliseconds: Int) {
        let pair = begun(seed: 4, flowCount: 10_000)
        pair.run(milliseconds: milliseconds)
        pair.nodes[0].flushInternal(now: pair.now)
        #expect(pair.nodes[0].internalCache.table.occupiedCount == 0)
        for number in 20_000..<20_100 { pair.nodes[0].create(makeFlow(number), now: pair.now) }
        pair.run(milliseconds: 2_000)
        #expect(pair.nodes[0].node.isTransferring == false && pair.nodes[0].node.inFlightCount == 0)
        #expect(isSynchronised(1, in: pair))
        pair.nodes[1].node.requestResync(now: pair.now)
        pair.run(milliseconds: 2_000)
        #expect(pair.differences(from: 0) == [])
    }

    @Test("a transfer's end that is lost when the cache is flushed still arrives")
    func flushLosesEnd() {
        let pair = begun(seed: 5, flowCount: 10)
        // Until the end is under way, that is until the walk and its acknowledgements are over.
        for _ in 0..<50 where pair.nodes[0].node.isTransferring { pair.run(milliseconds: 1) }
        pair.link.isDeaf = [false, true, false]
        pair.run(milliseconds: 5)
        pair.nodes[0].flushInternal(now: pair.now)
        pair.run(milliseconds: 5)
        pair.link.isDeaf = [false, false, false]
        pair.run(milliseconds: 1_500)
        #expect(isSynchronised(1, in: pair))
    }

    @Test("a push sends everything anew; with nobody there it is over at once")
    func push() {
        let pair = VirtualPair(seed: 6)
        for number in 0..<100 { pair.nodes[0].create(makeFlow(number), now: pair.now) }
        pair.nodes[0].node.push(now: pair.now)
        #expect(pair.nodes[0].node.isTransferring == false)
        pair.run(milliseconds: 1_000)
        let before = pair.nodes[0].node.sent
        pair.nodes[0].node.push(now: pair.now)
        #expect(pair.nodes[0].node.isTransferring == true)
        pair.run(milliseconds: 100)
        #expect(pair.nodes[0].node.isTransferring == false && pair.nodes[0].node.inFlightCount == 0)
        #expect(pair.nodes[0].node.sent.upserts == before.upserts + 100)
        #expect(pair.nodes[0].node.sent.transfers == before.transfers + 1)
        #expect(pair.differences(from: 0) == [])
    }

    @Test("live changes do not wait for a transfer")
    func liveFirst() {
        let pair = begun(seed: 7, flowCount: 30_000)
        pair.run(milliseconds: 3)
        pair.nodes[0].create(makeFlow(99_999, mark: 5), now: pair.now)
        pair.run(milliseconds: 4)
        #expect(pair.nodes[1].externalMark(of: makeFlow(99_999)) == 5)
        #expect(pair.nodes[0].node.isTransferring == true)
    }
}
