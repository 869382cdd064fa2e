internal import Lab

/// 300 k flows on the first router that the second one is to know: listed, committed, and committed again.
///
/// Gives `dump`, `commit` and `recommit` in milliseconds, from the start of the command to its end.
struct TableScenario: Scenario {
    static let flowCount = 300_000

    let name = "300 k flows, dump and commit"
    let subjects: [Subject] = [.floor, .flowsync, .conntrackd]
    var entryCountMax: Int { Self.flowCount + 1_000 }

    func run(_ subject: Subject) throws -> Sample {
        let bench = try BenchLab(subject, flowCountMax: Self.flowCount)
        defer { bench.lab.close() }
        return subject == .floor ? try floor(bench) : try daemons(bench)
    }

    private func daemons(_ bench: BenchLab) throws -> Sample {
        var sample = Sample()
        let pair = try bench.daemons()
        try bench.startPair()
        try bench.load(Workload(creates: Self.flowCount, rate: 50_000))
        try bench.waitUntilQuiet()
        try bench.noteCounts(Self.flowCount, &sample)

        let dump = try pair.dumpCommand(.r1).joined(separator: " ")
        let listed = try bench.timed(["sh", "-c", "\(dump) | wc -l"], on: .r1)
        sample.values["dump"] = listed.milliseconds
        if Int(listed.text) != Self.flowCount { sample.notes.append("the dump has \(listed.text) lines") }

        // A takeover: the first router is gone.
        try pair.kill(.r1)
        for key in ["commit", "recommit"] {
            let committed = try bench.timed(try pair.commitCommand(.r2), on: .r2)
            sample.values[key] = committed.milliseconds
            try noteKernel(bench, .r2, key, &sample)
            try bench.waitUntilQuiet([.r2])
        }
        return sample
    }

    /// The namespace may have a few flows of its own besides.
    private func noteKernel(_ bench: BenchLab, _ router: LabNode, _ key: String, _ sample: inout Sample) throws {
        let count = try bench.kernelCount(router)
        if !(Self.flowCount...Self.flowCount + 20 ~= count) {
            sample.notes.append("\(count) flows in the kernel after the \(key)")
        }
    }

    /// What the kernel takes for the same, asked by a loop around libmnl and by a dump that nobody reads.
    private func floor(_ bench: BenchLab) throws -> Sample {
        var sample = Sample()
        // The kernel keeps all namespaces' entries in one hash table. Without the first router's flows, which are there
        // when a daemon commits, its chains would be half as long: a fifth less time.
        try bench.load(Workload(creates: Self.flowCount, rate: 50_000))
        // Without anybody who hears them the kernel would not even make the events that a daemon's commit brings forth.
        _ = try bench.startFloor(.receive, on: .r2)
        let program = BenchLab.program
        let count = "\(Self.flowCount)"
        for (key, floor) in [("commit", Floor.insert), ("recommit", .update), ("dump", .dump)] {
            sample.values[key] = try bench.timed([program, "floor", floor.rawValue, "--count", count], on: .r2)
                .milliseconds
            try noteKernel(bench, .r2, key, &sample)
        }
        return sample
    }
}
