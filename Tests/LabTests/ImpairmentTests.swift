import Control
import Lab
import Testing

extension LabTests {
    /// Cables that lose, double and reorder.
    @Suite("Bad cables")
    struct Impairments {
        @Test(
            "30 % loss, 5 % duplicates and reordering under 120,000 operations at 40,000/s: equal within 5 s"
        )
        func heavyLoss() throws {
            let lab = try Lab()
            defer { lab.close() }
            try lab.startPair()
            try lab.layBadCable(
                at: .r2,
                Impairment(loss: 30, duplicate: 5, delay: 20, delayMillisecondsMax: 5)
            )
            let plan = LoadPlan(creates: 50_000, updates: 50_000, deletes: 20_000, rate: 40_000)
            let account = try lab.load(plan, on: .r1)
            let equality = try lab.equality(within: 5)
            let counts = try lab.cableCounts(at: .r2)
            let statistics = try (lab.statistics(of: .r1), lab.statistics(of: .r2))
            note(
                "\(account); \(equality.text); \(counts.text); resent \(statistics.0.replication.resentCount), "
                    + "repairs \(statistics.1.replication.repairCount), overruns \(statistics.0.kernel.overrunCount)"
            )
            #expect(equality.flowCount == plan.remainingCount)
            #expect(counts.lost > counts.received / 4)
            #expect(counts.duplicated > 0)
            #expect(counts.delayed > 0)
        }

        @Test("best effort at 10 % loss: nothing is acknowledged or resent, and repair makes it equal")
        func bestEffort() throws {
            let lab = try Lab()
            defer { lab.close() }
            var settings = DaemonSettings()
            settings.isBestEffort = true
            try lab.startPair(settings)
            try lab.layBadCable(at: .r2, Impairment(loss: 10))
            let plan = LoadPlan.mixed(rate: 10_000, seconds: 2)
            try lab.load(plan, on: .r1)
            let equality = try lab.equality(within: 10)
            let (sender, receiver) = try (
                lab.statistics(of: .r1).replication, lab.statistics(of: .r2).replication
            )
            let repairs = try lab.peer(.r1, of: .r2).repairCount
            note(
                "\(equality.text); \(repairs) repairs of \(receiver.repairedFlowCount) flows; "
                    + "\(try lab.cableCounts(at: .r2).text)"
            )
            #expect(equality.flowCount == plan.remainingCount)
            #expect(receiver.repairedFlowCount > 0)
            #expect(sender.receivedAcknowledgementCount == 0)
            #expect(sender.resentCount == 0)
        }
    }
}
