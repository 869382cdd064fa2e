import Testing

@testable import Link

@Suite("The replay window")
struct SealReplayWindowTests {
    @Test("A counter is fresh until it is inserted, and replayed from then on")
    func inOrder() {
        var window = ReplayWindow()
        for counter in UInt64(1)...10_000 {
            #expect(window.verdict(on: counter) == .fresh)
            window.insert(counter)
            #expect(window.verdict(on: counter) == .replayed)
        }
        #expect(window.highest == 10_000)
    }

    @Test("The window is 4,096 counters wide, to the counter", arguments: [4_096, 5_000, 65_535, 1 << 40, .max])
    func width(highest: UInt64) {
        var window = ReplayWindow()
        window.insert(highest)
        let lowest = highest - 4_095
        #expect(window.verdict(on: lowest) == .fresh)
        #expect(window.verdict(on: lowest - 1) == .tooOld)
        window.insert(lowest)
        #expect(window.verdict(on: lowest) == .replayed)
        #expect(window.verdict(on: lowest + 1) == .fresh)
        #expect(window.verdict(on: highest) == .replayed)
    }

    @Test("What came late is told apart from what came twice")
    func reordered() {
        var window = ReplayWindow()
        for counter in stride(from: UInt64(4_000), through: 2, by: -2) { window.insert(counter) }
        for counter in UInt64(1)...4_000 {
            #expect(window.verdict(on: counter) == (counter.isMultiple(of: 2) ? .replayed : .fresh))
        }
    }

    @Test("A leap leaves nothing of what its words stood for before", arguments: 4_000...4_300 as ClosedRange<UInt64>)
    func leap(distance: UInt64) {
        var window = ReplayWindow()
        for counter in UInt64(1)...200 { window.insert(counter) }
        let highest = 200 + distance
        window.insert(highest)
        for counter in highest - 4_095..<highest {
            let wanted = counter <= 200 ? ReplayWindow.Verdict.replayed : .fresh
            if window.verdict(on: counter) != wanted { Issue.record("\(counter) after \(highest)") }
        }
    }

    @Test("Random counters get the verdicts of a set that forgets nothing", arguments: 1...4 as ClosedRange<UInt64>)
    func model(seed: UInt64) {
        var random = SealGenerator(seed: seed)
        var window = ReplayWindow()
        var seen: Set<UInt64> = []
        var highest: UInt64 = 0
        var counts: [ReplayWindow.Verdict: Int] = [:]
        for _ in 0..<20_000 {
            let reach: UInt64 = Int.random(in: 0..<200, using: &random) == 0 ? 6_000 : 100
            let low = max(1, highest - min(highest, .random(in: 0...4_500, using: &random)))
            let counter =
                random.next().isMultiple(of: 2) ? low : UInt64.random(in: low...highest + reach, using: &random)
            let wanted: ReplayWindow.Verdict =
                counter + 4_096 <= highest ? .tooOld : seen.contains(counter) ? .replayed : .fresh
            #expect(window.verdict(on: counter) == wanted, "\(counter) of \(highest)")
            counts[wanted, default: 0] += 1
            if wanted == .fresh { window.insert(counter) }
            seen.insert(counter)
            if counter > highest { highest = counter }
        }
        #expect(counts.values.allSatisfy { $0 > 100 } && counts.count == 3, "\(counts)")
    }
}
