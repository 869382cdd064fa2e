import Testing

@testable import Replication

@Suite("The receive window")
struct ReceiveWindowTests {
    /// What a window should know, kept in a set.
    private struct Model {
        var arrived: Set<UInt64> = []
        var cumulative: UInt64
        var largest: UInt64

        mutating func settle() {
            while arrived.contains(cumulative + 1) { cumulative += 1 }
            largest = max(largest, cumulative)
        }

        func verdict(_ sequence: UInt64) -> ReceiveWindow.Verdict {
            if sequence <= cumulative || arrived.contains(sequence) { return .duplicate }
            return sequence > cumulative + ReceiveWindow.datagramCountMax ? .beyondWindow : .fresh
        }

        var ranges: [Range<UInt64>] {
            var ranges: [Range<UInt64>] = []
            for sequence in arrived.sorted() where sequence > cumulative {
                if let last = ranges.last, last.upperBound == sequence {
                    ranges[ranges.count - 1] = last.lowerBound..<sequence + 1
                } else {
                    ranges.append(sequence..<sequence + 1)
                }
            }
            return ranges
        }
    }

    @Test("loss, reordering, duplication and moving floors against a set", arguments: 0..<12)
    func model(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        // Floors of all magnitudes: bit positions wrap around everywhere.
        let floor = 1 + random.next() >> UInt64(3 + seed * 5)
        var window = ReceiveWindow(floor: floor)
        var model = Model(cumulative: floor - 1, largest: floor - 1)
        let reach: UInt64 = [3, 70, 5_000][seed % 3]
        for step in 0..<2_000 {
            if Int.random(in: 0..<40, using: &random) == 0 {
                let far = Int.random(in: 0..<20, using: &random) == 0
                let new = model.cumulative &+ UInt64.random(in: 0...(far ? 9_000 : reach), using: &random)
                window.advance(toFloor: new)
                if new > model.cumulative + 1 {
                    model.cumulative = new - 1
                    model.settle()
                }
            } else {
                let low = model.cumulative - min(model.cumulative, 5)
                let sequence = UInt64.random(in: low...model.cumulative + reach, using: &random)
                let verdict = window.verdict(sequence)
                #expect(verdict == model.verdict(sequence), "seed \(seed), step \(step)")
                if verdict == .fresh {
                    window.insert(sequence)
                    model.arrived.insert(sequence)
                    model.largest = max(model.largest, sequence)
                    model.settle()
                }
            }
            #expect(window.cumulative == model.cumulative, "seed \(seed), step \(step)")
            #expect(window.hasGap == (model.largest > model.cumulative))
            guard step % 50 == 0 else { continue }
            #expect(window.ranges(countMax: .max) == model.ranges, "seed \(seed), step \(step)")
            #expect(window.ranges(countMax: 3) == Array(model.ranges.prefix(3)))
        }
    }

    @Test("the window's far edge is taken, what lies beyond is not")
    func edge() {
        var window = ReceiveWindow(floor: 11)
        #expect(window.verdict(10) == .duplicate)
        #expect(window.verdict(10 + 4_096) == .fresh)
        #expect(window.verdict(10 + 4_097) == .beyondWindow)
        window.insert(10 + 4_096)
        #expect(window.verdict(10 + 4_096) == .duplicate && window.verdict(11) == .fresh)
        window.insert(11)
        #expect(window.verdict(10 + 4_097) == .fresh)
        for sequence in 12..<10 + UInt64(4_096) { window.insert(sequence) }
        #expect(window.cumulative == 10 + 4_096 && !window.hasGap)
    }

    @Test("a floor below what is known changes nothing")
    func oldFloor() {
        var window = ReceiveWindow(floor: 1)
        for sequence: UInt64 in [1, 2, 5] { window.insert(sequence) }
        for floor: UInt64 in [0, 1, 3] { window.advance(toFloor: floor) }
        #expect(window.cumulative == 2 && window.ranges(countMax: 9) == [5..<6])
        window.advance(toFloor: 4)
        #expect(window.cumulative == 3 && window.verdict(3) == .duplicate)
        window.advance(toFloor: 5)
        #expect(window.cumulative == 5 && !window.hasGap)
    }
}
