import Testing

@testable import Control

@Suite("The history of takeovers")
struct TakeoverHistoryTests {
    private func record(_ number: UInt64) -> TakeoverRecord {
        TakeoverRecord(
            endedAt: number,
            report: ActionReport(action: "role primary", succeeded: true, steps: [StepReport(name: "commit", count: 7)])
        )
    }

    @Test("the last hundred are kept, and survive being written and read")
    func lastHundred() throws {
        var history = TakeoverHistory()
        for number in 0..<130 as Range<UInt64> { history.append(record(number)) }
        #expect(history.takeovers.map(\.endedAt) == Array(30..<130))
        #expect(try TakeoverHistory(decoding: try history.encoded()) == history)
        #expect(throws: APICoder.CodingFailure.self) { try TakeoverHistory(decoding: Array("[]".utf8)) }
    }

    @Test("the plain form dates each one")
    func text() {
        var history = TakeoverHistory()
        #expect(history.text == "no change of role yet\n")
        history.append(record(1_772_373_909))
        #expect(
            history.text == """
                2026-03-01 14:05:09 UTC  role primary: done in 0.0 ms
                  commit  7  0.0 ms  failed 0

                """
        )
    }

    @Test(
        "dates over leap days and turns of years",
        arguments: [
            (0, "1970-01-01 00:00:00 UTC"), (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"), (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"), (1_735_689_600, "2025-01-01 00:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] as [(UInt64, String)]
    )
    func dates(seconds: UInt64, text: String) {
        #expect(DurationText.date(secondsSince1970: seconds) == text)
    }
}
