import Flow
import FlowTable
import Testing

@testable import Replication

@Suite("Proof and repair")
struct RepairTests {
    /// A primary with flows and a backup that has proved its copy of them.
    private func makePair(seed: UInt64, flowCount: Int, isReliable: Bool = true) -> VirtualPair {
        let pair = VirtualPair(seed: seed, isReliable: isReliable)
        pair.setRole(.backup, of: 1)
        for number in 0..<flowCount { pair.nodes[0].create(makeFlow(number), now: pair.now) }
        pair.run(milliseconds: 1_500)
        pair.setRole(.primary, of: 0)
        pair.nodes[0].node.finishTakeover(now: pair.now)
        pair.run(milliseconds: 1_500)
        #expect(pair.differences(from: 0) == [])
        #expect(pair.nodes[1].node.peerStatus[0].synchronisedSince != nil)
        #expect(pair.nodes[0].node.peerStatus[0].peerDifferingFlowCount == 0)
        return pair
    }

    /// Removes, changes and adds flows in a backup's copy as no message of the primary would.
    private func damage(_ pair: VirtualPair, removed: Int, changed: Int, added: Int) {
        let origin = ExternalCache.Origin(owner: 0, sequence: 1, generation: 0, epochGeneration: 0)
        let target = pair.nodes[1]
        for number in 0..<removed {
            if let slot = target.externalCache.table.find(makeFlow(number).identity) {
                target.externalCache.remove(slot)
            }
        }
        for number in removed..<removed + changed {
            if let slot = target.externalCache.table.find(makeFlow(number).identity) {
                target.externalCache.remove(slot)
            }
            _ = target.externalCache.upsert(
                EncodedFlowRecord(makeFlow(number, mark: 77)).bytes,
                from: origin,
                now: pair.now
            ) { _ in true }
        }
        for number in 0..<added {
            _ = target.externalCache.upsert(
                EncodedFlowRecord(makeFlow(900_000 + number)).bytes,
                from: origin,
                now: pair.now
            ) { _ in true }
        }
    }

    @Test(
        "what is missing, changed or extra is found, counted and mended, and nothing else is sent",
        arguments: [0, 20]
    )
    func mend(lossPercent: Int) {
        let pair = makePair(seed: 21, flowCount: 5_000)
        damage(pair, removed: 7, changed: 5, added: 3)
        let before = pair.nodes[0].node.sent
        pair.link.lossPercent = lossPercent
        pair.run(milliseconds: lossPercent == 0 ? 1_000 : 6_000)
        #expect(pair.differences(from: 0) == [])
        let status = pair.nodes[1].node.peerStatus[0]
        #expect(status.synchronisedSince != nil && status.differingFlowCount == 0)
        #expect(status.repairCount >= 1)
        #expect(status.lastRepair?.flowCount == 15, "7 sent, 5 replaced, 3 removed")
        #expect(pair.nodes[0].node.peerStatus[0].peerDifferingFlowCount == 0)
        let after = pair.nodes[0].node.sent
        #expect(after.repairedFlows - before.repairedFlows == 12)
        #expect(after.upserts - before.upserts - (after.resends - before.resends) == 12)
        let events = pair.nodes[1].node.takeEvents()
        #expect(events.contains { if case .repaired("r1", 15, _, _) = $0 { true } else { false } })
    }

    @Test("while the copy differs, both sides say so")
    func whileDiffering() {
        let pair = makePair(seed: 22, flowCount: 500)
        damage(pair, removed: 4, changed: 0, added: 0)
        // The primary hears nothing of the backup's questions.
        pair.link.isDeaf[0] = true
        pair.run(milliseconds: 600)
        #expect(pair.nodes[1].node.peerStatus[0].synchronisedSince == nil)
        #expect(pair.nodes[1].node.peerStatus[0].differingFlowCount > 0)
        pair.link.isDeaf[0] = false
        pair.link.lossPercent = 100
        pair.run(milliseconds: 1)
        pair.link.lossPercent = 0
        pair.run(milliseconds: 2_000)
        #expect(pair.nodes[1].node.peerStatus[0].synchronisedSince != nil)
        #expect(pair.differences(from: 0) == [])
    }

