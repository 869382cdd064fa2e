import Flow
import Testing

@testable import FlowTable

@Suite("The table")
struct FlowTableTests {
    /// What the table should hold under an identity.
    private struct Expected {
        var record: [UInt8]
        var isDead: Bool
        var mark: UInt32
    }

    @Test("random churn leaves exactly what a dictionary holds", arguments: 0..<8)
    func churn(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        var table = FlowTable(seed: random.next())
        var model: [FlowIdentity: Expected] = [:]
        for step in 0..<12_000 {
            // The table first grows, then shrinks, then grows again over what was freed.
            let isGrowing = step / 4_000 != 1
            let shape = Shape.allCases.randomElement(using: &random) ?? .plain
            let mark = UInt32(step)
            let flow = makeFlow(Int.random(in: 0..<3_000, using: &random), shape, mark: mark)
            let found = table.find(flow.identity)
            #expect((found != nil) == (model[flow.identity] != nil), "step \(step)")
            let record = EncodedFlowRecord(flow)
            let bytes = recordBytes(flow)
            switch (found, Int.random(in: 0..<10, using: &random)) {
            case (nil, let dice) where isGrowing || dice == 0:
                let slot = table.insert(record.bytes, of: flow.identity)
                #expect(table[slot].flags == .occupied && table[slot].sequence == 0, "a reused slot starts fresh")
                model[flow.identity] = Expected(record: bytes, isDead: false, mark: mark)
            case (let slot?, 0..<(isGrowing ? 2 : 6)):
                table.remove(slot)
                model[flow.identity] = nil
            case (let slot?, 6):
                let isDead = model[flow.identity]?.isDead == true
                if isDead { table.revive(slot) } else { table.markDead(slot) }
                model[flow.identity]?.isDead.toggle()
            case (let slot?, _):
                let moved = table.replaceRecord(at: slot, with: record.bytes)
                #expect(table.find(flow.identity) == moved, "step \(step)")
                model[flow.identity]?.record = bytes
            default:
                break
            }
        }
        compare(table, model)
    }

    private func compare(_ table: borrowing FlowTable, _ model: [FlowIdentity: Expected]) {
        #expect(table.occupiedCount == model.count)
        #expect(table.liveCount == model.values.count { !$0.isDead })
        let slots = table.slots
        #expect(slots == slots.sorted() && Set(slots).count == slots.count, "a walk meets every slot once, in order")
        #expect(slots.count == model.count)
        for slot in slots {
            let identity = table.record(at: slot).identity
            #expect(model[identity]?.record == bytes(of: table.record(at: slot)))
            #expect(model[identity]?.isDead == table[slot].flags.contains(.dead))
            #expect(table.find(identity) == slot)
        }
    }

    @Test("flows that differ in zone, zone direction, protocol or family alone are different flows")
    func identities() {
        var table = FlowTable(seed: 1)
        let base = makeFlow(0)
        var variants = [base]
        for zone in [Zone(id: 1), Zone(id: 1, direction: .original), Zone(id: 1, direction: .reply), Zone(id: 2)] {
            var flow = base
            flow.zone = zone
            variants.append(flow)
        }
        var udp = base
        udp.original.protocolNumber = IPProtocol.udp
        udp.reply.protocolNumber = IPProtocol.udp
        variants.append(udp)
        var six = base
        six.original.family = .ipv6
        six.reply.family = .ipv6
        variants.append(six)
        for flow in variants {
            #expect(table.find(flow.identity) == nil)
            let record = EncodedFlowRecord(flow)
            _ = table.insert(record.bytes, of: flow.identity)
        }
        #expect(table.liveCount == variants.count)
        for flow in variants {
            let found = table.find(flow.identity).map { bytes(of: table.record(at: $0)) }
            #expect(found == recordBytes(flow))
        }
    }

    @Test("a record that outgrows its class moves with its header, but leaves the queue's mark behind")
    func move() {
        var table = FlowTable(seed: 2)
        let (small, large) = (EncodedFlowRecord(makeFlow(0, .plain)), EncodedFlowRecord(makeFlow(0, .everything)))
        let slot = table.insert(small.bytes, of: makeFlow(0).identity)
        table[slot].sequence = 77
        table[slot].generation = 3
        table.setOwner(5, of: slot)
        table[slot].flags.formUnion([.queued, .bulkPending])
        let moved = table.replaceRecord(at: slot, with: large.bytes)
        #expect(moved != slot)
        #expect(table[moved].sequence == 77 && table[moved].generation == 3 && table[moved].owner == 5)
        #expect(table[moved].flags == [.occupied, .bulkPending])
        #expect(!table[slot].flags.contains(.occupied), "the old slot is free")
        #expect(table.find(makeFlow(0).identity) == moved)
        #expect(table.liveCount == 1 && table.occupiedCount == 1)
    }

