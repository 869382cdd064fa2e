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

    /// Waits until the kernel's table and the internal cache of a router and the external cache of the other one are
    /// equal, and returns how many flows they hold.
    ///
    /// The lists are taken within the given time; reading and comparing them may take longer.
    @discardableResult
    public func waitUntilEqual(primary: LabNode = .r1, within seconds: Double) throws(LabError) -> Int {
        let start = Clock.seconds
        let deadline = start + seconds
        try waitUntilCountsAgree(primary: primary, until: deadline)
        while true {
            let taken = Clock.seconds
            let differences = try differencesNow(primary: primary)
            if differences.isEmpty { return try status(of: primary).caches.internalFlowCount }
            guard Clock.seconds < deadline else {
                let later = try differencesNow(primary: primary)
                let outlook =
                    later.isEmpty
                    ? "they became equal only after \(Int(Clock.seconds - start)) s"
                    : "and still:\n" + later.joined(separator: "\n")
                throw LabError(
                    """
                    the tables are not equal within \(seconds) s (lists taken after \(taken - start) s):
                    \(differences.joined(separator: "\n"))
                    \(outlook)
                    \(summary(of: primary))
                    \(summary(of: primary.otherRouter))
                    \(daemonLogs)
                    """
                )
            }
            Clock.sleep(seconds: 0.1)
        }
    }

    /// The differences between kernel, internal cache and the peer's external cache at this moment.
    public func differencesNow(primary: LabNode) throws(LabError) -> [String] {
        // All lists are taken before any is read, so that they are as close to one moment as they can be.
        let kernelBytes = try kernelDump(of: primary)
        let internalBytes = try cacheDump(of: primary, "internal")
        let externalBytes = try cacheDump(of: primary.otherRouter, "external")
        let own = try ownAddresses(of: primary)
        let kernel = FlowSnapshot("kernel of \(primary)", parsing: kernelBytes, ignoring: own)
        let inside = FlowSnapshot("internal cache of \(primary)", parsing: internalBytes)
        let outside = FlowSnapshot("external cache of \(primary.otherRouter)", parsing: externalBytes)
        return kernel.differences(to: inside) + inside.differences(to: outside)
    }

    /// Cheap: asks for the numbers only, so that the long lists are fetched once.
    private func waitUntilCountsAgree(primary: LabNode, until deadline: Double) throws(LabError) {
        while Clock.seconds < deadline {
            let count = try status(of: primary).caches.internalFlowCount
            if try status(of: primary.otherRouter).caches.externalFlowCount == count { return }
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
