import Flow
import FlowTable
import Testing

@testable import Replication

@Suite("A peer's session")
struct SessionTests {
    private let start = Instant(nanoseconds: 1_000_000_000)

    private func makeNode() -> VirtualNode {
        VirtualNode(name: "r1", epoch: 1, now: start)
    }

    private func timeOut(_ node: VirtualNode, at now: Instant) {
        node.node.timeOut(now: now, internalCache: &node.internalCache, externalCache: &node.externalCache)
    }

    @Test("a datagram that arrives twice is applied once, and acknowledged again")
    func duplicate() {
        let node = makeNode()
        let datagram = HandMade(sequence: 1).upsert(makeFlow(1, mark: 1))
        node.receive(datagram, now: start)
        var buffer = [UInt8](repeating: 0, count: 1452)
        while node.transmit(into: &buffer, now: start.advanced(byMilliseconds: 5)) > 0 {}
        node.receive(datagram, now: start.advanced(byMilliseconds: 6))
        #expect(node.node.received.duplicate == 1 && node.node.received.upserts == 1)
        let count = node.transmit(into: &buffer, now: start.advanced(byMilliseconds: 6))
        #expect(count == 32 + 4 + Ack.fixedByteCount, "the first acknowledgement may have been lost")
        #expect(buffer[32] == MessageKind.ack.rawValue && buffer[32 + 4 + 16] == 1)
    }

    @Test("what another traffic group says is counted and not taken")
    func otherGroup() {
        let node = makeNode()
        var hand = HandMade(sequence: 1)
        hand.group = 2
        node.receive(hand.upsert(makeFlow(1)), now: start)
        #expect(node.externalCache.count == 0 && node.node.peerStatus.isEmpty)
        #expect(node.node.received.otherGroup == 1 && node.node.received.foreign == 0)
        hand.group = 0
        node.receive(hand.upsert(makeFlow(1)), now: start)
        #expect(node.externalCache.count == 1)
    }

    @Test("the latest state wins whatever the order of arrival")
    func reordered() {
        let node = makeNode()
        let hand = HandMade()
        let datagrams = (1...4).map { sequence in
            HandMade(sequence: UInt64(sequence)).upsert(makeFlow(1, mark: UInt32(sequence)))
        }
        for index in [1, 0, 3, 2] { node.receive(datagrams[index], now: start) }
        #expect(node.externalMark(of: makeFlow(1)) == 4)
        #expect(node.node.received.stale == 2 && node.node.received.datagrams == 4)
        #expect(hand.sequence == 1)
    }

    @Test("a delete that overtakes an upsert keeps the flow dead, and leaves nothing once the gap is closed")
    func overtakenUpsert() {
        let node = makeNode()
        node.receive(HandMade(sequence: 1).upsert(makeFlow(1)), now: start)
        node.receive(HandMade(sequence: 3).delete(makeFlow(1), makeFlow(2)), now: start)
        #expect(node.externalCache.count == 0 && node.externalCache.table.occupiedCount == 2)
        node.receive(HandMade(sequence: 2).upsert(makeFlow(1), makeFlow(2)), now: start)
        #expect(node.externalCache.count == 0 && node.externalCache.table.occupiedCount == 0)
        #expect(node.node.received.stale == 2)
        // The floor closes a gap as well: what is missing below it was resolved otherwise.
        node.receive(HandMade(sequence: 5).delete(makeFlow(3)), now: start)
        #expect(node.externalCache.table.occupiedCount == 1)
        node.receive(HandMade(sequence: 6, floor: 6).heartbeat(name: "hand"), now: start)
        #expect(node.externalCache.table.occupiedCount == 0)
        // The overtaken datagram is too late for good.
        node.receive(HandMade(sequence: 4).upsert(makeFlow(3)), now: start)
        #expect(node.externalCache.count == 0 && node.node.received.duplicate == 1)
    }

