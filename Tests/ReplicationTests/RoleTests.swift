import Flow
import FlowTable
import Testing

@testable import Replication

@Suite("Roles of two nodes")
struct RoleTests {
    private func setRole(_ role: NodeRole, of index: Int, in pair: VirtualPair) {
        let node = pair.nodes[index]
        node.node.setRole(role, now: pair.now, internalCache: &node.internalCache)
        if role == .primary { node.node.finishTakeover(now: pair.now) }
    }

    /// What the engine's commit does: the peer's flows become this node's own.
    private func takeOver(_ index: Int, in pair: VirtualPair) {
        let node = pair.nodes[index]
        var flows: [Flow] = []
        var slot = node.externalCache.table.next(after: nil)
        while let current = slot {
            flows.append(node.externalCache.table.flow(at: current))
            slot = node.externalCache.table.next(after: current)
        }
        node.externalCache.removeAll()
        setRole(.primary, of: index, in: pair)
        for flow in flows { node.create(flow, now: pair.now) }
    }

    @Test("after a healed split brain the standby holds everything again")
    func splitBrain() {
        let pair = VirtualPair(seed: 11)
        setRole(.primary, of: 0, in: pair)
        setRole(.backup, of: 1, in: pair)
        pair.run(milliseconds: 50)
        for number in 0..<500 { pair.nodes[0].create(makeFlow(number), now: pair.now) }
        pair.run(milliseconds: 1_000)
        #expect(pair.differences(from: 0) == [])
        // Only VRRP is cut: both are primary for a while, and the sync link goes on.
        takeOver(1, in: pair)
        pair.run(milliseconds: 500)
        for number in 0..<100 { pair.nodes[0].update(makeFlow(number, mark: 3), now: pair.now) }
        for number in 100..<200 { pair.nodes[0].destroy(makeFlow(number).identity) }
        pair.run(milliseconds: 500)
        // VRRP heals: node 0 stays primary without a word, node 1 steps back.
        setRole(.backup, of: 1, in: pair)
        #expect(pair.nodes[1].node.peerStatus[0].synchronisedSince == nil, "its copy is not whole")
        pair.run(milliseconds: 2_000)
        #expect(pair.differences(from: 0) == [])
        #expect(pair.nodes[1].node.peerStatus[0].synchronisedSince != nil)
        #expect(pair.nodes[0].node.takeoverNumber > pair.nodes[1].node.takeoverNumber)
    }

    @Test("a role given up and taken again while the link is cut leaves nothing stale")
    func flipUnderCutLink() {
        let pair = VirtualPair(seed: 12)
        setRole(.primary, of: 0, in: pair)
        pair.run(milliseconds: 50)
        for number in 0..<200 { pair.nodes[0].create(makeFlow(number), now: pair.now) }
        pair.run(milliseconds: 500)
        pair.link.isCut = [true, true]
        setRole(.backup, of: 0, in: pair)
        for number in 0..<100 { pair.nodes[0].destroy(makeFlow(number).identity) }
        for number in 200..<300 { pair.nodes[0].create(makeFlow(number), now: pair.now) }
        pair.run(milliseconds: 300)
        setRole(.primary, of: 0, in: pair)
        pair.run(milliseconds: 200)
        pair.link.isCut = [false, false]
        pair.run(milliseconds: 2_000)
        #expect(pair.differences(from: 0) == [])
    }

    @Test("what was queued when the role was given up still arrives, also over a bad link", arguments: 0..<6)
    func planned(seed: UInt64) {
        let pair = VirtualPair(seed: 20 + seed)
        pair.link.lossPercent = 20
        setRole(.primary, of: 0, in: pair)
        setRole(.backup, of: 1, in: pair)
        pair.run(milliseconds: 1_500)
        for number in 0..<3_000 { pair.nodes[0].create(makeFlow(number), now: pair.now) }
        setRole(.backup, of: 0, in: pair)
        pair.run(milliseconds: 3_000)
        #expect(pair.nodes[1].externalCache.count == 3_000, "seed \(seed)")
    }

    @Test("a takeover is whole when the peer is told of it")
    func wholeTakeover() {
        let pair = VirtualPair(seed: 13)
        setRole(.primary, of: 0, in: pair)
        setRole(.backup, of: 1, in: pair)
        pair.run(milliseconds: 1_000)
        for number in 0..<300 { pair.nodes[0].create(makeFlow(number), now: pair.now) }
        pair.run(milliseconds: 500)
        setRole(.backup, of: 0, in: pair)
        pair.run(milliseconds: 50)
        // Node 1 takes over, but its commit takes a while.
        let node = pair.nodes[1]
        node.node.setRole(.primary, now: pair.now, internalCache: &node.internalCache)
        pair.run(milliseconds: 1_000)
        #expect(pair.nodes[0].node.peerStatus[0].role != .primary, "or its purge would begin")
        for number in 0..<300 { node.create(makeFlow(number), now: pair.now) }
        let finished = pair.now
        node.node.finishTakeover(now: pair.now)
        pair.run(milliseconds: 2_000)
        #expect(pair.nodes[0].node.peerStatus[0].role == .primary)
        let since = pair.nodes[0].node.peerStatus[0].synchronisedSince
        #expect(since.map { $0 > finished } == true, "its state is asked for again once it is whole")
        #expect(pair.nodes[0].externalCache.count == 300)
    }

    @Test("a takeover number that could overflow is refused")
    func hostileNumber() {
        let pair = VirtualPair(seed: 14)
        setRole(.primary, of: 0, in: pair)
        pair.run(milliseconds: 50)
        var bytes = [UInt8](repeating: 0, count: DatagramHeader.byteCount)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        let header = DatagramHeader(
            flags: [],
            nodeID: 77,
            epoch: 9,
            sequence: 1,
            floorDistance: 1,
            takeoverNumber: .max
        )
        header.encode(into: &raw)
        pair.deliver(bytes, to: 0)
        setRole(.backup, of: 0, in: pair)
        setRole(.primary, of: 0, in: pair)
        #expect(pair.nodes[0].node.takeoverNumber == 2)
        #expect(pair.nodes[0].node.received.malformedMessage == 1)
    }
}
