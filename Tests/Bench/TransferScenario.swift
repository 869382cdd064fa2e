internal import Lab

/// 300 k flows on the first router, and a second router whose daemon starts with nothing.
///
/// Gives `time` (milliseconds from the start of the second daemon until its external cache is whole) and `bytes` (all
/// that went over the sync link from then on until both were quiet, both directions, Ethernet headers included).
struct TransferScenario: Scenario {
    let name = "300 k flows, full transfer"
    let subjects: [Subject] = [.floor, .flowsync, .conntrackd]
    var entryCountMax: Int { TableScenario.flowCount + 1_000 }

    private static let patienceSeconds = 60.0

    func run(_ subject: Subject) throws -> Sample {
        let flowCount = TableScenario.flowCount
        let bench = try BenchLab(subject, flowCountMax: flowCount)
        defer { bench.lab.close() }
        var sample = Sample()
        if subject == .floor {
            _ = try bench.startFloor(.datagrams, on: .r2)
            let before = try bench.syncByteCount()
            let command = [BenchLab.program, "floor", Floor.send.rawValue, "--count", "\(flowCount)"]
            sample.values["time"] = try bench.timed(command, on: .r1).milliseconds
            sample.values["bytes"] = Double(try bench.syncByteCount() - before)
            return sample
        }
        let pair = try bench.daemons()
        try bench.load(Workload(creates: flowCount, rate: 100_000))
        try pair.start(.r1)
        try bench.waitUntilQuiet([.r1])

        let bytesBefore = try bench.syncByteCount()
        let start = Clock.seconds
        try pair.launch(.r2)
        var count = 0
        while count < flowCount, Clock.seconds < start + Self.patienceSeconds {
            count = (try? pair.counts(.r2).externalCount) ?? 0
            if count < flowCount { Clock.sleep(seconds: 0.02) }
        }
        sample.values["time"] = (Clock.seconds - start) * 1_000
        if count < flowCount {
            sample.notes.append("\(count) flows after \(Self.patienceSeconds.text(0)) s")
        }
        try bench.waitUntilQuiet()
        sample.values["bytes"] = Double(try bench.syncByteCount() - bytesBefore)
        return sample
    }
}
