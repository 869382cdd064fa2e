/// What `flowsync rehearse` found: how a takeover's commit would go now, and what it would meet.
public struct RehearsalSummary: Codable, Sendable, Equatable {
    /// Flows of the external cache that were rehearsed.
    public var flowCount = 0
    /// Entries created in the throw-away namespace.
    public var createdCount = 0
    /// How long the kernel took for them.
    public var commitMilliseconds = 0.0
    /// How long the whole rehearsal took.
    public var milliseconds = 0.0
    /// Flows that the kernel refused, by step and errno name ("create ENOMEM").
    public var refused: [String: Int] = [:]
    /// Flows of which the kernel then held no entry, or one that differs from the record.
    public var differingCount = 0
    /// Whether what was rehearsed is what its owners have, by their digests; nil if flows changed while it was read.
    public var isOwnersState: Bool?
    /// Helpers that this kernel does not have, and how many flows would go without.
    public var missingHelpers: [String: Int] = [:]
    /// Flows whose master is not among them.
    public var withoutMasterCount = 0
    /// Zones that neither a rule nor a flow of this router uses, and how many flows lie in each.
    public var unknownZones: [String: Int] = [:]
    /// Clashes with the live table as a takeover would settle them, by kind and which flow would be kept.
    public var clashes: [String: Int] = [:]
    /// The first clashes, a line each with both flows.
    public var clashLines: [String] = []
    /// Flows that the live table has already, with the same translation.
    public var liveCount = 0
    /// Entries that the live table has room for; nil where the kernel sets no limit.
    public var roomCount: Int?

    /// A rehearsal of nothing.
    public init() {}

    /// What would go wrong at a takeover, one line each, the worst first; none if nothing would.
    public var findings: [String] {
        var findings: [String] = []
        for (cause, count) in refused.sorted(by: { $0.key < $1.key }) {
            findings.append("the kernel refuses \(count) flows: \(cause)")
        }
        if let roomCount, createdCount - liveCount > roomCount {
            findings.append(
                "the kernel's table has room for \(roomCount) more entries, \(createdCount - liveCount) would come: "
                    + "raise net.netfilter.nf_conntrack_max"
            )
        }
        if differingCount > 0 { findings.append("\(differingCount) flows are in the kernel otherwise than replicated") }
        if isOwnersState == false {
            findings.append("the flows here are not what their owner has: see `flowsync status`")
        }
        for (name, count) in missingHelpers.sorted(by: { $0.key < $1.key }) {
            findings.append(
                "this kernel has no helper \(name): \(count) flows would go without (modprobe nf_conntrack_\(name))"
            )
        }
        for (zone, count) in unknownZones.sorted(by: { $0.key < $1.key }) {
            findings.append("no rule and no flow of this router uses zone \(zone), in which \(count) flows lie")
        }
        for (clash, count) in clashes.sorted(by: { $0.key < $1.key }) {
            findings.append("\(count) clashes with the kernel's table: \(clash)")
        }
        return findings
    }

    /// The plain form.
    public var text: String {
        let rate = "\(createdCount) of \(flowCount) flows in \(DurationText.milliseconds(commitMilliseconds))"
        let state =
            switch isOwnersState {
            case true?: "as their owners have them, by digest"
            case false?: "NOT as their owners have them"
            case nil: "flows changed meanwhile, so that the owners' digests say nothing"
            }
        var lines = ["rehearsed: \(rate); \(state)"]
        if findings.isEmpty {
            lines.append("nothing stands in the way of a takeover")
        } else {
            lines += findings.map { "FOUND: \($0)" }
        }
        lines += clashLines.map { "  \($0)" }
        if withoutMasterCount > 0 { lines.append("  \(withoutMasterCount) flows whose master is not among them") }
        if liveCount > 0 { lines.append("  \(liveCount) flows are in the live table already") }
        return lines.joined(separator: "\n") + "\n"
    }
}