    @Test("a datagram beyond the window is left alone")
    func beyondWindow() {
        let node = makeNode()
        node.receive(HandMade(sequence: 1).upsert(makeFlow(1)), now: start)
        node.receive(HandMade(sequence: 4_098).upsert(makeFlow(2)), now: start)
        #expect(node.node.received.beyondWindow == 1 && node.externalCache.count == 1)
        node.receive(HandMade(sequence: 4_097).upsert(makeFlow(2)), now: start)
        #expect(node.node.received.beyondWindow == 1 && node.externalCache.count == 2)
        // With the sender's floor the window moves along.
        node.receive(HandMade(sequence: 90_000, floor: 89_999).upsert(makeFlow(3)), now: start)
        #expect(node.node.received.beyondWindow == 1 && node.externalCache.count == 3)
    }

    @Test("flows and transfer ends count only in sequenced datagrams")
    func unsequenced() {
        let node = makeNode()
        let hand = HandMade(sequence: 1, floor: 2, flags: .claiming)
        node.receive(hand.upsert(makeFlow(1)), now: start)
        node.receive(hand.delete(makeFlow(1)), now: start)
        node.receive(hand.datagram { $0.putWords(.transferEnd, 1, 1, 0) }, now: start)
        #expect(node.node.received.unknownMessage == 3 && node.node.received.upserts == 0)
        #expect(node.externalCache.table.occupiedCount == 0)
    }

    @Test("an epoch left behind stays behind while the peer is heard")
    func staleEpoch() {
        let node = makeNode()
        node.receive(HandMade(epoch: 5, sequence: 9, floor: 9).upsert(makeFlow(1, mark: 5)), now: start)
        node.receive(HandMade(epoch: 6, sequence: 1).upsert(makeFlow(1, mark: 6)), now: start)
        #expect(node.externalMark(of: makeFlow(1)) == 6, "a new epoch's numbers start low")
        node.receive(HandMade(epoch: 5, sequence: 10).upsert(makeFlow(1, mark: 50)), now: start)
        #expect(node.node.received.staleEpoch == 1 && node.externalMark(of: makeFlow(1)) == 6)
        #expect(node.node.peerStatus.map(\.epoch) == [6])
        #expect(node.node.takeEvents().contains(.peerRestarted(name: node.node.peerStatus[0].name)))
        // A peer whose clock was set back over its restart is let in once its silence is noticed.
        let later = start.advanced(byMilliseconds: ReplicationNode.peerTimeoutMilliseconds)
        timeOut(node, at: later)
        node.receive(HandMade(epoch: 4, sequence: 1).upsert(makeFlow(1, mark: 4)), now: later)
        #expect(node.externalMark(of: makeFlow(1)) == 4)
        #expect(node.node.peerStatus.map(\.epoch) == [4])
    }

    @Test("a recording of a start that was never believed does not displace the peer while it is silent")
    func replayOfAnUnheardStart() {
        let node = makeNode()
        // Epoch 5 answered a challenge, but the answer was caught on its way; then the peer started anew.
        var caught = HandMade(epoch: 5, sequence: 1)
        caught.greeting = nil
        node.receive(caught.heartbeat(name: "hand"), now: start)
        let challenge = node.node.candidates.challenge(to: caught.header)
        #expect(challenge != nil)
        node.receive(HandMade(epoch: 6, sequence: 1).upsert(makeFlow(1, mark: 6)), now: start)
        let later = start.advanced(byMilliseconds: ReplicationNode.peerTimeoutMilliseconds + 1)
        timeOut(node, at: later)
        let replay = caught.datagram { writer in
            let id = NodeSettings(name: "r1", epoch: 1).nodeID
            Hello(nodeID: id, links: 1, epoch: 1, challenge: 9, echo: challenge ?? 0).put(&writer)
            writer.put(.upsert, makeFlow(1, mark: 5))
        }
        for _ in 0..<3 { node.receive(replay, now: later) }
        #expect(node.node.received.unproven == 4)
        #expect(node.externalMark(of: makeFlow(1)) == 6 && node.node.peerStatus.map(\.epoch) == [6])
        node.receive(HandMade(epoch: 6, sequence: 2).upsert(makeFlow(1, mark: 7)), now: later)
        #expect(node.externalMark(of: makeFlow(1)) == 7 && node.node.isUp(0))
    }

