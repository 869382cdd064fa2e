internal import Glibc
public import Lab

/// Where and with what the figures were taken.
public struct Machine: Codable, Sendable {
    /// The processor's name.
    public var processor: String
    /// How many there are.
    public var processorCount: Int
    /// Bytes of memory.
    public var memoryByteCount: Int
    /// `uname -r`.
    public var kernel: String
    /// How busy its processors were before the first run, in per cent of all.
    public var busyPercentBefore: Double
    /// The date in UTC.
    public var date: String
    /// FlowSync's version.
    public var flowsync: String
    /// conntrackd's package version.
    public var conntrackd: String
    /// Runs per figure and subject.
    public var runCount: Int

    /// One fact a line.
    public var lines: [String] {
        [
            "\(processorCount) × \(processor), \(memoryByteCount >> 30) GiB, Linux \(kernel)",
            "flowsyncd \(flowsync), sealed; conntrackd \(conntrackd), FTFW",
            "\(date) UTC; processors \(busyPercentBefore.text(0)) % busy beforehand; "
                + "median of \(runCount) (least–most)",
        ]
    }
}

extension Machine {
    /// What it was doing before the bench began, watched for this long.
    private static let watchSeconds = 3.0

    /// This machine.
    public init(runCount: Int) throws(LabError) {
        self.runCount = runCount
        let lines = try readTextFile("/proc/cpuinfo").split(separator: "\n")
        processor =
            lines.first { $0.hasPrefix("model name") }
            .map { $0.drop { $0 != ":" }.dropFirst(2) }.map(String.init) ?? "unknown"
        processorCount = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        memoryByteCount = Int(sysconf(Int32(_SC_PHYS_PAGES))) * Int(sysconf(Int32(_SC_PAGESIZE)))
        let before = try SystemUsage.now()
        Clock.sleep(seconds: Self.watchSeconds)
        let after = try SystemUsage.now()
        let all = (after.clock - before.clock) * Double(processorCount)
        busyPercentBefore = after.busySeconds(since: before) / all * 100
        kernel = Self.line(["uname", "-r"])
        date = Self.line(["date", "-u", "+%Y-%m-%d %H:%M"])
        flowsync = Self.line([try LabPrograms.daemon(), "--version"]).replacing("flowsyncd ", with: "")
        conntrackd = Self.line(["dpkg-query", "-W", "-f", "${Version}", "conntrackd"])
    }

    private static func line(_ command: [String]) -> String {
        let text = (try? runCommand(command).text) ?? ""
        return text.split(separator: "\n").first.map(String.init) ?? "unknown"
    }
}
