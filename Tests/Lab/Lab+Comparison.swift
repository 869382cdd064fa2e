internal import Control

/// Comparing caches with each other and with the kernel.
extension Lab {
    /// The flows of a router's kernel that are to be replicated.
    public func kernelFlows(of router: LabNode) throws(LabError) -> FlowSnapshot {
        try FlowSnapshot(
            "kernel of \(router)",
            parsing: kernelDump(of: router),
            ignoring: ownAddresses(of: router)
        )
    }

    /// The flows of a router's internal cache.
    public func internalFlows(of router: LabNode) throws(LabError) -> FlowSnapshot {
        FlowSnapshot("internal cache of \(router)", parsing: try cacheDump(of: router, "internal"))
    }

    /// The flows of a router's external cache.
    public func externalFlows(of router: LabNode) throws(LabError) -> FlowSnapshot {
        FlowSnapshot("external cache of \(router)", parsing: try cacheDump(of: router, "external"))
    }

    /// What a wait for equal tables found.
    public struct Equality: Sendable {
        /// How many flows each of the tables holds.
        public let flowCount: Int
        /// When the lists were taken that turned out equal, from the beginning of the wait.
        public let seconds: Double

        /// "20000 flows equal after 0.31 s".
        public var text: String { "\(flowCount) flows equal after \(seconds.text(2)) s" }
    }

    /// Waits until the kernel's table and the internal cache of a router and the external caches of all others whose
    /// daemons run are equal, and returns how many flows they hold.
    @discardableResult
    public func waitUntilEqual(primary: LabNode = .r1, within seconds: Double) throws(LabError) -> Int {
        try equality(primary: primary, within: seconds).flowCount
    }

    /// Like `waitUntilEqual`; says also how long it took.
    ///
    /// The lists are taken within the given time; comparing them may take longer.
    @discardableResult
    public func equality(primary: LabNode = .r1, within seconds: Double) throws(LabError) -> Equality {
        let start = Clock.seconds
        let deadline = start + seconds
        var rounds: [String] = []
        while true {
            try waitUntilCountsAgree(primary: primary, until: deadline)
            let taken = Clock.seconds
            let differences = try differencesNow(primary: primary)
            if differences.isEmpty {
                return Equality(flowCount: try status(of: primary).caches.internalFlowCount, seconds: taken - start)
            }
            rounds.append("lists taken after \(Int((taken - start) * 1_000)) ms:\n\(differences)")
            if taken >= deadline { break }
            Clock.sleep(seconds: min(0.2, max(0, deadline - Clock.seconds)))
        }
        let later = try differencesNow(primary: primary)
        throw LabError(
            """
            the tables are not equal within \(seconds) s; \(rounds.count) comparisons, the last one:
            \(rounds.last ?? "")
            \(later.isEmpty ? "they are equal now, too late" : "and they are not equal now either:\n" + later)
            \(runningRouters.map { summary(of: $0) }.joined(separator: "\n"))
            \(daemonLogs)
            """
        )
    }

    /// The routers that hold copies of a router's flows: all others whose daemons run.
    private func peers(of primary: LabNode) -> [LabNode] { runningRouters.filter { $0 != primary } }

    /// The differences between kernel, internal cache and the others' external caches at this moment, in words.
    ///
    /// The lists go to files and another process compares them: that one may be a release build, which is twenty times
    /// faster than the tests.
    public func differencesNow(primary: LabNode) throws(LabError) -> String {
        let command = try LabPrograms.command()
        func dump(_ cache: String, of router: LabNode) -> [String] {
            [command, "dump", cache, "--socket", socketPath(of: router)]
        }
        var commands: [(String, LabNode, [String])] = [
            ("kernel-of-\(primary)", primary, ["bash", "-c", "conntrack -L -f ipv4 && conntrack -L -f ipv6"]),
            ("internal-cache-of-\(primary)", primary, dump("internal", of: primary)),
        ]
        for peer in peers(of: primary) {
            commands.append(("external-cache-of-\(peer)", peer, dump("external", of: peer)))
        }
        // At the same time, so that the lists are as close to one moment as they can be.
        var dumps: [(path: String, process: ChildProcess)] = []
        for (label, router, arguments) in commands {
            let path = "\(directory)/\(label)"
            try writeTextFile(path, "")
            let errors = ChildProcess.Stream.file("\(path).errors")
            dumps.append((path, try ChildProcess(prefix(router) + arguments, output: .file(path), errors: errors)))
        }
        for (path, process) in dumps {
            guard process.wait(timeoutSeconds: 60) == 0 else {
                let errors = (try? readTextFile("\(path).errors")) ?? ""
                throw LabError(
                    "\(path): exit \(process.exitStatus.map { "\($0)" } ?? "none"): \(errors)\n\(daemonLogs)"
                )
            }
        }
        let ignored = try ownAddresses(of: primary).sorted().joined(separator: ",")
        let result = try runCommand(
            [try LabPrograms.labTool(), "compare", "--ignore", ignored] + dumps.map(\.path),
            timeoutSeconds: 120
        )
        guard result.exit == (result.output.isEmpty ? 0 : 1) else { throw LabError("compare: \(result.summary)") }
        return result.text
    }

    /// Cheap: asks for the numbers only, so that the long lists are rarely fetched in vain.
    private func waitUntilCountsAgree(primary: LabNode, until deadline: Double) throws(LabError) {
        while Clock.seconds < deadline {
            let here = try status(of: primary)
            let count = here.caches.internalFlowCount
            // The kernel's table has a few flows more: those that are not replicated.
            var areEqual = here.isSynchronised && count...count + 20 ~= here.kernel.tableCount
            for peer in peers(of: primary) where areEqual {
                areEqual = try status(of: peer).caches.externalFlowCount == count
            }
            if areEqual { return }
            Clock.sleep(seconds: 0.1)
        }
    }

    /// `conntrack -L` of both families.
    public func kernelDump(of router: LabNode) throws(LabError) -> [UInt8] {
        var bytes: [UInt8] = []
        for family in ["ipv4", "ipv6"] {
            bytes += try check(on: router, ["conntrack", "-L", "-f", family], timeoutSeconds: 60).output
        }
        return bytes
    }

    private func cacheDump(of router: LabNode, _ cache: String) throws(LabError) -> [UInt8] {
        let result = try flowsync(on: router, "dump", cache)
        guard result.exit == 0 else {
            throw LabError("flowsync dump \(cache) on \(router): \(result.summary)\n\(daemonLogs)")
        }
        return result.output
    }

    /// The addresses of a router's interfaces, floating ones included.
    public func ownAddresses(of router: LabNode) throws(LabError) -> Set<String> {
        let text = try check(on: router, ["ip", "-o", "addr"]).text
        var addresses: Set<String> = []
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard let index = words.firstIndex(where: { $0 == "inet" || $0 == "inet6" }) else { continue }
            addresses.insert(String(words[index + 1].prefix { $0 != "/" }))
        }
        return addresses
    }

    /// A router's own account of itself, for messages.
    public func summary(of router: LabNode) -> String {
        let status = (try? flowsync(on: router, "status"))?.summary ?? "no answer"
        let runtime = (try? flowsync(on: router, "stats", "runtime"))?.text ?? ""
        return "--- status of \(router) ---\n\(status)\n\(runtime)"
    }
}
