import Testing

@testable import Control

@Suite("What a rehearsal says")
struct RehearsalSummaryTests {
    private var sound: RehearsalSummary {
        var summary = RehearsalSummary()
        summary.flowCount = 1_000
        summary.createdCount = 1_000
        summary.commitMilliseconds = 4.25
        summary.isOwnersState = true
        summary.roomCount = 5_000
        return summary
    }

    @Test("nothing in the way is said in two lines")
    func nothing() {
        #expect(sound.findings == [])
        #expect(
            sound.text == """
                rehearsed: 1000 of 1000 flows in 4.3 ms; as their owners have them, by digest
                nothing stands in the way of a takeover

                """
        )
    }

    @Test("everything that would lose connections is a finding")
    func findings() {
        let changes: [(String, (inout RehearsalSummary) -> Void)] = [
            ("refuses 3 flows: create ENOMEM", { $0.refused = ["create ENOMEM": 3] }),
            ("room for 999 more entries", { $0.roomCount = 999 }),
            ("2 flows are in the kernel otherwise", { $0.differingCount = 2 }),
            ("not what their owner has", { $0.isOwnersState = false }),
            ("no helper sip: 4 flows", { $0.missingHelpers = ["sip": 4] }),
            ("uses zone 9, in which 5 flows lie", { $0.unknownZones = ["9": 5] }),
            ("1 clashes with the kernel's table: same", { $0.clashes = ["same original tuple": 1] }),
        ]
        for (text, change) in changes {
            var summary = sound
            change(&summary)
            #expect(summary.findings.count == 1 && summary.findings[0].contains(text), "\(summary.findings)")
            #expect(summary.text.contains("FOUND: \(summary.findings[0])"))
        }
    }

    @Test("flows that are there already need no room; flows that change while they are read say nothing of digests")
    func noFinding() {
        var summary = sound
        summary.roomCount = 10
        summary.liveCount = 990
        summary.isOwnersState = nil
        #expect(summary.findings == [])
        #expect(summary.text.contains("flows changed meanwhile"))
    }
}
