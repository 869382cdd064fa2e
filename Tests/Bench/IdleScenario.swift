internal import Lab

/// A table of a million flows to which nothing happens.
///
/// Gives `idle` and `idleStandby`: processor time of the first and the second router's daemon in per cent of a core.
struct IdleScenario: Scenario {
    let name = "1 M flows, idle"
    let subjects: [Subject] = [.flowsync, .conntrackd]

    private static let flowCount = 1_000_000
    private static let quietSeconds = 60.0
    /// flowsyncd compares its cache with the kernel's table so many times the length of such an audit after the last.
    private static let auditPauseFactor = 500.0

    var entryCountMax: Int { Self.flowCount + 1_000 }

    /// Takes a minute without an audit, and adds an audit's time as often as there is one.
    ///
    /// With a million flows audits are a quarter of an hour apart: rather than waiting for one, the daemon is told to
    /// read the kernel's table, which is the same work.
    func run(_ subject: Subject) throws -> Sample {
        let bench = try BenchLab(subject, flowCountMax: Self.flowCount)
        defer { bench.lab.close() }
        var sample = Sample()
        let pair = try bench.daemons()
        try bench.startPair()
        try bench.load(Workload(creates: Self.flowCount, rate: 50_000))
        try bench.waitUntilQuiet()

        let clocks = try [LabNode.r1, .r2].map { try ProcessClock(processID: pair.processID($0)) }
        let audit = try audit(bench, clocks[0])
        var shares = try quietShares(pair, clocks)
        if let audit {
            shares[0] += (audit.busy - shares[0] * audit.elapsed) / (audit.seconds * Self.auditPauseFactor)
            sample.values["audit"] = audit.seconds
            sample.values["auditBusy"] = audit.busy
        }
        sample.values["idle"] = shares[0] * 100
        sample.values["idleStandby"] = shares[1] * 100
        try bench.noteCounts(Self.flowCount, &sample)
        return sample
    }

    /// One audit: its length, processor time from its start until the daemon is quiet, and how long that was.
    ///
    /// Nil where there are none. Afterwards the daemon waits as long as after any other before it begins the next.
    private func audit(
        _ bench: BenchLab,
        _ clock: ProcessClock
    ) throws -> (seconds: Double, busy: Double, elapsed: Double)? {
        guard let command = try bench.daemons().auditCommand(.r1) else { return nil }
        let start = Clock.seconds
        let before = try clock.nanoseconds()
        let seconds = try bench.timed(command, on: .r1).milliseconds / 1_000
        try bench.waitUntilQuiet()
        return (seconds, Double(try clock.nanoseconds() - before) / 1e9, Clock.seconds - start)
    }

    /// The shares of a core that the daemons take while there is nothing to do.
    private func quietShares(_ pair: any DaemonPair, _ clocks: [ProcessClock]) throws -> [Double] {
        for _ in 0..<3 {
            let auditCount = try pair.auditCount()
            let start = Clock.seconds
            let before = try clocks.map { try $0.nanoseconds() }
            Clock.sleep(seconds: Self.quietSeconds)
            let after = try clocks.map { try $0.nanoseconds() }
            let elapsed = Clock.seconds - start
            guard try pair.auditCount() == auditCount else { continue }
            return zip(before, after).map { Double($1 - $0) / 1e9 / elapsed }
        }
        throw LabError("flowsyncd reads the kernel's table again and again")
    }
}