    @Test("after a partition only what changed goes over the wire, deletes as well", arguments: [3_000, 20_000])
    func partition(flowCount: Int) {
        let pair = makePair(seed: 23, flowCount: flowCount)
        pair.link.isCut = [true, true]
        pair.run(milliseconds: 2_500)
        let changed = flowCount / 20
        for number in 0..<changed {
            switch number % 3 {
            case 0: pair.nodes[0].update(makeFlow(number, mark: 5), now: pair.now)
            case 1: pair.nodes[0].destroy(makeFlow(number).identity)
            default: pair.nodes[0].create(makeFlow(flowCount + number), now: pair.now)
            }
        }
        pair.run(milliseconds: 500)
        pair.recording = []
        pair.link.isCut = [false, false]
        var equalAfter: Int?
        pair.run(milliseconds: 3_000) { step in
            if equalAfter == nil, pair.nodes[1].node.peerStatus[0].synchronisedSince != nil {
                equalAfter = step
                let byteCount = (pair.recording ?? []).reduce(0) { $0 + $1.count }
                #expect(byteCount <= 2 * changed * 68 + 65_536, "\(byteCount) bytes for \(changed) flows")
            }
        }
        #expect(equalAfter != nil)
        #expect(pair.differences(from: 0) == [])
        #expect(pair.nodes[1].node.peerStatus[0].lastRepair?.flowCount == changed)
    }

    @Test("a repair goes on beside a load, and both ends agree afterwards")
    func underLoad() {
        let pair = makePair(seed: 24, flowCount: 4_000)
        pair.link.lossPercent = 10
        pair.link.duplicationPercent = 5
        pair.link.delayMilliseconds = 0...4
        damage(pair, removed: 400, changed: 300, added: 200)
        pair.run(milliseconds: 3_000) { step in
            for number in 0..<5 {
                let name = 1_000 + (step * 5 + number) % 6_000
                switch step % 3 {
                case 0: pair.nodes[0].update(makeFlow(name, mark: UInt32(step)), now: pair.now)
                case 1: pair.nodes[0].destroy(makeFlow(name + 1).identity)
                default: pair.nodes[0].create(makeFlow(name), now: pair.now)
                }
            }
        }
        pair.run(milliseconds: 4_000)
        #expect(pair.differences(from: 0) == [])
        #expect(pair.nodes[1].node.peerStatus[0].synchronisedSince != nil)
    }