    @Test("a restart's tombstones of the old epoch go with it")
    func restartTombstones() {
        let node = makeNode()
        node.receive(HandMade(epoch: 5, sequence: 1).upsert(makeFlow(1)), now: start)
        node.receive(HandMade(epoch: 5, sequence: 3).delete(makeFlow(1)), now: start)
        #expect(node.externalCache.table.occupiedCount == 1)
        node.receive(HandMade(epoch: 6, sequence: 1).upsert(makeFlow(2)), now: start)
        #expect(node.externalCache.table.occupiedCount == 1 && node.externalCache.count == 1)
    }

    @Test("a silent peer's tombstones do not stay for ever")
    func silentTombstones() {
        let node = makeNode()
        node.receive(HandMade(sequence: 1).upsert(makeFlow(1)), now: start)
        node.receive(HandMade(sequence: 3).delete(makeFlow(1)), now: start)
        #expect(node.externalCache.table.occupiedCount == 1)
        timeOut(node, at: start.advanced(byMilliseconds: ReplicationNode.peerTimeoutMilliseconds))
        #expect(node.externalCache.table.occupiedCount == 0)
    }

    @Test("this node's own datagrams are told from those of a double")
    func duplicateNodeID() {
        let node = makeNode()
        let id = NodeSettings(name: "r1", epoch: 1).nodeID
        node.receive(HandMade(nodeID: id, epoch: 1).upsert(makeFlow(1)), now: start)
        #expect(node.node.received.own == 1 && node.node.received.duplicateNodeID == 0)
        #expect(node.node.takeEvents() == [])
        for _ in 0..<3 { node.receive(HandMade(nodeID: id, epoch: 2).upsert(makeFlow(1)), now: start) }
        #expect(node.node.received.duplicateNodeID == 3)
        #expect(node.node.takeEvents() == [.duplicateNodeID], "said once")
        #expect(node.externalCache.count == 0 && node.node.peerStatus.isEmpty)
    }

    @Test("a full table of peers takes no more, and forgets none")
    func tooManyPeers() {
        let node = makeNode()
        for number in 0..<70 {
            node.receive(HandMade(nodeID: UInt32(1_000 + number)).upsert(makeFlow(number)), now: start)
        }
        #expect(node.node.peerStatus.count == ReplicationNode.peerCountMax)
        #expect(node.node.received.tooManyPeers == 6)
        #expect(node.externalCache.count == ReplicationNode.peerCountMax)
        node.receive(HandMade(nodeID: 1_063, sequence: 2).upsert(makeFlow(99)), now: start)
        #expect(node.externalCache.count == ReplicationNode.peerCountMax + 1)
        // Whatever all these peers are owed fits into datagrams of the smallest size.
        var buffer = [UInt8](repeating: 0, count: 600)
        var (byteCount, datagramCount) = (0, 0)
        while datagramCount < 100 {
            let count = node.transmit(into: &buffer, now: start.advanced(byMilliseconds: 5))
            guard count > 0 else { break }
            byteCount += count
            datagramCount += 1
        }
        #expect(datagramCount < 100)
        #expect(byteCount >= ReplicationNode.peerCountMax * (4 + Ack.fixedByteCount + 4 + 16))
    }

    @Test("a peer goes down after its silence and comes back with its next word")
    func silence() {
        let node = makeNode()
        node.receive(HandMade(sequence: 1).heartbeat(name: "hand"), now: start)
        #expect(node.node.takeEvents() == [.peerUp(name: "hand")])
        let limit = ReplicationNode.peerTimeoutMilliseconds
        timeOut(node, at: start.advanced(byMilliseconds: limit - 1))
        #expect(node.node.isUp(0) == true)
        timeOut(node, at: start.advanced(byMilliseconds: limit))
        #expect(node.node.isUp(0) == false && node.node.takeEvents() == [.peerDown(name: "hand")])
        node.receive(HandMade(sequence: 2).heartbeat(name: "hand"), now: start.advanced(byMilliseconds: limit + 1))
        #expect(node.node.isUp(0) == true && node.node.takeEvents() == [.peerUp(name: "hand")])
        #expect(node.node.isUp(1) == false, "there is no such peer")
    }

