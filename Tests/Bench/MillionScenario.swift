internal import Lab

/// A table that grows to a million flows and then stays as it is.
///
/// Gives `internal` and `external` (bytes of resident memory per flow, of the growth from 100 k flows to 1 M, of the
/// first router's and the second router's daemon) and `idle` and `idleStandby` (processor time in per cent of a core
/// while nothing happens).
struct MillionScenario: Scenario {
    let name = "1 M flows"
    let subjects: [Subject] = [.flowsync, .conntrackd]
    /// Long enough for work that a daemon does every half minute.
    let idleSeconds: Double

    private static let fewCount = 100_000
    private static let manyCount = 1_000_000

    var entryCountMax: Int { Self.manyCount + 1_000 }

    func run(_ subject: Subject) throws -> Sample {
        let bench = try BenchLab(subject, flowCountMax: Self.manyCount)
        defer { bench.lab.close() }
        var sample = Sample()
        let pair = try bench.daemons()
        try bench.startPair()
        let processIDs = [try pair.processID(.r1), try pair.processID(.r2)]

        try bench.load(Workload(creates: Self.fewCount, rate: 50_000))
        try bench.waitUntilQuiet()
        let few = try processIDs.map { try ProcessFacts.residentByteCount($0) }
        try bench.load(Workload(creates: Self.manyCount - Self.fewCount, rate: 50_000, first: Self.fewCount))
        try bench.waitUntilQuiet()
        let many = try processIDs.map { try ProcessFacts.residentByteCount($0) }
        let added = Double(Self.manyCount - Self.fewCount)
        for (index, key) in ["internal", "external"].enumerated() {
            sample.values[key] = Double(many[index] - few[index]) / added
        }

        let clocks = try processIDs.map { try ProcessClock(processID: $0) }
        let before = try clocks.map { try $0.nanoseconds() }
        let start = Clock.seconds
        Clock.sleep(seconds: idleSeconds)
        let elapsed = Clock.seconds - start
        let after = try clocks.map { try $0.nanoseconds() }
        for (index, key) in ["idle", "idleStandby"].enumerated() {
            sample.values[key] = Double(after[index] - before[index]) / 1e9 / elapsed * 100
        }
        try bench.noteCounts(Self.manyCount, &sample)
        return sample
    }
}
