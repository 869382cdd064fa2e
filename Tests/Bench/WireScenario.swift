internal import Flow
internal import Lab

/// New flows at 50 k/s, and what they cost on the sync link.
///
/// Gives `bytes`: all that went over the link in both directions until both daemons were quiet, Ethernet headers
/// included, divided by the flows. The floor is the flow's record alone.
struct WireScenario: Scenario {
    let name = "50 k new flows a second"
    let subjects: [Subject] = [.floor, .flowsync, .conntrackd]
    let flowCount = 300_000

    var entryCountMax: Int { flowCount + 1_000 }

    func run(_ subject: Subject) throws -> Sample {
        var sample = Sample()
        if subject == .floor {
            sample.values["bytes"] = Double(FlowInjector.recordByteCount(0))
            return sample
        }
        let bench = try BenchLab(subject, flowCountMax: flowCount)
        defer { bench.lab.close() }
        try bench.startPair()
        let load = try bench.prepare(Workload(creates: flowCount, rate: 50_000))
        let before = try bench.syncByteCount()
        try load.begin()
        _ = try load.finish()
        try bench.waitUntilQuiet()
        sample.values["bytes"] = Double(try bench.syncByteCount() - before) / Double(flowCount)
        try bench.noteCounts(flowCount, &sample)
        return sample
    }
}
