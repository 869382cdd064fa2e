/// Connections between the lab's client and server on which both ends talk all the time.
public final class TalkingTraffic {
    /// What one end knows of a group of connections.
    struct EndReport {
        var total = 0
        var alive = 0
        var reset = 0
        var ended = 0
        /// The longest stall, that of the 99th percentile of the connections, and the median; in seconds.
        var stalls: [Double] = []
    }

    /// What became of a group of connections; the worse of what the two ends know.
    public struct GroupReport: Sendable, CustomStringConvertible {
        /// The path, with "-UDP" for probes: "SNAT", "DNAT-UDP".
        public let name: String
        /// Connections that were opened.
        public let total: Int
        /// Those on which data arrived at both ends after the question; at the end where fewer did.
        public let alive: Int
        /// Those that an end saw reset.
        public let reset: Int
        /// Those that an end saw ended.
        public let ended: Int
        /// The longest stall of a connection.
        ///
        /// See `TalkingEnd` for what a stall is, also for the other two.
        public let longestSeconds: Double
        /// 99 of 100 connections had no longer stall than this.
        public let percentile99Seconds: Double
        /// Half of the connections had no longer stall than this.
        public let medianSeconds: Double

        init(_ name: String, _ ends: [EndReport]) {
            func most(_ value: (EndReport) -> Int) -> Int { ends.map(value).max() ?? 0 }
            func longest(_ index: Int) -> Double { ends.map { $0.stalls[index] }.max() ?? 0 }
            self.name = name
            total = most(\.total)
            // What one end has never heard of is not alive.
            alive = ends.map(\.alive).min() ?? 0
            reset = most(\.reset)
            ended = most(\.ended)
            longestSeconds = longest(0)
            percentile99Seconds = longest(1)
            medianSeconds = longest(2)
        }

        /// Whether it is a group of UDP probes.
        public var isProbe: Bool { name.hasSuffix("-UDP") }

        /// The counts in words.
        public var description: String {
            "\(name): \(alive) of \(total) alive, \(reset) reset, \(ended) ended; longest stall "
                + "\(longestSeconds.text(3)) s, 99 % \(percentile99Seconds.text(3)) s, "
                + "median \(medianSeconds.text(3)) s"
        }
    }

    private let client: ChildProcess
    private let server: ChildProcess
    private var groupNames: [String] = []

    /// Starts both ends in a lab.
    public init(in lab: Lab) throws(LabError) {
        let tool = try LabPrograms.labTool()
        let errors = ChildProcess.Stream.file("\(lab.directory)/talk.log")
        server = try lab.start(
            on: .server,
            [tool, "talk", "--port", "\(LabAddress.serverPort)"],
            input: .pipe,
            output: .pipe,
            errors: errors
        )
        client = try lab.start(on: .client, [tool, "talk"], input: .pipe, output: .pipe, errors: errors)
        // An answer shows that the server listens.
        try mark()
    }

    /// Opens connections along a path; both ends talk on every one when this returns.
    ///
    /// - Throws: also if one of them could not be opened.
    public func open(_ count: Int, _ path: Traffic.Path, _ kind: TrafficProtocol = .tcp) throws(LabError) {
        try open(count, path.rawValue, kind, from: path.sources, to: path.destination)
    }

    /// Opens connections between given addresses, like `open` along a path.
    ///
    /// - Parameter name: what the report calls them; "-UDP" is added for probes.
    public func open(
        _ count: Int,
        _ name: String,
        _ kind: TrafficProtocol = .tcp,
        from sources: [String],
        to destination: (address: String, port: Int)
    ) throws(LabError) {
        groupNames.append(name + (kind == .udp ? "-UDP" : ""))
        let group = groupNames.count
        let sources = sources.joined(separator: ",")
        try client.writeLine(
            "open \(group) \(kind.rawValue) \(sources) \(destination.address) \(destination.port) \(count)"
        )
        let answer = try client.readLine(timeoutSeconds: 90)
        guard answer == "opened \(group) \(count) 0" else {
            throw LabError("not all \(count) connections (\(groupNames[group - 1])) could be opened: \(answer)")
        }
    }

    /// Sets the time between two messages that an end of a TCP connection sends.
    public func setPace(milliseconds range: ClosedRange<Int>) throws(LabError) {
        try tell("pace \(range.lowerBound) \(range.upperBound)")
    }

    /// Measures the longest stalls from now on.
    public func mark() throws(LabError) {
        try tell("mark")
    }

    /// Asks which connections carry data in both directions from now on; waits for the last one or for the time to
    /// pass.
    public func alive(within seconds: Double) throws(LabError) -> [GroupReport] {
        for end in [client, server] { try end.writeLine("alive \(Int(seconds * 1_000))") }
        var reports = [[EndReport]](repeating: [], count: groupNames.count)
        for end in [client, server] {
            for (group, report) in try readReports(end, within: seconds + 30) { reports[group - 1].append(report) }
        }
        return zip(groupNames, reports).map { GroupReport($0, $1.count == 2 ? $1 : $1 + [EndReport.none]) }
    }

    private func readReports(_ end: ChildProcess, within seconds: Double) throws(LabError) -> [(Int, EndReport)] {
        var reports: [(Int, EndReport)] = []
        while true {
            let words = try end.readLine(timeoutSeconds: seconds).split(separator: " ")
            if words == ["done"] { return reports }
            let numbers = words.dropFirst().compactMap { Int($0) }
            guard words.count == 9, numbers.count == 8 else { throw LabError("unreadable report: \(words)") }
            // The listening end's group 0: connections of which no first message has come.
            guard 1...groupNames.count ~= numbers[0] else { continue }
            let stalls = numbers[5...].map { Double($0) / 1e6 }
            reports.append(
                (
                    numbers[0],
                    EndReport(
                        total: numbers[1],
                        alive: numbers[2],
                        reset: numbers[3],
                        ended: numbers[4],
                        stalls: stalls
                    )
                )
            )
        }
    }

    private func tell(_ line: String) throws(LabError) {
        for end in [client, server] { try end.writeLine(line) }
        for end in [client, server] {
            let answer = try end.readLine(timeoutSeconds: 20)
            guard answer == "done" else { throw LabError("\(line): \(answer)") }
        }
    }

    /// Kills both ends.
    public func stop() {
        for end in [client, server] {
            end.signal(9)
            end.wait(timeoutSeconds: 5)
        }
    }
}

extension TalkingTraffic.EndReport {
    /// An end that knows nothing of the group.
    static let none = Self(stalls: [0, 0, 0])
}
