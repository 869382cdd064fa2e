import Testing

@testable import Link

@Suite struct RedialTimerTests {
    private let start: UInt64 = 5_000_000_000
    private let millisecond: UInt64 = 1_000_000

    @Test func dialsAtOnceAndGivesUpInTime() {
        var timer = RedialTimer()
        #expect(timer.deadline == 0)
        #expect(timer.step(now: start) == .dial)
        #expect(timer.deadline == start + 2_000 * millisecond)
        #expect(timer.step(now: start + 1_999 * millisecond) == .none)
        #expect(timer.step(now: start + 2_000 * millisecond) == .giveUp)
        #expect(timer.deadline == start + 2_100 * millisecond)
        #expect(timer.step(now: start + 2_099 * millisecond) == .none)
        #expect(timer.step(now: start + 2_100 * millisecond) == .dial)
    }

    @Test func waitsLongerEachTimeUpToTwoSeconds() {
        var timer = RedialTimer()
        var now = start
        var waits: [UInt64] = []
        for _ in 0..<8 {
            #expect(timer.step(now: now) == .dial)
            timer.ended()
            #expect(timer.deadline == 0)
            #expect(timer.step(now: now) == .none)
            let until = timer.deadline ?? 0
            waits.append((until - now) / millisecond)
            now = until
        }
        #expect(waits == [100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000])
    }

    @Test func asksForNothingWhileConnected() {
        var timer = RedialTimer()
        #expect(timer.step(now: start) == .dial)
        timer.connected()
        // Once more, to learn since when.
        #expect(timer.deadline == 0)
        #expect(timer.step(now: start) == .none)
        #expect(timer.deadline == nil)
        #expect(timer.step(now: start + 3_600_000 * millisecond) == .none)
    }

    @Test(arguments: [(1_999, 400), (2_000, 100)])
    func onlyAConnectionThatLastedMakesTheNextDialSoon(milliseconds: UInt64, wait: UInt64) {
        var timer = RedialTimer()
        var now = start
        for _ in 0..<2 {
            #expect(timer.step(now: now) == .dial)
            timer.ended()
            _ = timer.step(now: now)
            now = timer.deadline ?? 0
        }
        #expect(timer.step(now: now) == .dial)
        timer.connected()
        _ = timer.step(now: now)
        now += milliseconds * millisecond
        timer.ended()
        _ = timer.step(now: now)
        #expect(timer.deadline == now + wait * millisecond)
    }

    @Test func aConnectionThatNoStepSawWasShort() {
        var timer = RedialTimer()
        #expect(timer.step(now: start) == .dial)
        timer.connected()
        timer.ended()
        _ = timer.step(now: start + 60_000 * millisecond)
        #expect(timer.deadline == start + 60_100 * millisecond)
    }

    @Test func aClockThatStepsBackIsNoTrap() {
        var timer = RedialTimer()
        #expect(timer.step(now: start) == .dial)
        timer.connected()
        _ = timer.step(now: start)
        timer.ended()
        #expect(timer.step(now: start - 1) == .none)
        #expect(timer.deadline == start - 1 + 100 * millisecond)
    }
}
