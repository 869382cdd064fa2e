internal import Lab

/// How long after a flow came into the first router's kernel the second router's external cache has it, at 10 k new
/// flows a second.
///
/// The load program notes when each batch goes to the kernel, which loses none of the flows again; the second daemon
/// is asked again and again how many it holds. So what is found includes half a question's time, and asking is work for
/// the daemon: both make the figure larger than the truth, for both. Gives `p50`, `p99` and `most` in milliseconds.
struct LatencyScenario: Scenario {
    let name = "10 k new flows a second"
    let subjects: [Subject] = [.floor, .flowsync, .conntrackd]

    private static let workload = Workload(creates: 100_000, rate: 10_000)
    private static let patienceSeconds = 20.0

    var entryCountMax: Int { Self.workload.creates + 1_000 }

    /// So many flows were there at that moment.
    private struct Sight {
        var nanoseconds: UInt64
        var count: Int
    }

    func run(_ subject: Subject) throws -> Sample {
        let bench = try BenchLab(subject, flowCountMax: Self.workload.creates)
        defer { bench.lab.close() }
        let marksPath = "\(bench.lab.directory)/marks"
        let load: BenchLab.Load
        let sights: [Sight]
        if subject == .floor {
            let sightsPath = "\(bench.lab.directory)/sights"
            let count = "\(Self.workload.creates)"
            let floor = try bench.startFloor(.latency, on: .r1, ["--count", count, "--marks", sightsPath])
            load = try bench.prepare(Self.workload, extra: ["--marks", marksPath])
            try load.begin()
            _ = try load.finish()
            guard floor.wait(timeoutSeconds: Self.patienceSeconds) == 0 else {
                throw LabError("the floor program has not seen \(count) events")
            }
            sights = try Self.read(sightsPath)
        } else {
            try bench.startPair()
            load = try bench.prepare(Self.workload, extra: ["--marks", marksPath])
            let pair = try bench.daemons()
            try load.begin()
            sights = try watch(pair)
            _ = try load.finish()
        }
        return try sample(sights, try Self.read(marksPath))
    }

    private func watch(_ pair: any DaemonPair) throws -> [Sight] {
        var sights: [Sight] = []
        let deadline = Clock.seconds + Self.workload.seconds + Self.patienceSeconds
        while (sights.last?.count ?? 0) < Self.workload.creates {
            guard Clock.seconds < deadline else {
                throw LabError("\(sights.last?.count ?? 0) of \(Self.workload.creates) flows have come")
            }
            let count = try pair.counts(.r2).externalCount
            sights.append(Sight(nanoseconds: Clock.nanoseconds, count: count))
            Clock.sleep(seconds: 0.000_5)
        }
        return sights
    }

    private func sample(_ sights: [Sight], _ marks: [Sight]) throws -> Sample {
        var delays: [Double] = []
        var index = 0
        var done = 0
        for mark in marks {
            while index < sights.count, sights[index].count < mark.count { index += 1 }
            guard index < sights.count else { throw LabError("flow \(mark.count) was never seen") }
            // A flow can be seen before its batch has come back from the kernel, never before it went there.
            let delay = Double(sights[index].nanoseconds - min(mark.nanoseconds, sights[index].nanoseconds)) / 1e6
            delays += Array(repeating: delay, count: mark.count - done)
            done = mark.count
        }
        delays.sort()
        var sample = Sample()
        sample.values["p50"] = delays[delays.count / 2]
        sample.values["p99"] = delays[delays.count * 99 / 100]
        sample.values["most"] = delays[delays.count - 1]
        return sample
    }

    /// Lines of a moment and a number.
    private static func read(_ path: String) throws -> [Sight] {
        try readTextFile(path).split(separator: "\n").map { line in
            let words = line.split(separator: " ")
            guard words.count == 2, let nanoseconds = UInt64(words[0]), let count = Int(words[1]) else {
                throw LabError("\(path): \(line)")
            }
            return Sight(nanoseconds: nanoseconds, count: count)
        }
    }
}
