/// The plain form of `flowsync status`.
///
/// Written for somebody who was woken up: the first line says the role and whether a failover would lose connections,
/// the second why. What is wrong comes before what is fine; numbers come last.
public enum StatusText {
    /// The page, ending in a newline.
    public static func render(_ status: NodeStatus) -> String {
        var lines = [headline(status)]
        if let reason = status.ready.reason { lines.append("NOT READY to become primary: \(reason)") }
        lines += status.warnings.map { "WARNING: \($0)" }
        lines.append("")
        lines += status.peers.flatMap(peer)
        if status.peers.isEmpty { lines.append(row("peer", "none heard yet")) }
        lines += (status.groups ?? []).flatMap(group)
        lines += status.links.map { link in
            let load = link.isActive && status.links.count > 1 ? ", carries the load" : ""
            return row("link", "\(link.description): \(link.isLive ? "" : "NOT LIVE: ")\(link.stateText)\(load)")
        }
        lines.append(row("caches", caches(status.caches)))
        lines.append(row("kernel", kernel(status.kernel)))
        if let gate = status.gate { lines.append(row("gate", self.gate(gate))) }
        lines.append(
            row(
                "daemon",
                "version \(status.version), up \(DurationText.short(seconds: status.uptimeSeconds)), "
                    + "takeover number \(status.takeoverNumber)"
            )
        )
        if let last = status.lastTakeover {
            let ago = DurationText.short(seconds: last.secondsAgo)
            lines.append(row("last", "\(ago) ago: \(ActionText.headline(last.report))"))
            lines += ActionText.steps(last.report).map { row("", $0) }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// "r1: primary for 3 h 12 min, IN SYNC with r2".
    ///
    /// With traffic groups: "r1: primary of web, backup of default and mail, IN SYNC with r2".
    private static func headline(_ status: NodeStatus) -> String {
        guard let groups = status.groups else {
            let role = status.role == .unset ? "no role yet" : held(status.role, status.roleSinceSeconds)
            return "\(status.node): \(role), \(synchronisation(status))"
        }
        let roles: [String] = [Role.primary, .backup, .fault, .unset].compactMap { role in
            let names = groups.filter { $0.role == role }.map(\.name)
            if names.isEmpty { return nil }
            return (role == .unset ? "no role yet for " : "\(role.rawValue) of ") + names.joined(separator: " and ")
        }
        return "\(status.node): \(roles.joined(separator: ", ")), \(synchronisation(status))"
    }

    private static func held(_ role: Role, _ seconds: UInt64) -> String {
        "\(role.rawValue) for \(DurationText.short(seconds: seconds))"
    }

    private static func synchronisation(_ status: NodeStatus) -> String {
        guard !status.peers.isEmpty else { return "NOT IN SYNC: no peer has been heard" }
        let sessions = status.groups.map { groups in
            groups.flatMap { group in group.peers.map { (label: "\(group.name): ", peer: $0) } }
        }
        let lacking = (sessions ?? status.peers.map { ("", $0) }).filter { !($0.peer.isUp && $0.peer.isSynchronised) }
        guard let (label, first) = lacking.first else {
            return "IN SYNC with " + status.peers.map(\.name).joined(separator: ", ")
        }
        let reason =
            first.isUp ? label + (first.reason ?? "\(first.name) is not in sync yet") : "\(first.name) is down"
        let others = lacking.count > 1 ? " (and \(lacking.count - 1) more)" : ""
        return "NOT IN SYNC: \(reason)\(others)"
    }

    /// "web: primary for 3 min 0 s, takeover number 4, gate open; r2 backup, in sync", and below it the flows.
    private static func group(_ group: GroupStatus) -> [String] {
        let role = group.role == .unset ? "no role yet" : held(group.role, group.roleSinceSeconds)
        let gate = group.gate.map { $0.isClosed ? ", gate closed" : ", gate open" } ?? ""
        let peers = group.peers.filter(\.isUp).map { peer in
            let reason = peer.reason.map { ": \($0)" } ?? ""
            return "; \(peer.name) \(peer.role.rawValue), " + (peer.isSynchronised ? "in sync" : "NOT IN SYNC\(reason)")
        }
        return [
            row("group", "\(group.name): \(role), takeover number \(group.takeoverNumber)\(gate)\(peers.joined())"),
            row("", caches(group.caches)),
        ]
    }

    private static func peer(_ peer: PeerStatus) -> [String] {
        var facts: [String] = []
        switch (peer.isUp, peer.lastHeardMilliseconds) {
        case (_, nil):
            facts.append("never heard")
        case (true, let milliseconds?):
            facts.append("up, \(peer.role.rawValue), heard \(milliseconds) ms ago")
        case (false, let milliseconds?):
            facts.append("DOWN, last heard \(DurationText.short(seconds: milliseconds / 1_000)) ago")
        }
        if peer.isSynchronised {
            let since = peer.synchronisedSinceSeconds.map { " for \(DurationText.short(seconds: $0))" } ?? ""
            facts.append("in sync\(since)")
        } else {
            facts.append("NOT IN SYNC" + (peer.reason.map { ": \($0)" } ?? ""))
        }
        let numbers =
            "sent \(peer.sentSequence), acknowledged \(peer.acknowledgedSequence), "
            + "\(peer.inFlightMessageCount) in flight, holds \(flows(peer.externalFlowCount)) of its here"
        let rows = [row("peer", "\(peer.name): \(facts.joined(separator: ", "))"), row("", numbers)]
        return rows + proof(peer).map { row("", $0) }
    }

    /// What digests have shown of both copies, and the last repair.
    private static func proof(_ peer: PeerStatus) -> [String] {
        var lines: [String] = []
        if !peer.mismatchedSettings.isEmpty {
            lines.append("CONFIGURED DIFFERENTLY: \(peer.mismatchedSettings.joined(separator: ", "))")
        }
        var copies: [String] = []
        if peer.differingFlowCount > 0 {
            copies.append("\(flows(peer.differingFlowCount)) or more of its differ here")
        } else if let milliseconds = peer.verifiedMilliseconds {
            copies.append("its flows here proved equal \(milliseconds) ms ago")
        }
        switch peer.peerDifferingFlowCount {
        case 0?: copies.append("ours there proved equal")
        case let count?: copies.append("\(flows(count)) or more of ours differ there")
        case nil: break
        }
        if !copies.isEmpty { lines.append(copies.joined(separator: "; ")) }
        if let repair = peer.lastRepair {
            lines.append(
                "last repair \(DurationText.short(seconds: repair.secondsAgo)) ago: \(flows(repair.flowCount)), "
                    + "\(repair.byteCount) bytes, \(repair.milliseconds) ms (\(peer.repairCount) in all)"
            )
        }
        return lines
    }

    private static func caches(_ caches: CacheStatus) -> String {
        "internal \(flows(caches.internalFlowCount)), external \(flows(caches.externalFlowCount))"
            + (caches.preloadedFlowCount.map { ", \($0) of them preloaded" } ?? "")
    }

    private static func kernel(_ kernel: KernelStatus) -> String {
        let events = kernel.eventsEnabled ? "" : "SENDS NO EVENTS, "
        return "\(events)table \(kernel.tableCount) of \(kernel.tableCountMax), "
            + "event buffer \(kernel.eventBufferByteCount / 1_024) KiB, \(kernel.overrunCount) overruns"
    }

    private static func gate(_ gate: GateStatus) -> String {
        let dropped = gate.droppedPacketCount.map { ", \($0) packets of unknown flows dropped" } ?? ""
        return "\(gate.isClosed ? "closed" : "open") on \(gate.interfaces.joined(separator: ", "))\(dropped)"
    }

    private static func flows(_ count: Int) -> String { count == 1 ? "1 flow" : "\(count) flows" }

    private static func row(_ name: String, _ text: String) -> String {
        "  " + name + String(repeating: " ", count: max(1, 8 - name.count)) + text
    }
}

/// The plain form of what an action did.
public enum ActionText {
    /// A line for the whole and one per step, ending in a newline.
    public static func render(_ report: ActionReport) -> String {
        ([headline(report)] + steps(report).map { "  " + $0 }).joined(separator: "\n") + "\n"
    }

    /// "role primary: done in 812.3 ms", or "role primary: FAILED after 812.3 ms: why".
    static func headline(_ report: ActionReport) -> String {
        let time = DurationText.milliseconds(report.milliseconds)
        let message = report.message.map { ": \($0)" } ?? ""
        return "\(report.action): " + (report.succeeded ? "done in \(time)" : "FAILED after \(time)") + message
    }

    /// One line per step: name, count, milliseconds, failures by cause, note.
    static func steps(_ report: ActionReport) -> [String] {
        let nameWidth = report.steps.map(\.name.count).max() ?? 0
        let countWidth = report.steps.map { String($0.count).count }.max() ?? 0
        let times = report.steps.map { DurationText.milliseconds($0.milliseconds) }
        let timeWidth = times.map(\.count).max() ?? 0
        return zip(report.steps, times).map { step, time in
            let count = String(step.count)
            var line = step.name + spaces(nameWidth - step.name.count + 2)
            line += spaces(countWidth - count.count) + count
            line += spaces(timeWidth - time.count + 2) + time + "  failed \(step.failedCount)"
            if step.failedCount > 0 {
                let causes = step.failed.filter { $0.value > 0 }.sorted { $0.key < $1.key }
                line += " (" + causes.map { "\($0.key) \($0.value)" }.joined(separator: ", ") + ")"
            }
            if let note = step.note { line += "  \(note)" }
            return line
        }
    }

    private static func spaces(_ count: Int) -> String { String(repeating: " ", count: max(0, count)) }
}
