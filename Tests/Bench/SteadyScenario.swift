internal import Lab

/// Creates, updates and deletes on a table that stays as large as it is.
///
/// Gives `active` and `standby` (ns of processor time per event of the daemons on the first and second router), `busy`
/// (ns of all processors together per event, everything included), `rate` (operations a second that the load reached),
/// `lost` (events that did not fit into the event buffer) and `steal` (seconds that the host took away).
struct SteadyScenario: Scenario {
    let name: String
    /// Flows in the table.
    let population: Int
    /// Operations a second; 0 is as many as the kernel takes.
    let rate: Int
    let operationCount: Int
    /// 1 is as many updates as creates as deletes.
    var updatesPerCreate = 1
    let subjects: [Subject]

    /// After the last operation, until the whole system's time is taken: the same for all.
    private static let graceSeconds = 2.0

    private var workload: Workload {
        .steady(
            population: population,
            operations: operationCount,
            rate: rate,
            updatesPerCreate: updatesPerCreate
        )
    }

    var entryCountMax: Int { population + workload.creates + 1_000 }

    func run(_ subject: Subject) throws -> Sample {
        let bench = try BenchLab(subject, flowCountMax: population * 2)
        defer { bench.lab.close() }
        var sample = Sample()
        var processIDs: [Int32] = []
        if let pair = bench.pair {
            try bench.startPair()
            processIDs = [try pair.processID(.r1), try pair.processID(.r2)]
        } else if subject == .floor {
            processIDs = [try bench.startFloor(.receive, on: .r1).processID]
        }
        // At a pace at which every daemon keeps up.
        try bench.load(Workload(creates: population, rate: 50_000))
        try settle(bench)

        let load = try bench.prepare(workload)
        Clock.sleep(seconds: 0.5)
        let clocks = try processIDs.map { try ProcessClock(processID: $0) }
        let lostBefore = try processIDs.first.map { try ProcessFacts.lostEventCount($0) } ?? 0
        let before = try clocks.map { try $0.nanoseconds() }
        let systemBefore = try SystemUsage.now()
        try load.begin()
        let result = try load.finish()
        if rate > 0 {
            Clock.sleep(seconds: systemBefore.clock + load.workload.seconds + Self.graceSeconds - Clock.seconds)
        }
        let systemAfter = try SystemUsage.now()
        try settle(bench)
        let after = try clocks.map { try $0.nanoseconds() }

        let lost = try processIDs.first.map { try ProcessFacts.lostEventCount($0) - lostBefore } ?? 0
        let events = Double(result.operationCount - lost)
        for (index, key) in ["active", "standby"].enumerated() where index < clocks.count {
            sample.values[key] = Double(after[index] - before[index]) / events
        }
        let isReached = rate == 0 || result.rate >= Double(rate) * 0.98
        if rate > 0, isReached {
            sample.values["busy"] = systemAfter.busySeconds(since: systemBefore) * 1e9 / Double(result.operationCount)
        }
        sample.values["rate"] = result.rate
        // That nothing is lost of a smaller load says nothing.
        if isReached || lost > 0 { sample.values["lost"] = Double(lost) }
        sample.values["steal"] = systemAfter.steal - systemBefore.steal
        if !isReached {
            sample.notes.append("the load reached \(result.rate.text(0)) operations a second instead of \(rate)")
        }
        try check(bench, lost, &sample)
        return sample
    }

    private func settle(_ bench: BenchLab) throws {
        if bench.pair != nil { try bench.waitUntilQuiet() } else { Clock.sleep(seconds: 0.5) }
    }

    private func check(_ bench: BenchLab, _ lost: Int, _ sample: inout Sample) throws {
        if lost > 0 { sample.notes.append("\(lost) events lost") }
        if bench.pair != nil { try bench.noteCounts(population, &sample) }
    }
}
