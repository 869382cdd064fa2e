internal import Lab

/// A table that grows to a million flows.
///
/// Gives `internal` and `external`: bytes of resident memory per flow, of the growth from 100 k flows to 1 M, of the
/// first router's and the second router's daemon.
struct GrowthScenario: Scenario {
    let name = "growth to 1 M flows"
    let subjects: [Subject] = [.flowsync, .conntrackd]

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

        try bench.noteCounts(Self.manyCount, &sample)
        return sample
    }
}
