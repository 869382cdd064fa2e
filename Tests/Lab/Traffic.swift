/// Real connections between the lab's client and server.
public final class Traffic {
    /// What became of a group of connections.
    public struct GroupReport: Sendable, CustomStringConvertible {
        /// The group's name.
        public let name: String
        /// Connections that were opened.
        public let total: Int
        /// Those that exchanged data after the question.
        public let alive: Int
        /// Those that were reset.
        public let reset: Int
        /// Those that ended in another way.
        public let ended: Int
        /// Those that said nothing.
        public let silent: Int

        /// The counts in words.
        public var description: String {
            "\(name): \(alive) of \(total) alive, \(reset) reset, \(ended) ended, \(silent) silent"
        }
    }

    /// The ways through the routers.
    public enum Path: String, CaseIterable, Sendable {
        /// Source-translated to the floating WAN address.
        case snat = "SNAT"
        /// Destination-translated from the floating LAN address.
        case dnat = "DNAT"
        /// IPv6, not translated.
        case ipv6 = "IPv6"
        /// IPv6, source-translated.
        case snatIPv6 = "SNAT-IPv6"
        /// IPv6, destination-translated.
        case dnatIPv6 = "DNAT-IPv6"

        var sources: [String] {
            switch self {
            case .snat: LabAddress.translatedClients
            case .dnat: LabAddress.plainClients
            case .ipv6, .dnatIPv6: LabAddress.plainClientsIPv6
            case .snatIPv6: LabAddress.translatedClientsIPv6
            }
        }

        var destination: (address: String, port: Int) {
            switch self {
            case .snat: (LabAddress.server, LabAddress.serverPort)
            case .dnat: (LabAddress.floatingLAN, LabAddress.translatedPort)
            case .ipv6, .snatIPv6: (LabAddress.serverIPv6, LabAddress.serverPort)
            case .dnatIPv6: (LabAddress.floatingLANIPv6, LabAddress.translatedPort)
            }
        }
    }

    private let server: ChildProcess
    private let client: ChildProcess

    /// Starts the server and the client program in a lab.
    public init(in lab: Lab) throws(LabError) {
        let tool = try LabPrograms.labTool()
        server = try lab.start(
            on: .server,
            [tool, "traffic-server", "--port", "\(LabAddress.serverPort)"],
            output: .pipe
        )
        guard try server.readLine(timeoutSeconds: 20) == "ready" else { throw LabError("the traffic server failed") }
        client = try lab.start(on: .client, [tool, "traffic-client"], input: .pipe, output: .pipe)
    }

    /// Opens connections along a path; every one has exchanged a message when this returns.
    ///
    /// - Throws: also if one of them could not be opened.
    public func open(_ count: Int, _ path: Path, _ kind: TrafficProtocol = .tcp) throws(LabError) {
        let (address, port) = path.destination
        try open(count, kind, from: path.sources, to: address, port: port, group: groupName(path, kind))
    }

    /// Opens connections between given addresses.
    public func open(
        _ count: Int,
        _ kind: TrafficProtocol,
        from sources: [String],
        to address: String,
        port: Int,
        group: String
    ) throws(LabError) {
        try client.writeLine(
            "open \(group) \(kind.rawValue) \(sources.joined(separator: ",")) \(address) \(port) \(count)"
        )
        let answer = try client.readLine(timeoutSeconds: 60)
        guard answer == "opened \(group) \(count) 0" else {
            throw LabError("not all \(count) connections (\(group)) could be opened: \(answer)")
        }
    }

    /// Asks which connections exchange data from now on; waits for the last one or for the time to pass.
    public func alive(within seconds: Double) throws(LabError) -> [GroupReport] {
        try client.writeLine("alive \(Int(seconds * 1_000))")
        var reports: [GroupReport] = []
        while true {
            let words = try client.readLine(timeoutSeconds: seconds + 20).split(separator: " ")
            if words == ["done"] { return reports }
            let numbers = words.dropFirst(2).compactMap { Int($0) }
            guard words.count == 7, numbers.count == 5 else { throw LabError("unreadable report: \(words)") }
            reports.append(
                GroupReport(
                    name: String(words[1]),
                    total: numbers[0],
                    alive: numbers[1],
                    reset: numbers[2],
                    ended: numbers[3],
                    silent: numbers[4]
                )
            )
        }
    }

    /// Sets the time between two messages of a connection.
    public func setPace(milliseconds range: ClosedRange<Int>) throws(LabError) {
        try expectDone("pace \(range.lowerBound) \(range.upperBound)")
    }

    /// Closes a path's connections in an orderly way.
    public func close(_ path: Path, _ kind: TrafficProtocol = .tcp) throws(LabError) {
        try expectDone("close \(groupName(path, kind))")
    }

    /// Kills client and server.
    public func stop() {
        for child in [client, server] {
            child.signal(9)
            child.wait(timeoutSeconds: 5)
        }
    }

    private func groupName(_ path: Path, _ kind: TrafficProtocol) -> String {
        kind == .tcp ? path.rawValue : "\(path.rawValue)-UDP"
    }

    private func expectDone(_ line: String) throws(LabError) {
        try client.writeLine(line)
        let answer = try client.readLine(timeoutSeconds: 20)
        guard answer == "done" else { throw LabError("\(line): \(answer)") }
    }
}
