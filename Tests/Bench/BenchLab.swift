internal import Glibc
internal import Lab

/// One laboratory for one run: the namespaces, a subject in them, and the programs that load it.
final class BenchLab {
    let subject: Subject
    let lab: Lab
    /// The daemons; nil for a subject that has none.
    let pair: (any DaemonPair)?

    init(_ subject: Subject, flowCountMax: Int, routerCount: Int = 2) throws(LabError) {
        self.subject = subject
        lab = try Lab(routerCount: routerCount)
        pair =
            switch subject {
            case .none, .floor: nil
            case .flowsync: FlowSyncPair(lab)
            case .conntrackd: ConntrackdPair(lab, flowCountMax: flowCountMax)
            }
    }

    /// This program, for the parts of it that run in a router's namespace.
    static var program: String {
        var buffer = [CChar](repeating: 0, count: 4_096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        return String(decoding: buffer[..<max(0, count)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The daemons, where there have to be some.
    func daemons() throws(LabError) -> any DaemonPair {
        guard let pair else { throw LabError("\(subject.rawValue) has no daemons") }
        return pair
    }

    /// Starts both daemons and waits until they have exchanged what there is.
    func startPair() throws(LabError) {
        let pair = try daemons()
        try pair.start(.r1)
        try pair.start(.r2)
        let deadline = Clock.seconds + 120
        while try !pair.isSynchronised() {
            guard Clock.seconds < deadline else {
                throw LabError("the pair is not in sync after 120 s\n\(lab.daemonLogs)")
            }
            Clock.sleep(seconds: 0.1)
        }
        try waitUntilQuiet()
    }

    /// A program that was made ready and waits to be told to begin.
    final class Load {
        let workload: Workload
        let process: ChildProcess

        init(_ workload: Workload, _ process: ChildProcess) {
            self.workload = workload
            self.process = process
        }

        func begin() throws(LabError) { try process.writeLine("go") }

        /// Waits for its end; an error unless every operation succeeded.
        func finish() throws(LabError) -> WorkloadResult {
            let line = try process.readLine(timeoutSeconds: 120 + workload.seconds * 4)
            let result: WorkloadResult = try JSONText.decode(line)
            guard result.failedCount == 0, result.operationCount == workload.operationCount else {
                throw LabError("the load \(workload.options) ended with \(line)")
            }
            process.wait(timeoutSeconds: 10)
            return result
        }
    }

    /// Starts a load program that waits for `begin`.
    func prepare(_ workload: Workload, on router: LabNode = .r1, extra: [String] = []) throws(LabError) -> Load {
        let process = try lab.start(
            on: router,
            [Self.program, "load"] + workload.options + extra,
            input: .pipe,
            output: .pipe
        )
        guard try process.readLine(timeoutSeconds: 60) == "ready" else {
            throw LabError("the load program is not ready")
        }
        return Load(workload, process)
    }

    /// Carries out a load to its end.
    @discardableResult
    func load(_ workload: Workload, on router: LabNode = .r1) throws(LabError) -> WorkloadResult {
        let load = try prepare(workload, on: router)
        try load.begin()
        return try load.finish()
    }

    /// Waits until neither daemon has anything more to do than an idle one.
    ///
    /// Nobody asks the daemons: answering would be work.
    func waitUntilQuiet(_ routers: [LabNode] = [.r1, .r2], within seconds: Double = 120) throws(LabError) {
        var clocks: [ProcessClock] = []
        for router in routers { clocks.append(try ProcessClock(processID: daemons().processID(router))) }
        var quietCount = 0
        var before = try clocks.map { clock throws(LabError) in try clock.nanoseconds() }
        let deadline = Clock.seconds + seconds
        while quietCount < 3 {
            guard Clock.seconds < deadline else { throw LabError("\(subject) is still busy after \(seconds) s") }
            Clock.sleep(seconds: 0.2)
            let after = try clocks.map { clock throws(LabError) in try clock.nanoseconds() }
            let isQuiet = zip(before, after).allSatisfy { $1 - $0 < 10_000_000 }
            quietCount = isQuiet ? quietCount + 1 : 0
            before = after
        }
    }

    /// What a command took and said.
    struct Timed {
        var milliseconds: Double
        var text: String
    }

    /// Runs a command that has to succeed, from its start to its end.
    func timed(_ command: [String], on router: LabNode) throws(LabError) -> Timed {
        let start = Clock.seconds
        let process = try lab.start(on: router, command, output: .file("\(lab.directory)/timed"))
        guard process.wait(timeoutSeconds: 300) == 0 else {
            throw LabError("`\(process.commandLine)` ended with \(process.exitStatus ?? -1)")
        }
        let milliseconds = (Clock.seconds - start) * 1_000
        let lines = try readTextFile("\(lab.directory)/timed").split(separator: "\n")
        return Timed(milliseconds: milliseconds, text: lines.last.map(String.init) ?? "")
    }

    /// Says so if the caches are not what they should be.
    func noteCounts(_ flowCount: Int, _ sample: inout Sample) throws(LabError) {
        let pair = try daemons()
        let (here, there) = (try pair.counts(.r1), try pair.counts(.r2))
        if here.internalCount != flowCount || there.externalCount != flowCount {
            sample.notes.append(
                "internal cache \(here.internalCount), external cache \(there.externalCount) of \(flowCount) flows"
            )
        }
    }

    /// Bytes that went over the sync link in both directions, Ethernet headers included.
    func syncByteCount() throws(LabError) -> Int {
        for line in try lab.check(on: .r1, ["cat", "/proc/self/net/dev"]).text.split(separator: "\n") {
            // sync: received bytes, packets, … (8 numbers), sent bytes, packets, …
            let words = line.split(separator: " ")
            if words.count >= 10, words[0] == "sync:" { return (Int(words[1]) ?? 0) + (Int(words[9]) ?? 0) }
        }
        throw LabError("/proc/self/net/dev of r1 knows no interface sync")
    }

    /// Entries in a router's kernel.
    func kernelCount(_ router: LabNode) throws(LabError) -> Int {
        let text = try lab.check(on: router, ["cat", "/proc/sys/net/netfilter/nf_conntrack_count"]).text
        return Int(text.split(separator: "\n").first ?? "") ?? -1
    }
}
