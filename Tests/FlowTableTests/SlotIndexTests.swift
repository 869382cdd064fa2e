import Testing

@testable import FlowTable

@Suite("The index")
struct SlotIndexTests {
    private struct Place: Hashable {
        var hash: UInt32
        var slot: Slot
    }

    @Test(
        "colliding hashes, wrap-around and backward shifts lose nothing and find nothing that is gone",
        // How many different homes the hashes have: 1 puts everything into one run of probes.
        arguments: [1, 2, 7, 64, 100_000]
    )
    func churn(homeCount: Int) {
        var random = SeededRandom(seed: UInt64(homeCount))
        var index = SlotIndex(capacity: 16)
        var model: Set<Place> = []
        for step in 0..<3_000 {
            // Homes around the end of the table, so that runs wrap around; the high bits differ.
            let home = UInt32(truncatingIfNeeded: -2 + Int.random(in: 0..<homeCount, using: &random))
            let hash = home ^ UInt32.random(in: 0..<4, using: &random) << 30
            let place = Place(hash: hash, slot: Slot(rawValue: UInt32.random(in: 0..<150, using: &random)))
            if model.contains(place) {
                index.remove(place.slot, hash: hash)
                model.remove(place)
            } else {
                index.insert(place.slot, hash: hash)
                model.insert(place)
            }
            #expect(index.count == model.count, "step \(step)")
            guard step % 50 == 0 else { continue }
            for place in model {
                let found = index.find(hash: place.hash) { $0 == place.slot }
                #expect(found == place.slot, "step \(step)")
            }
            // All slots under a hash are offered, each once, and no others.
            var offered: [Slot] = []
            _ = index.find(hash: hash) { slot in
                offered.append(slot)
                return false
            }
            let expected = model.filter { $0.hash == hash }.map(\.slot)
            #expect(offered.sorted() == expected.sorted(), "step \(step)")
        }
    }

    @Test("growing keeps every slot, and the load below three quarters")
    func growth() {
        var index = SlotIndex(capacity: 16)
        for number in 0..<10_000 {
            index.insert(Slot(rawValue: UInt32(number)), hash: UInt32(truncatingIfNeeded: number &* 2_654_435_761))
            #expect(index.count * 8 * 4 <= index.allocatedByteCount * 3)
        }
        for number in 0..<10_000 {
            let slot = Slot(rawValue: UInt32(number))
            let hash = UInt32(truncatingIfNeeded: number &* 2_654_435_761)
            #expect(index.find(hash: hash) { $0 == slot } == slot)
        }
    }

    @Test("a replaced slot is found under its hash, the old one is not")
    func replace() {
        var index = SlotIndex(capacity: 16)
        let slots = (0..<3).map { Slot(sizeClass: $0, index: 4) }
        for slot in slots { index.insert(slot, hash: 9) }
        let moved = Slot(sizeClass: 6, index: 0)
        index.replace(slots[1], with: moved, hash: 9)
        #expect(index.count == 3)
        for slot in [slots[0], moved, slots[2]] { #expect(index.find(hash: 9) { $0 == slot } == slot) }
        #expect(index.find(hash: 9) { $0 == slots[1] } == nil)
    }

    @Test("slot 0 of class 0 is a slot like any other")
    func zero() {
        var index = SlotIndex(capacity: 16)
        #expect(index.find(hash: 0) { _ in true } == nil)
        index.insert(Slot(rawValue: 0), hash: 0)
        #expect(index.find(hash: 0) { _ in true } == Slot(rawValue: 0))
        index.remove(Slot(rawValue: 0), hash: 0)
        #expect(index.find(hash: 0) { _ in true } == nil)
    }
}
