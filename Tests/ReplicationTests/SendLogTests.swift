import Flow
import FlowTable
import Testing

@testable import Replication

@Suite("The sender's log")
struct SendLogTests {
    private let now = Instant(nanoseconds: 1_000_000_000)

    @Test("a datagram is resolved when the last peer has acknowledged it, once")
    func acknowledge() {
        var log = SendLog()
        log.note(Slot(rawValue: 7), isAwaited: false)
        log.note(Slot(rawValue: 9), isAwaited: true)
        #expect(log.close(byteCount: 100, awaiting: 0b101, now: now) == 1)
        #expect(log.inFlightCount == 1 && log.inFlightByteCount == 100)
        #expect(log.acknowledge(1, peers: 0b010) == false, "nobody waits for that peer")
        #expect(log.acknowledge(1, peers: 0b001) == false)
        #expect(log.acknowledge(1, peers: 0b001) == false, "twice is once")
        #expect(log.acknowledge(1, peers: 0b100) == true)
        #expect(log.acknowledge(1, peers: 0b100) == false)
        #expect(log.inFlightByteCount == 0)
        let datagram = log.datagram(1)
        #expect(datagram.slotCount == 2)
        #expect(log.slot(0, of: datagram).rawValue == 7 && log.slot(1, of: datagram).rawValue == 9)
        #expect(log.isAwaited(0, of: datagram) == false && log.isAwaited(1, of: datagram) == true)
        log.advanceFloor()
        #expect(log.floor == 2 && log.isEmpty)
        for sequence: UInt64 in [0, 1, 2, .max] { #expect(log.acknowledge(sequence, peers: .max) == false) }
    }

    @Test("a slot that is to be waited for only after it was noted is the last one, and no place keeps it for later")
    func awaited() {
        var log = SendLog()
        // Once around the ring of 2^18 slots and a little further: the places of the first are used again.
        for round in 0..<(1 << 18) / 256 + 2 {
            for index in 0..<256 { log.note(Slot(rawValue: UInt32(index)), isAwaited: false) }
            if round == 0 { log.awaitLast() }
            let sequence = log.close(byteCount: 1, awaiting: 1, now: now)
            let datagram = log.datagram(sequence)
            #expect((0..<256).filter { log.isAwaited($0, of: datagram) } == (round == 0 ? [255] : []))
            log.resolve(sequence)
            log.advanceFloor()
        }
    }

    @Test("the floor waits for the oldest datagram")
    func floor() {
        var log = SendLog()
        for _ in 1...5 { _ = log.close(byteCount: 10, awaiting: 1, now: now) }
        for sequence: UInt64 in [2, 3, 5] { log.resolve(sequence) }
        log.advanceFloor()
        #expect(log.floor == 1 && log.inFlightByteCount == 20)
        log.resolve(1)
        log.advanceFloor()
        #expect(log.floor == 4)
        log.resolve(4)
        log.advanceFloor()
        #expect(log.floor == 6 && log.isEmpty)
    }

    @Test("datagrams, bytes and flows under way are limited, and each limit opens again")
    func limits() {
        var log = SendLog()
        for _ in 0..<SendLog.datagramCountMax {
            #expect(log.hasRoom(forSlotCount: 256) == true)
            _ = log.close(byteCount: 1, awaiting: 1, now: now)
        }
        #expect(log.hasRoom(forSlotCount: 0) == false)
        log.resolve(1)
        #expect(log.hasRoom(forSlotCount: 0) == false, "the oldest one's place is free only when the floor moves")
        log.advanceFloor()
        #expect(log.hasRoom(forSlotCount: 256) == true)

        var bytes = SendLog()
        _ = bytes.close(byteCount: SendLog.byteCountMax - 1, awaiting: 1, now: now)
        #expect(bytes.hasRoom(forSlotCount: 0) == true)
        _ = bytes.close(byteCount: 1, awaiting: 1, now: now)
        #expect(bytes.hasRoom(forSlotCount: 0) == false)
        bytes.resolve(2)
        #expect(bytes.hasRoom(forSlotCount: 0) == true)

        var slots = SendLog()
        for _ in 0..<1_024 {
            for _ in 0..<255 { slots.note(Slot(rawValue: 1), isAwaited: false) }
            _ = slots.close(byteCount: 1, awaiting: 1, now: now)
        }
        #expect(slots.hasRoom(forSlotCount: 1_024) == true)
        #expect(slots.hasRoom(forSlotCount: 1_025) == false)
        slots.resolve(1)
        slots.advanceFloor()
        #expect(slots.hasRoom(forSlotCount: 1_024 + 255) == true)
        #expect(slots.hasRoom(forSlotCount: 1_024 + 256) == false)
    }

    @Test("the log's rings wrap around without mixing datagrams")
    func wrap() {
        var log = SendLog()
        for round in 0..<6_000 {
            let count = round % 97
            for index in 0..<count { log.note(Slot(rawValue: UInt32(round * 100 + index)), isAwaited: false) }
            let sequence = log.close(byteCount: count, awaiting: 1, now: now)
            guard sequence > 1_000 else { continue }
            let old = sequence - 1_000
            let datagram = log.datagram(old)
            #expect(Int(datagram.slotCount) == Int(old - 1) % 97)
            for index in 0..<datagram.slotCount {
                #expect(log.slot(index, of: datagram).rawValue == UInt32(old - 1) * 100 + index)
            }
            #expect(log.acknowledge(old, peers: 1) == true)
            log.advanceFloor()
            #expect(log.inFlightCount == 1_000)
        }
    }

    @Test("the queue keeps its order while it grows and wraps around")
    func queue() {
        var queue = SlotQueue(capacity: 4)
        var (next, expected): (UInt32, UInt32) = (0, 0)
        var random = SeededRandom(seed: 1)
        for _ in 0..<5_000 {
            if queue.isEmpty || Int.random(in: 0..<5, using: &random) < 3 {
                queue.append(Slot(rawValue: next))
                next += 1
            } else {
                #expect(queue.first == Slot(rawValue: expected))
                queue.removeFirst()
                expected += 1
            }
            #expect(queue.count == Int(next - expected))
        }
        #expect(queue.count > 100)
    }
}
