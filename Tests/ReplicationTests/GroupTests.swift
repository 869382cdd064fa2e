import Flow
import FlowTable
import Testing

@testable import Replication

@Suite("Three nodes on one link")
struct GroupTests {
    /// The first node handles the traffic, the others stand by.
    private func makeGroup(seed: UInt64) -> VirtualNetwork {
        let group = VirtualNetwork(seed: seed, nodeCount: 3)
        group.setRole(.primary, of: 0)
        group.nodes[0].node.finishTakeover(now: group.now)
        for index in [1, 2] { group.setRole(.backup, of: index) }
        group.run(milliseconds: 1_000)
        #expect(group.nodes[0].node.peerStatus.map(\.isMember) == [true, true])
        return group
    }

    private func churn(_ group: VirtualNetwork, _ step: Int, using random: inout SeededRandom) {
        for _ in 0..<5 {
            let number = Int.random(in: 0..<300, using: &random)
            if Int.random(in: 0..<3, using: &random) == 0 {
                group.nodes[0].destroy(makeFlow(number).identity)
            } else {
                group.nodes[0].update(makeFlow(number, mark: UInt32(step)), now: group.now)
            }
        }
    }

    @Test("one stream serves both receivers, each with its own losses", arguments: 0..<3)
    func churn(seed: UInt64) {
        let group = makeGroup(seed: seed)
        var random = SeededRandom(seed: seed)
        group.link.lossPercent = 15
        group.link.duplicationPercent = 5
        group.link.delayMilliseconds = 0...7
        group.run(milliseconds: 1_000) { churn(group, $0, using: &random) }
        group.link.lossPercent = 0
        group.run(milliseconds: 3_000)
        #expect(group.differences(from: 0, to: 1) == [], "seed \(seed)")
        #expect(group.differences(from: 0, to: 2) == [], "seed \(seed)")
        #expect(group.nodes[0].internalCache.table.occupiedCount == group.nodes[0].internalCache.count)
        #expect(group.nodes[0].node.inFlightCount == 0 && group.nodes[0].node.queuedCount == 0)
    }

