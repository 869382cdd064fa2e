import Flow
import FlowTable
import Testing

@testable import Replication

@Suite("Hostile datagrams")
struct HostileTests {
    /// The datagrams of a short life of two nodes: every kind of message, both families, losses and repetitions.
    private func realDatagrams(seed: UInt64) -> [[UInt8]] {
        let pair = VirtualPair(seed: seed)
        pair.recording = []
        pair.link.lossPercent = 20
        pair.run(milliseconds: 400) { step in
            pair.nodes[0].create(makeFlow(step, mark: UInt32(step)), now: pair.now)
            if step % 3 == 0 { pair.nodes[0].destroy(makeFlow(step / 2).identity) }
            if step == 200 { pair.setRole(.backup, of: 1) }
        }
        pair.link.isCut = [false, true]
        pair.run(milliseconds: 2_200)
        pair.link.isCut = [false, false]
        pair.run(milliseconds: 600)
        return pair.recording ?? []
    }

    private func mutate(_ datagram: [UInt8], _ other: [UInt8], using random: inout SeededRandom) -> [UInt8] {
        var bytes = datagram
        switch Int.random(in: 0..<8, using: &random) {
        case 0:
            bytes.removeLast(Int.random(in: 0...bytes.count, using: &random))
        case 1:
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            }
        case 2:
            // Behind the header, where only messages and records can catch it.
            guard bytes.count > 40 else { break }
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let place = Int.random(in: 32..<bytes.count, using: &random)
                bytes[place] = [0, 1, 0x7f, 0x80, 0xff].randomElement(using: &random) ?? 0
            }
        case 3:
            // Numbers of the header at their limits.
            let start = [4, 8, 16, 24, 28].randomElement(using: &random) ?? 4
            let words: [UInt64] = [0, 1, 0x3fff_ffff_ffff_ffff, .max, random.next()]
            let word = words.randomElement(using: &random) ?? 0
            for index in 0..<(start == 8 || start == 16 ? 8 : 4) {
                bytes[start + index] = UInt8(truncatingIfNeeded: word >> UInt64(index * 8))
            }
        case 4:
            bytes = Array(bytes.prefix(32)) + Array(other.dropFirst(Int.random(in: 0...other.count, using: &random)))
        case 5:
            bytes += (0..<Int.random(in: 1...64, using: &random)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        case 6:
            let header = Array(bytes.prefix(Int.random(in: 0...40, using: &random)))
            bytes =
                header
                + (0..<Int.random(in: 0...200, using: &random)).map { _ in
                    UInt8(truncatingIfNeeded: random.next())
                }
        default:
            break
        }
        return bytes
    }

    @Test("mutations of real datagrams never trap, are counted by one cause each, and change nothing if malformed")
    func mutations() {
        var counters = ReceiveCounters()
        var (acks, transfers): (UInt64, UInt64) = (0, 0)
        for seed: UInt64 in 0..<6 {
            var random = SeededRandom(seed: seed)
            let datagrams = realDatagrams(seed: seed)
            #expect(datagrams.count > 300)
            let now = Instant(nanoseconds: 3_000_000_000)
            for _ in 0..<5 {
                // A third node, and the two that the datagrams are from and for, in the epochs they had.
                for (name, epoch) in [("victim", UInt64(9)), ("r1", 1), ("r2", 2)] {
                    let node = VirtualNode(name: name, epoch: epoch, now: now)
                    for number in 0..<20 { node.create(makeFlow(1_000 + number), now: now) }
                    // Unchanged, the first ones make members.
                    for datagram in datagrams.prefix(30) { node.receive(datagram, now: now) }
                    attack(node, with: datagrams, from: now, using: &random)
                    #expect(node.internalCache.count == 20, "seed \(seed): no peer changes what this kernel has")
                    counters += node.node.received
                    acks += node.node.sent.acks
                    transfers += node.node.sent.transfers
                }
            }
        }
        #expect(counters.truncated > 0 && counters.foreign > 0 && counters.unknownVersion > 0)
        #expect(counters.malformedMessage > 0 && counters.malformedRecord > 0 && counters.unknownMessage > 0)
        #expect(counters.otherGroup > 0 && counters.own > 0 && counters.unproven > 0 && counters.duplicate > 0)
        #expect(counters.datagrams > 0 && counters.upserts > 0 && counters.deletes > 0)
        #expect(acks > 0 && transfers > 0, "what a sender is told was attacked as well")
    }

    private func attack(
        _ node: VirtualNode,
        with datagrams: [[UInt8]],
        from start: Instant,
        using random: inout SeededRandom
    ) {
        var now = start
        var buffer = [UInt8](repeating: 0, count: 1452)
        for step in 0..<100 {
            now = now.advanced(byMilliseconds: UInt64.random(in: 0...100, using: &random))
            let index = Int.random(in: 0..<datagrams.count, using: &random)
            let other = datagrams[Int.random(in: 0..<datagrams.count, using: &random)]
            let bytes = mutate(datagrams[index], other, using: &random)
            let before = node.node.received
            let contents = node.contents
            node.receive(bytes, now: now)
            #expect(node.node.received.datagramSum == before.datagramSum + 1, "one cause each")
            if node.node.received.refusedWholeSum > before.refusedWholeSum {
                #expect(node.contents == contents, "refused, yet something changed: \(bytes)")
            }
            // The node goes on living: answers, roles, time.
            if step % 50 == 30 {
                let role: NodeRole = step == 30 ? .primary : .backup
                node.node.setRole(role, now: now, internalCache: &node.internalCache)
            }
            node.node.timeOut(now: now, internalCache: &node.internalCache, externalCache: &node.externalCache)
            for _ in 0..<100 where node.transmit(into: &buffer, now: now) == 0 { break }
            _ = node.node.nextDeadline(now: now)
            _ = node.node.peerStatus
            _ = node.node.takeEvents()
        }
    }

    @Test("a malformed message takes the good ones before it along")
    func nothingHalfApplied() {
        let now = Instant(nanoseconds: 1_000_000_000)
        let node = VirtualNode(name: "r1", epoch: 1, now: now)
        let whole = HandMade().upsert(makeFlow(1), makeFlow(2))
        node.receive(Array(whole.dropLast(4)), now: now)
        #expect(node.node.received.malformedMessage == 1)
        var broken = whole
        broken[32 + 28 + 4 + 36 + 4] = 8
        node.receive(broken, now: now)
        #expect(node.node.received.malformedRecord == 1)
        #expect(node.externalCache.count == 0 && node.node.peerStatus.isEmpty)
        node.receive(whole, now: now)
        #expect(node.externalCache.count == 2 && node.node.received.upserts == 2)
    }

    @Test("acknowledgements of what was never sent are counted and settle nothing")
    func invalidAcks() {
        let pair = VirtualPair(seed: 1)
        pair.run(milliseconds: 50)
        pair.link.isCut = [true, true]
        pair.nodes[0].create(makeFlow(1), now: pair.now)
        pair.run(milliseconds: 5)
        let node = pair.nodes[0].node.inFlightCount
        #expect(node == 1)
        let peer = NodeSettings(name: "r2", epoch: 2)
        for cumulative: UInt64 in [1_000, .max, .max - 70_000] {
            let ack = Ack(
                nodeID: NodeSettings(name: "r1", epoch: 1).nodeID,
                epoch: 1,
                cumulative: cumulative,
                ranges: []
            )
            let hand = HandMade(nodeID: peer.nodeID, epoch: 2, sequence: 1, floor: 2, flags: .claiming)
            pair.deliver(hand.datagram { $0.put(ack) }, to: 0)
        }
        #expect(pair.nodes[0].node.sent.invalidAcks == 3)
        #expect(pair.nodes[0].node.inFlightCount == 1)
    }

    @Test("records of later versions' sections are kept and passed on whole, and unknown messages are passed over")
    func laterVersion() throws {
        let now = Instant(nanoseconds: 1_000_000_000)
        let node = VirtualNode(name: "r1", epoch: 1, now: now)
        var datagram = HandMade().datagram { writer in
            writer.putWords(.behind, 0, 0, 0)
            writer.put(.upsert, makeFlow(1, mark: 5))
        }
        datagram[32 + 28] = 0x63
        // One more word in the record, of a section this version does not know.
        let record = 32 + 28 + 20 + 4
        datagram[record - 2] += 4
        datagram[record] += 1
        datagram[record + 3] |= 0x10
        datagram += [1, 2, 3, 4]
        node.receive(datagram, now: now)
        #expect(node.node.received.unknownMessage == 1 && node.node.received.upserts == 1)
        #expect(node.externalMark(of: makeFlow(1)) == 5)
        let found = node.externalCache.table.find(makeFlow(1).identity)
        let slot = try #require(found)
        var records: [UInt8] = []
        node.externalCache.table.appendRecord(at: slot, timeoutSeconds: 3_600, to: &records)
        #expect(records == Array(datagram[record...]))
    }
}
