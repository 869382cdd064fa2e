/// A stranger on the sync network who wants to get something into the daemons.
extension Lab {
    /// Writes down datagrams of the sync group that reach the intruder, for `startHostile`.
    public func capture(_ count: Int) throws(LabError) {
        try check(
            on: .intruder,
            [try LabPrograms.labTool(), "capture", capturePath, "--count", "\(count)"]
        )
    }

    /// Starts sending hostile datagrams from the intruder; ends by itself.
    ///
    /// `capture` has to have been called before the daemons were restarted.
    public func startHostile(count: Int, rate: Int, seed: UInt64) throws(LabError) -> ChildProcess {
        try start(
            on: .intruder,
            [
                try LabPrograms.labTool(), "hostile", "--count", "\(count)", "--rate", "\(rate)", "--seed",
                "\(seed)",
                "--key-file", keyFilePath(of: .r1), "--earlier", capturePath,
            ],
            output: .pipe
        )
    }

    private var capturePath: String { "\(directory)/capture" }

    /// Bytes of memory that a router's daemon holds.
    public func residentByteCount(of router: LabNode) throws(LabError) -> Int {
        guard let daemon = daemons[router] else { throw LabError("no daemon runs on \(router)") }
        let text = try readTextFile("/proc/\(daemon.process.processID)/status")
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("VmRSS:") }),
            let kibibytes = line.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
        else { throw LabError("no VmRSS in \(text)") }
        return kibibytes * 1_024
    }

    /// UDP datagrams that a router's kernel could not hand over because the receiver's buffer was full.
    public func overflowCount(of router: LabNode) throws(LabError) -> Int {
        let text = try check(on: router, ["cat", "/proc/net/snmp"]).text
        let rows = text.split(separator: "\n").filter { $0.hasPrefix("Udp:") }.map {
            $0.split(separator: " ")
        }
        guard rows.count == 2, let column = rows[0].firstIndex(of: "RcvbufErrors"),
            let count = Int(rows[1][column])
        else { throw LabError("no RcvbufErrors in \(text)") }
        return count
    }
}