    @Test("a receiver that falls silent does not hold up the other, and catches up when it is back")
    func silent() {
        let group = makeGroup(seed: 10)
        group.link.isCut[2] = true
        group.link.isDeaf[2] = true
        // More datagrams than may be under way at a time: the silent node's are given up one window after the other.
        for number in 0..<80_000 { group.nodes[0].create(makeFlow(number), now: group.now) }
        var late = 0
        group.run(milliseconds: 2_400) { step in
            if step == 500 { #expect(group.nodes[1].externalCache.count >= 80_000) }
            guard step >= 500, step < 1_500 else { return }
            // What was announced twenty milliseconds ago is there by now.
            if step >= 520, group.nodes[1].externalCache.count < 80_000 + (step - 520) * 5 { late += 1 }
            for number in 0..<5 {
                group.nodes[0].create(makeFlow(80_000 + (step - 500) * 5 + number), now: group.now)
            }
        }
        #expect(late == 0)
        #expect(group.nodes[0].node.peerStatus.map(\.isMember) == [true, false], "it has left")
        group.link.isCut[2] = false
        group.link.isDeaf[2] = false
        for index in [1, 2] { group.nodes[index].node.requestResync(now: group.now) }
        group.run(milliseconds: 3_000)
        for index in [1, 2] { #expect(group.differences(from: 0, to: index) == []) }
    }

    @Test("a second receiver that asks during a transfer gets its own end, with the true count")
    func secondRequest() {
        let group = VirtualNetwork(seed: 14, nodeCount: 3)
        for index in [1, 2] { group.setRole(.backup, of: index) }
        group.link.isCut[2] = true
        for number in 0..<10_000 { group.nodes[0].create(makeFlow(number), now: group.now) }
        for _ in 0..<50 where !group.nodes[0].node.isTransferring { group.run(milliseconds: 1) }
        group.run(milliseconds: 3)
        #expect(group.nodes[0].node.isTransferring == true)
        group.link.isCut[2] = false
        group.nodes[2].node.requestResync(now: group.now)
        group.run(milliseconds: 2)
        #expect(group.nodes[0].node.isTransferring == true, "the walk began anew")
        group.run(milliseconds: 2_000)
        for index in [1, 2] {
            #expect(group.differences(from: 0, to: index) == [])
            let counts = group.nodes[index].node.takeEvents().compactMap { event -> Int? in
                guard case .synchronised("r1", let flowCount, _, _) = event else { return nil }
                return flowCount
            }
            #expect(counts == [10_000])
        }
    }

    @Test("a receiver that leaves with everything still in flight leaves no tombstone and no datagram behind")
    func leaving() {
        let group = makeGroup(seed: 11)
        for number in 0..<500 { group.nodes[0].create(makeFlow(number), now: group.now) }
        group.run(milliseconds: 100)
        group.link.isCut[2] = true
        for number in 0..<400 { group.nodes[0].destroy(makeFlow(number).identity) }
        group.run(milliseconds: 100)
        #expect(group.nodes[0].internalCache.table.occupiedCount == 500, "node 3 may not know yet")
        #expect(group.nodes[1].externalCache.count == 100)
        group.run(milliseconds: 2_500)
        #expect(group.nodes[0].internalCache.table.occupiedCount == 100)
        #expect(group.nodes[0].node.inFlightCount == 0)
        // Both leave: nothing is kept for anyone.
        group.link.isCut[1] = true
        for number in 400..<500 { group.nodes[0].destroy(makeFlow(number).identity) }
        group.run(milliseconds: 2_500)
        #expect(group.nodes[0].internalCache.table.occupiedCount == 0)
        #expect(group.nodes[0].node.inFlightCount == 0 && group.nodes[0].node.queuedCount == 0)
        group.link.isCut = [false, false, false]
        group.run(milliseconds: 2_000)
        for index in [1, 2] { #expect(group.differences(from: 0, to: index) == []) }
    }

    @Test("a receiver that only hears is told that it is behind, once it can be heard again")
    func halfDeaf() {
        let group = makeGroup(seed: 12)
        group.link.isCut[2] = true
        group.run(milliseconds: 2_500)
        for number in 0..<200 { group.nodes[0].create(makeFlow(number), now: group.now) }
        group.link.lossPercent = 50
        group.run(milliseconds: 300)
        group.link.lossPercent = 0
        group.link.isCut[2] = false
        group.run(milliseconds: 2_000)
        for index in [1, 2] { #expect(group.differences(from: 0, to: index) == []) }
        #expect(group.nodes[0].node.peerStatus.map(\.isMember) == [true, true])
    }

    @Test("a takeover by one standby moves the flows' owner at the other")
    func takeover() {
        let group = makeGroup(seed: 13)
        for number in 0..<200 { group.nodes[0].create(makeFlow(number), now: group.now) }
        group.run(milliseconds: 500)
        // Node 1 dies; node 2 takes over, and some flows change there.
        group.link.isCut[0] = true
        group.link.isDeaf[0] = true
        group.nodes[1].externalCache.removeAll()
        group.setRole(.primary, of: 1)
        for number in 0..<200 { group.nodes[1].create(makeFlow(number, mark: 2), now: group.now) }
        group.nodes[1].node.finishTakeover(now: group.now)
        group.run(milliseconds: 1_000)
        #expect(group.differences(from: 1, to: 2) == [])
        for number in 0..<100 { group.nodes[1].destroy(makeFlow(number).identity) }
        group.run(milliseconds: 100)
        // Node 1 comes back, believing that it is primary still, with all its old flows.
        group.link.isCut[0] = false
        group.link.isDeaf[0] = false
        for number in 100..<200 { group.nodes[0].update(makeFlow(number, mark: 1), now: group.now) }
        group.run(milliseconds: 2_000)
        for number in 100..<200 { #expect(group.nodes[2].externalMark(of: makeFlow(number)) == 2) }
        #expect(group.nodes[1].internalCache.count == 100)
    }

    @Test("two that took over at once have the same number: a third holds what the higher node id says, and rests")
    func equalNumbers() throws {
        let group = VirtualNetwork(seed: 40, nodeCount: 3)
        group.run(milliseconds: 500)
        group.link.isCut = [true, true, false]
        group.link.isDeaf = [true, true, false]
        for index in [0, 1] {
            group.setRole(.primary, of: index)
            group.nodes[index].node.finishTakeover(now: group.now)
        }
        group.setRole(.backup, of: 2)
        for number in 0..<50 {
            for index in [0, 1] { group.nodes[index].create(makeFlow(number, mark: UInt32(index + 1)), now: group.now) }
        }
        group.run(milliseconds: 3_000)
        group.link.isCut = [false, false, false]
        group.link.isDeaf = [false, false, false]
        group.run(milliseconds: 8_000)
        #expect(group.nodes[0].node.takeoverNumber == group.nodes[1].node.takeoverNumber)
        let ids = [0, 1].map { group.nodes[$0].node.nodeID }
        let winner: UInt32 = ids[0] > ids[1] ? 1 : 2
        func marks() -> Set<UInt32> {
            Set(
                (0..<50).map { number in
                    group.nodes[2].externalCache.table.find(makeFlow(number).identity)
                        .map { group.nodes[2].externalCache.table.flow(at: $0).mark } ?? 0
                }
            )
        }
        #expect(marks() == [winner])
        let repaired = group.nodes[2].node.received.repairedFlows
        group.run(milliseconds: 5_000) { _ in #expect(marks() == [winner]) }
        #expect(group.nodes[2].node.received.repairedFlows == repaired, "the copies are not fought over")
    }
}