    @Test("freed slots are used again, and memory does not grow")
    func reuse() {
        var table = FlowTable(seed: 3)
        var slots: Set<Slot> = []
        for number in 0..<5_000 {
            let record = EncodedFlowRecord(makeFlow(number * 3, .plain))
            slots.insert(table.insert(record.bytes, of: makeFlow(number * 3).identity))
        }
        let byteCount = table.allocatedByteCount
        for round in 1...3 {
            for slot in slots { table.remove(slot) }
            #expect(table.occupiedCount == 0 && table.next(after: nil) == nil)
            for number in 0..<5_000 {
                let flow = makeFlow((number + round * 10_000) * 3, .plain)
                // Numbers whose flow lies in a zone take another size class: leave them out.
                guard flow.zone == .standard else { continue }
                let record = EncodedFlowRecord(flow)
                let slot = table.insert(record.bytes, of: flow.identity)
                #expect(slots.contains(slot))
            }
            slots = Set(table.slots)
        }
        #expect(table.allocatedByteCount == byteCount)
    }

    @Test("a walk in slices sees each flow once and no more places than it may", arguments: [1, 3, 64, 4_096, 1 << 20])
    func walk(slotCountMax: Int) {
        var table = FlowTable(seed: 4)
        for number in 0..<700 {
            let shape = Shape.allCases[number % Shape.allCases.count]
            let record = EncodedFlowRecord(makeFlow(number, shape))
            let slot = table.insert(record.bytes, of: makeFlow(number).identity)
            // Leave a sparse table.
            if number % 4 != 0 { table.remove(slot) }
        }
        let expected = table.slots
        var seen: [Slot] = []
        var position: Slot?
        var callCount = 0
        repeat {
            let before = seen.count
            position = table.walk(after: position, slotCountMax: slotCountMax) { slot, header in
                #expect(header.flags.contains(.occupied))
                seen.append(slot)
            }
            #expect(seen.count - before <= slotCountMax)
            callCount += 1
            #expect(callCount <= 1_500, "the walk does not end")
        } while position != nil && callCount <= 1_500
        #expect(seen == expected)
    }

    @Test("an empty table has nothing to walk")
    func emptyWalk() {
        let table = FlowTable(seed: 5)
        #expect(table.next(after: nil) == nil)
        #expect(table.walk(after: nil, slotCountMax: 10) { _, _ in Issue.record("nothing is there") } == nil)
        #expect(table.find(makeFlow(0).identity) == nil)
    }

    @Test("a patch changes what it carries and nothing else")
    func patch() {
        var table = FlowTable(seed: 6)
        let flow = makeFlow(0, .everything, mark: 5)
        let record = EncodedFlowRecord(flow)
        let slot = table.insert(record.bytes, of: flow.identity)
        var news = flow
        news.attributes = [.protocolState, .timeout]
        news.protocolState = TCPState.finWait.rawValue
        news.timeoutSeconds = 120
        news.mark = 99
        table.patchRecord(at: slot, with: news)
        var expected = flow
        expected.protocolState = TCPState.finWait.rawValue
        expected.timeoutSeconds = 120
        #expect(bytes(of: table.record(at: slot)) == recordBytes(expected))
        #expect(recordBytes(table.flow(at: slot)) == recordBytes(expected))
    }

    @Test("records are appended back to back with the timeout that is asked for")
    func append() throws {
        var table = FlowTable(seed: 7)
        let flows = [makeFlow(0, .plain), makeFlow(2, .everything)]
        var records: [UInt8] = [0xaa]
        for flow in flows {
            let record = EncodedFlowRecord(flow)
            let slot = table.insert(record.bytes, of: flow.identity)
            table.appendRecord(at: slot, timeoutSeconds: 0x0102_0304, to: &records)
        }
        let expected = flows.map { flow in
            var changed = flow
            changed.timeoutSeconds = 0x0102_0304
            return recordBytes(changed)
        }
        #expect(records == [0xaa] + expected[0] + expected[1])
    }

    @Test("every record size has a class that holds it, and the smallest such")
    func sizeClasses() {
        for byteCount in FlowRecord.byteCountMin...FlowRecord.byteCountMax {
            let sizeClass = SlabStore.sizeClass(for: byteCount)
            #expect(SlabStore.capacity[sizeClass] >= byteCount)
            if sizeClass > 0 { #expect(SlabStore.capacity[sizeClass - 1] < byteCount) }
        }
        #expect(SlabStore.capacity[7] >= FlowRecord.byteCountMax)
    }
}
