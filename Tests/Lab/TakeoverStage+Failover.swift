public import Control

/// What a takeover did to the connections.
public struct TakeoverResult: Sendable {
    /// What was tried.
    public var name: String
    /// Idle flows beside the connections.
    public var idleCount: Int
    /// The groups of connections.
    public var groups: [TalkingTraffic.GroupReport]
    /// TCP resets that tcpdump saw at client and server.
    public var resetCount: Int
    /// From the end of the old primary to the last of the addresses on the new one.
    public var movedSeconds: Double
    /// From the end of the old primary to the end of the change of role.
    public var doneSeconds: Double
    /// The report of `flowsync role primary`; nil for conntrackd.
    public var report: ActionReport?
    /// How long the change of role took.
    public var roleMilliseconds: Double

    /// TCP connections that were opened.
    public var total: Int { groups.filter { !$0.isProbe }.reduce(0) { $0 + $1.total } }
    /// TCP connections that are alive.
    public var alive: Int { groups.filter { !$0.isProbe }.reduce(0) { $0 + $1.alive } }
    /// UDP probes that are alive, of how many.
    public var probes: (alive: Int, total: Int) {
        groups.filter(\.isProbe).reduce((0, 0)) { ($0.0 + $1.alive, $0.1 + $1.total) }
    }
    /// The longest stall of a TCP connection.
    public var longestSeconds: Double { groups.filter { !$0.isProbe }.map(\.longestSeconds).max() ?? 0 }
    /// The worst path's median of the TCP connections' longest stalls.
    public var medianSeconds: Double { groups.filter { !$0.isProbe }.map(\.medianSeconds).max() ?? 0 }
    /// The longest time without a packet on a UDP probe; both directions, every 5…15 ms.
    public var windowSeconds: Double { groups.filter(\.isProbe).map(\.longestSeconds).max() ?? 0 }

    /// A step of the report.
    public func step(_ name: String) -> StepReport? { report?.steps.first { $0.name == name } }

    /// The head of the table.
    public static let header = """
        | what | idle flows | TCP alive | RST | UDP alive | address moved after | role primary | UDP silent for | \
        beyond the moving | longest TCP stall | median |
        |---|---|---|---|---|---|---|---|---|---|---|
        """

    /// One line of the table.
    public var row: String {
        let steps = report?.steps.map { "\($0.name) \($0.milliseconds.text(1)) ms" }.joined(separator: ", ")
        let role = "\(roleMilliseconds.text(0)) ms" + (steps.map { " (\($0))" } ?? "")
        return "| \(name) | \(idleCount) | \(alive) of \(total) | \(resetCount) "
            + "| \(probes.alive) of \(probes.total) | \(movedSeconds.text(3)) s | \(role) "
            + "| \(windowSeconds.text(3)) s | \((windowSeconds - movedSeconds).text(3)) s "
            + "| \(longestSeconds.text(3)) s | \(medianSeconds.text(3)) s |"
    }
}

/// Takeovers.
extension TakeoverStage {
    /// Ways for the primary to go.
    public enum Loss: String, CaseIterable, Sendable {
        /// All processes killed, the links down.
        case kill
        /// keepalived is stopped.
        case stop
        /// keepalived is given a lower priority than the other's.
        case priority
        /// An interface goes down.
        case interface
    }

    /// Lets the other router take over and says what became of the connections.
    ///
    /// - Parameter name: for the table.
    public func failOver(
        _ name: String,
        from old: LabNode = .r1,
        by loss: Loss = .kill,
        idleCount: Int = 0,
        aliveWithin seconds: Double = 20
    ) throws(LabError) -> TakeoverResult {
        let new = old.otherRouter
        try arm()
        let watcher = try AddressWatcher(new, in: lab)
        let begin = Clock.seconds
        try lose(old, by: loss)
        var roleMilliseconds = 0.0
        if let keepalived {
            try keepalived.waitUntilMaster(new, within: 20)
        } else {
            try lab.moveAddresses(to: new)
            roleMilliseconds = try setRole(.primary, of: new)
        }
        let report = conntrackd == nil ? try primaryReport(of: new, within: 60) : nil
        if keepalived != nil {
            roleMilliseconds =
                try conntrackd?.primaryMilliseconds(of: new, within: 60) ?? report?.milliseconds ?? 0
        }
        let done = Clock.seconds - begin
        let groups = try traffic.alive(within: seconds)
        guard let moved = watcher.completeSeconds else { throw LabError("the addresses did not move\n\(logs)") }
        return TakeoverResult(
            name: name,
            idleCount: idleCount,
            groups: groups,
            resetCount: try resets?.count() ?? 0,
            movedSeconds: moved - begin,
            doneSeconds: done,
            report: report,
            roleMilliseconds: roleMilliseconds
        )
    }

    /// Waits until a router's daemon has become primary, and returns the report.
    ///
    /// keepalived calls the command, so nobody here sees its end; and a status shows the role before that.
    private func primaryReport(of router: LabNode, within seconds: Double) throws(LabError) -> ActionReport {
        let deadline = Clock.seconds + seconds
        while true {
            if let last = try lab.status(of: router).lastTakeover, last.report.action == "role primary" {
                return last.report
            }
            guard Clock.seconds < deadline else { throw LabError("\(router) did not become primary\n\(logs)") }
            Clock.sleep(seconds: 0.05)
        }
    }

    private func lose(_ old: LabNode, by loss: Loss) throws(LabError) {
        switch (loss, keepalived) {
        case (.kill, let keepalived?):
            try keepalived.powerOff(old)
        case (.kill, nil):
            try lab.powerOff(old)
        case (.stop, let keepalived?):
            guard try keepalived.stop(on: old) == 0 else { throw LabError("keepalived did not stop\n\(logs)") }
        case (.priority, let keepalived?):
            try keepalived.setPriority(10, of: old)
        case (.interface, .some):
            try lab.check(on: old, ["ip", "link", "set", "wan", "down"])
        default:
            throw LabError("\(loss) is something that keepalived does")
        }
    }
}