    @Test("a peer that tells no name is not announced again with every heartbeat")
    func nameless() {
        let node = makeNode()
        for sequence: UInt64 in 1...20 { node.receive(HandMade(sequence: sequence).heartbeat(name: ""), now: start) }
        #expect(node.node.takeEvents().count <= 1)
        #expect(node.node.peerStatus[0].name == "node \(String(HandMade.nodeID, radix: 16))")
    }

    @Test("flows of two peers under one tuple: the higher takeover number wins, and a silent owner yields")
    func ownership() {
        let node = makeNode()
        node.receive(HandMade(nodeID: 7, takeoverNumber: 3).upsert(makeFlow(1, mark: 3)), now: start)
        node.receive(HandMade(nodeID: 8, takeoverNumber: 2).upsert(makeFlow(1, mark: 2)), now: start)
        node.receive(HandMade(nodeID: 8, sequence: 2, takeoverNumber: 2).delete(makeFlow(1)), now: start)
        #expect(node.externalMark(of: makeFlow(1)) == 3 && node.node.received.refused == 2)
        node.receive(HandMade(nodeID: 8, sequence: 3, takeoverNumber: 4).upsert(makeFlow(1, mark: 4)), now: start)
        #expect(node.externalMark(of: makeFlow(1)) == 4)
        node.receive(HandMade(nodeID: 7, sequence: 2, takeoverNumber: 3).delete(makeFlow(1)), now: start)
        #expect(node.externalMark(of: makeFlow(1)) == 4, "its kernel tears down what it has lost")
        let later = start.advanced(byMilliseconds: ReplicationNode.peerTimeoutMilliseconds)
        timeOut(node, at: later)
        node.receive(HandMade(nodeID: 7, sequence: 3, takeoverNumber: 3).upsert(makeFlow(1, mark: 33)), now: later)
        #expect(node.externalMark(of: makeFlow(1)) == 33)
    }

    @Test("an outranked owner's straggler does not bring back what the new owner has ended")
    func straggler() {
        let node = makeNode()
        node.receive(HandMade(nodeID: 7, takeoverNumber: 1).upsert(makeFlow(1, mark: 1)), now: start)
        node.receive(HandMade(nodeID: 8, takeoverNumber: 2).upsert(makeFlow(1, mark: 2)), now: start)
        node.receive(HandMade(nodeID: 8, sequence: 2, takeoverNumber: 2).delete(makeFlow(1)), now: start)
        node.receive(HandMade(nodeID: 7, sequence: 2, takeoverNumber: 1).upsert(makeFlow(1, mark: 3)), now: start)
        #expect(node.externalMark(of: makeFlow(1)) == nil && node.node.received.refused == 1)
        // Once the new owner is gone, the old one is believed again.
        let later = start.advanced(byMilliseconds: ReplicationNode.peerTimeoutMilliseconds)
        timeOut(node, at: later)
        node.receive(HandMade(nodeID: 7, sequence: 3, takeoverNumber: 1).upsert(makeFlow(1, mark: 4)), now: later)
        #expect(node.externalMark(of: makeFlow(1)) == 4)
    }

    @Test("the highest takeover number there is leaves a node that takes over heard by its peers")
    func lastTakeoverNumber() throws {
        let node = makeNode()
        let last = DatagramHeader.takeoverNumberMax
        node.receive(HandMade(takeoverNumber: last).upsert(makeFlow(1)), now: start)
        for role in [NodeRole.primary, .backup, .primary] {
            node.node.setRole(role, now: start, internalCache: &node.internalCache)
        }
        var buffer = [UInt8](repeating: 0, count: 1452)
        #expect(node.transmit(into: &buffer, now: start) > 0)
        #expect(try DatagramHeader(decoding: buffer.span.bytes).takeoverNumber == last)
    }
}