    @Test("a peer that steps back in the middle of a repair leaves nothing unfinished")
    func steppingBack() {
        let pair = makePair(seed: 26, flowCount: 500)
        damage(pair, removed: 50, changed: 0, added: 0)
        pair.link.isDeaf[0] = true
        pair.run(milliseconds: 600)
        #expect(pair.nodes[1].node.peerStatus[0].synchronisedSince == nil)
        pair.setRole(.backup, of: 0)
        pair.link.isDeaf[0] = false
        pair.run(milliseconds: 1_000)
        let status = pair.nodes[1].node.peerStatus[0]
        #expect(
            status.synchronisedSince != nil && status.differingFlowCount == 0,
            "there is nothing to be in sync with"
        )
        let sent = pair.nodes[1].node.sent.datagrams
        pair.run(milliseconds: 1_000)
        #expect(pair.nodes[1].node.sent.datagrams - sent <= 6, "heartbeats alone")
    }

    @Test("an outranked owner that answers a repair takes nothing from the node that takes over")
    func repairDuringTakeover() {
        let pair = makePair(seed: 27, flowCount: 2_000)
        damage(pair, removed: 100, changed: 0, added: 0)
        // The repair is under way when the backup becomes primary; the old one has not noticed, and its kernel forgets.
        for _ in 0..<300 where pair.nodes[1].node.received.differences == 0 { pair.run(milliseconds: 1) }
        pair.setRole(.primary, of: 1)
        for number in 0..<2_000 { pair.nodes[0].destroy(makeFlow(number).identity) }
        pair.run(milliseconds: 2_000)
        #expect(pair.nodes[1].externalCache.count >= 1_900)
    }

    @Test("an internal cache that was flushed proves nothing, and empties no standby")
    func flushed() {
        let pair = makePair(seed: 28, flowCount: 1_000)
        pair.nodes[0].flushInternal(now: pair.now)
        pair.nodes[0].node.isWhole = false
        pair.run(milliseconds: 2_000)
        #expect(pair.nodes[1].externalCache.count == 1_000)
        pair.nodes[1].node.requestResync(now: pair.now)
        pair.run(milliseconds: 2_000)
        #expect(pair.nodes[1].externalCache.count == 1_000)
        for number in 0..<1_000 { pair.nodes[0].create(makeFlow(number), now: pair.now) }
        pair.nodes[0].node.isWhole = true
        pair.run(milliseconds: 2_000)
        #expect(pair.differences(from: 0) == [])
        #expect(pair.nodes[1].node.peerStatus[0].synchronisedSince != nil)
    }

    @Test("the end of flows that a peer knows from before a restart is told at once")
    func endAfterRestart() {
        let pair = makePair(seed: 29, flowCount: 500)
        pair.restart(0)
        pair.run(milliseconds: 1_000)
        #expect(pair.nodes[1].node.peerStatus[0].synchronisedSince != nil)
        let before = pair.nodes[1].node.received
        for number in 0..<200 { pair.nodes[0].destroy(makeFlow(number).identity) }
        pair.run(milliseconds: 100)
        #expect(pair.nodes[1].externalCache.count == 300)
        pair.run(milliseconds: 1_000)
        #expect(pair.nodes[1].node.received.differences == before.differences, "nothing was left to a repair")
    }

    @Test("items that look alike are all confirmed")
    func alike() {
        let entry = RepairPart.Entry(bucket: 5, items: [7, 9, 7])
        var list = RepairList(peer: 0, nodeID: 9, token: 0)
        list.insert(RepairPart(nodeID: 1, token: 0, epoch: 2, part: 0, partCount: 1, entries: [entry]))
        var plan = RepairPlan([list])
        #expect(plan.partsLacking(bucket: 5, digest: 0xabc_0007).isEmpty)
        #expect((0..<3).map { plan.answers[0].isConfirmed($0) } == [true, false, true])
    }

    @Test("beside a peer that does not acknowledge, a reliable node comes to an end too")
    func mixedModes() {
        let pair = VirtualPair(seed: 30)
        pair.nodes[1] = VirtualNode(name: "r2", epoch: 2, isReliable: false, now: pair.now)
        pair.setRole(.backup, of: 1)
        for number in 0..<2_000 { pair.nodes[0].create(makeFlow(number), now: pair.now) }
        pair.run(milliseconds: 2_000)
        #expect(pair.differences(from: 0) == [] && pair.nodes[1].node.peerStatus[0].synchronisedSince != nil)
        #expect(pair.nodes[0].node.inFlightCount == 0 && pair.nodes[0].node.sent.resends == 0)
    }

    @Test("best effort: nothing is acknowledged or sent again, and digests mend what was lost")
    func bestEffort() {
        let pair = makePair(seed: 25, flowCount: 1_000, isReliable: false)
        pair.link.lossPercent = 15
        pair.run(milliseconds: 2_000) { step in
            pair.nodes[0].create(makeFlow(10_000 + step), now: pair.now)
            if step % 2 == 0 { pair.nodes[0].destroy(makeFlow(step / 2).identity) }
        }
        pair.run(milliseconds: 4_000)
        #expect(pair.differences(from: 0) == [])
        #expect(pair.nodes[1].node.peerStatus[0].repairCount > 0)
        for node in pair.nodes { #expect(node.node.sent.acksSent == 0 && node.node.sent.resends == 0) }
        #expect(pair.nodes[0].internalCache.table.occupiedCount == pair.nodes[0].internalCache.count, "no tombstones")
        #expect(pair.nodes[0].node.inFlightCount == 0)
    }

    @Test("buckets with more flows than a part holds, and lists with gaps, are planned for all the same")
    func planWithLargeBuckets() {
        let digests = (0..<300).map { UInt64($0) &* 0x9e37_79b9_7f4a_7c15 }
        let piece = DigestPiece(token: 4)
        var list = RepairList(peer: 1, nodeID: 9, token: 4)
        for (number, range) in [0..<100, 100..<200, 200..<250].enumerated() {
            let entry = RepairPart.Entry(bucket: 5, items: digests[range].map { piece($0) })
            list.insert(
                RepairPart(nodeID: 1, token: 4, epoch: 2, part: UInt16(number), partCount: 3, entries: [entry])
            )
        }
        var plan = RepairPlan([list])
        var lacking = 0
        for (index, digest) in digests.enumerated() where index % 10 != 0 {
            if !plan.partsLacking(bucket: 5, digest: digest).isEmpty { lacking += 1 }
        }
        #expect(lacking == 45, "of the last 50, those the sender has")
        #expect(plan.partsLacking(bucket: 6, digest: digests[0]).isEmpty, "nobody asked for that bucket")
        let confirmed = plan.answers.reduce(0) { sum, answer in
            sum + (0..<answer.itemCount).count { answer.isConfirmed($0) }
        }
        #expect(confirmed == 225)
    }
}
