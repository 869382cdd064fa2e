/// Bad cables between routers and the switches of the sync networks.
extension Lab {
    /// Replaces a router's cable to a sync network by one that loses, doubles and overtakes frames in both directions.
    ///
    /// Called again, it changes what the cable does. The seed makes the cable roll the same dice in each run; which
    /// frame meets which roll is up to the kernel.
    public func layBadCable(
        at router: LabNode,
        into network: SyncNetwork = .sync,
        _ impairment: Impairment,
        seed: UInt64 = 1
    ) throws(LabError) {
        let inner = "\(router.rawValue)-\(network)"
        if cables[inner] == nil { cables[inner] = try newCable(inner, network, seed: seed) }
        try cables[inner]?.set(impairment)
    }

    /// What a bad cable has done so far.
    public func cableCounts(at router: LabNode, into network: SyncNetwork = .sync) throws(LabError) -> CableCounts {
        guard let cable = cables["\(router.rawValue)-\(network)"] else {
            throw LabError("no bad cable at \(router) into \(network)")
        }
        return try cable.counts()
    }

    private func newCable(_ inner: String, _ network: SyncNetwork, seed: UInt64) throws(LabError) -> Cable {
        let outer = inner + "-a"
        try ip(
            on: .fabric,
            [
                "link set \(inner) nomaster",
                "link add \(outer) type veth peer name \(inner)-b",
                "link set \(inner)-b master \(network) up", "link set \(outer) up",
            ]
        )
        let process = try start(
            on: .fabric,
            [try LabPrograms.labTool(), "cable", inner, outer, "--seed", "\(seed)"],
            input: .pipe,
            output: .pipe
        )
        let cable = Cable(process: process)
        try cable.waitUntilReady()
        return cable
    }
}

/// The lab's hold on the program that plays a bad cable.
final class Cable {
    private let process: ChildProcess

    init(process: ChildProcess) {
        self.process = process
    }

    func waitUntilReady() throws(LabError) {
        let line = try process.readLine(timeoutSeconds: 10)
        guard line == "ready" else { throw LabError("cable: \(line)") }
    }

    func set(_ impairment: Impairment) throws(LabError) {
        let line = try ask("set \(impairment.words)")
        guard line == "done" else { throw LabError("cable: \(line)") }
    }

    func counts() throws(LabError) -> CableCounts {
        let line = try ask("counts")
        guard let counts = CableCounts(words: line) else { throw LabError("cable: \(line)") }
        return counts
    }

    private func ask(_ line: String) throws(LabError) -> String {
        try process.writeLine(line)
        return try process.readLine(timeoutSeconds: 10)
    }
}
