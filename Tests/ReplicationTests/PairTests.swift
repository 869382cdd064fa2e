import Flow
import FlowTable
import Testing

@testable import Replication

@Suite("Two nodes")
struct PairTests {
    @Test("a loss-free link carries creates, updates and deletes")
    func plain() {
        let pair = VirtualPair(seed: 1)
        pair.run(milliseconds: 50)
        for number in 0..<5_000 { pair.nodes[0].create(makeFlow(number), now: pair.now) }
        pair.run(milliseconds: 200)
        #expect(pair.differences(from: 0) == [])
        for number in 0..<1_000 { pair.nodes[0].update(makeFlow(number, mark: 7), now: pair.now) }
        for number in 1_000..<2_000 { pair.nodes[0].destroy(makeFlow(number).identity) }
        pair.run(milliseconds: 200)
        #expect(pair.differences(from: 0) == [])
        #expect(pair.nodes[1].externalCache.count == 4_000)
        #expect(pair.nodes[0].internalCache.table.occupiedCount == 4_000, "acknowledged tombstones must go")
        #expect(pair.nodes[0].node.peerStatus[0].isMember)
        #expect(pair.nodes[1].node.peerStatus[0].synchronisedSince != nil)
    }

    @Test("flows known before the peer came are transferred, and what the transfer leaves out goes")
    func transfer() {
        let pair = VirtualPair(seed: 2)
        pair.link.isCut = [true, true]
        for number in 0..<20_000 { pair.nodes[0].create(makeFlow(number), now: pair.now) }
        pair.run(milliseconds: 100)
        pair.link.isCut = [false, false]
        pair.run(milliseconds: 1_500)
        #expect(pair.differences(from: 0) == [])
        // The sender restarts; half of its flows are gone meanwhile.
        for number in 0..<10_000 { _ = pair.nodes[0].internalCache.destroy(makeFlow(number).identity) }
        pair.restart(0)
        pair.run(milliseconds: 1_500)
        #expect(pair.nodes[1].externalCache.count == 10_000)
        #expect(pair.differences(from: 0) == [])
    }

    @Test("random churn over a bad link ends equal", arguments: 0..<24)
    func churn(seed: Int) {
        let pair = VirtualPair(seed: UInt64(seed))
        pair.link.lossPercent = [0, 10, 30][seed % 3]
        pair.link.duplicationPercent = 5
        pair.link.delayMilliseconds = 0...UInt64(seed % 5 * 3)
        var random = SeededRandom(seed: UInt64(seed) &+ 1_000)
        pair.run(milliseconds: 2_000) { step in
            for _ in 0..<5 {
                let number = Int.random(in: 0..<300, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: pair.nodes[0].destroy(makeFlow(number).identity)
                case 1: pair.nodes[0].create(makeFlow(number, mark: UInt32(step)), now: pair.now)
                default: pair.nodes[0].update(makeFlow(number, mark: UInt32(step)), now: pair.now)
                }
            }
            if seed % 4 == 1, step == 700 { pair.restart(1) }
            if seed % 4 == 2, step == 900 { pair.restart(0) }
            if seed % 4 == 3 {
                if step == 300 { pair.link.isCut = [seed % 8 == 3, true] }
                if step == 1_500 { pair.link.isCut = [false, false] }
            }
        }
        pair.link.lossPercent = 0
        pair.run(milliseconds: 5_000)
        let differences = pair.differences(from: 0)
        #expect(differences == [], "seed \(seed)")
        #expect(pair.nodes[0].internalCache.table.occupiedCount == pair.nodes[0].internalCache.count, "seed \(seed)")
        #expect(pair.nodes[1].externalCache.table.occupiedCount == pair.nodes[1].externalCache.count, "seed \(seed)")
    }

    @Test("a backup announces nothing, and its silence removes nothing at the peer")
    func backup() {
        let pair = VirtualPair(seed: 3)
        pair.run(milliseconds: 20)
        for number in 0..<100 { pair.nodes[0].create(makeFlow(number), now: pair.now) }
        pair.run(milliseconds: 100)
        pair.nodes[0].node.setRole(.backup, now: pair.now, internalCache: &pair.nodes[0].internalCache)
        for number in 100..<200 { pair.nodes[0].create(makeFlow(number), now: pair.now) }
        pair.restart(0)
        pair.run(milliseconds: 1_000)
        #expect(pair.nodes[1].externalCache.count == 100)
        #expect(pair.nodes[1].node.peerStatus[0].role == .backup)
    }

    @Test("a router that missed its loss cannot plant its old flows where they were taken over")
    func outranked() {
        let pair = VirtualPair(seed: 4)
        pair.nodes[0].node.setRole(.primary, now: pair.now, internalCache: &pair.nodes[0].internalCache)
        pair.run(milliseconds: 50)
        for number in 0..<10 { pair.nodes[0].create(makeFlow(number), now: pair.now) }
        pair.run(milliseconds: 50)
        // Node 1 takes over: its flows are now its own.
        for number in 0..<10 { pair.nodes[1].create(makeFlow(number, mark: 9), now: pair.now) }
        pair.nodes[1].externalCache.removeAll()
        pair.nodes[1].node.setRole(.primary, now: pair.now, internalCache: &pair.nodes[1].internalCache)
        pair.run(milliseconds: 50)
        for number in 0..<10 { pair.nodes[0].update(makeFlow(number, mark: 1), now: pair.now) }
        for number in 0..<5 { pair.nodes[0].destroy(makeFlow(number).identity) }
        pair.run(milliseconds: 500)
        #expect(pair.nodes[1].externalCache.count == 0)
        #expect(pair.nodes[1].internalCache.count == 10)
        #expect(pair.nodes[1].node.received.refused > 0)
        #expect(pair.nodes[0].node.takeEvents().contains(.outranked(name: "r2", takeoverNumber: 2)))
    }

    @Test("a flow that comes and goes before it is sent costs nothing")
    func coalescing() {
        let pair = VirtualPair(seed: 5)
        pair.run(milliseconds: 50)
        for number in 0..<1_000 {
            pair.nodes[0].create(makeFlow(number), now: pair.now)
            pair.nodes[0].destroy(makeFlow(number).identity)
        }
        pair.run(milliseconds: 50)
        #expect(pair.nodes[0].node.sent.coalesced == 1_000)
        #expect(pair.nodes[0].node.sent.upserts == 0)
        #expect(pair.nodes[0].internalCache.table.occupiedCount == 0)
    }
}
