internal import Lab

/// A table of a million flows to which nothing happens.
///
/// Gives `idle` and `idleStandby`: processor time of the first and the second router's daemon in per cent of a core.
struct IdleScenario: Scenario {
    let name = "1 M flows, idle"
    let subjects: [Subject] = [.flowsync, .conntrackd]

    private static let flowCount = 1_000_000
    private static let idleSeconds = 30.0
    private static let auditSecondsMax = 400.0

    var entryCountMax: Int { Self.flowCount + 1_000 }

    /// Takes a window of a whole period where the daemon looks through the kernel's table at intervals: from the end of
    /// one such audit to the end of the next.
    func run(_ subject: Subject) throws -> Sample {
        let bench = try BenchLab(subject, flowCountMax: Self.flowCount)
        defer { bench.lab.close() }
        var sample = Sample()
        let pair = try bench.daemons()
        try bench.startPair()
        try bench.load(Workload(creates: Self.flowCount, rate: 50_000))
        try bench.waitUntilQuiet()

        let count = try pair.auditCount()
        if let count { try waitForAudit(count + 1, pair) }
        let clocks = try [LabNode.r1, .r2].map { try ProcessClock(processID: pair.processID($0)) }
        let before = try clocks.map { try $0.nanoseconds() }
        let start = Clock.seconds
        if let count { try waitForAudit(count + 2, pair) } else { Clock.sleep(seconds: Self.idleSeconds) }
        let elapsed = Clock.seconds - start
        let after = try clocks.map { try $0.nanoseconds() }
        for (index, key) in ["idle", "idleStandby"].enumerated() {
            sample.values[key] = Double(after[index] - before[index]) / 1e9 / elapsed * 100
        }
        sample.values["window"] = elapsed
        try bench.noteCounts(Self.flowCount, &sample)
        return sample
    }

    private func waitForAudit(_ count: Int, _ pair: any DaemonPair) throws {
        let deadline = Clock.seconds + Self.auditSecondsMax
        while try pair.auditCount().map({ $0 < count }) ?? false {
            guard Clock.seconds < deadline else {
                throw LabError("flowsyncd has not looked through the kernel's table for \(Self.auditSecondsMax) s")
            }
            // Seldom: each question is work.
            Clock.sleep(seconds: 5)
        }
    }
}
