internal import Lab

/// What it takes to receive the datagrams of a FlowSync pair at 50 k events a second and to drop them.
///
/// A third router hears the same multicast group. Gives `standby`.
struct StandbyFloorScenario: Scenario {
    let name = "50 k events a second, datagrams dropped"
    let subjects: [Subject] = [.floor]

    private static let workload = Workload.steady(population: 10_000, operations: 500_000, rate: 50_000)

    var entryCountMax: Int { Self.workload.population + Self.workload.creates + 1_000 }

    func run(_ subject: Subject) throws -> Sample {
        let bench = try BenchLab(.flowsync, flowCountMax: Self.workload.population, routerCount: 3)
        defer { bench.lab.close() }
        let floor = try bench.startFloor(.datagrams, on: .r3)
        try bench.startPair()
        try bench.load(Workload(creates: Self.workload.population, rate: 50_000))
        try bench.waitUntilQuiet()
        let load = try bench.prepare(Self.workload)
        let clock = try ProcessClock(processID: floor.processID)
        let before = try clock.nanoseconds()
        try load.begin()
        let result = try load.finish()
        try bench.waitUntilQuiet()
        var sample = Sample()
        sample.values["standby"] = Double(try clock.nanoseconds() - before) / Double(result.operationCount)
        return sample
    }
}
