/// A list of flows as a dump shows it, in a form that can be compared: timers and order do not count.
public struct FlowSnapshot: Sendable {
    /// What has to be equal of one flow.
    public struct Facts: Equatable, Sendable, CustomStringConvertible {
        /// The reply tuple, that is the translation; empty if the dump does not show it.
        public var reply = ""
        /// TCP, SCTP or DCCP state.
        public var state = ""
        /// The mark.
        public var mark = "0"
        /// The helper.
        public var helper = ""
        /// Whether the flow is assured.
        public var isAssured = false
        /// Whether no reply was seen.
        public var isUnreplied = false
        /// Seconds left, where the dump shows them; not compared by `==`.
        public var timeoutSeconds: Int?

        /// Whether all facts but the timeout are equal.
        public static func == (left: Facts, right: Facts) -> Bool {
            left.reply == right.reply && left.state == right.state && left.mark == right.mark
                && left.isAssured == right.isAssured && left.isUnreplied == right.isUnreplied
                && left.helper == right.helper
        }

        /// The facts in the order of a dump.
        public var description: String {
            [
                state, isUnreplied ? "[UNREPLIED]" : "", "reply " + reply, isAssured ? "[ASSURED]" : "",
                "mark=" + mark, helper.isEmpty ? "" : "helper=" + helper,
            ].filter { !$0.isEmpty }.joined(separator: " ")
        }
    }

    /// Where it comes from, for messages: "internal cache of r1".
    public let label: String
    /// Facts by identity ("tcp src=… dst=… sport=… dport=…", zones included).
    public private(set) var flows: [String: Facts] = [:]

    /// Reads a dump in the layout of conntrack(8) or of `flowsync dump`.
    ///
    /// - Parameter ignored: addresses whose flows are not replicated: those of the router itself.
    public init(_ label: String, parsing bytes: [UInt8], ignoring ignored: Set<String> = []) {
        self.label = label
        flows.reserveCapacity(bytes.count / 150)
        bytes.withUnsafeBytes { buffer in
            var line = FlowLine(ignored: ignored)
            for words in buffer.pieces(separatedBy: 0x0a) where line.parse(words) {
                flows[line.identity] = line.facts
            }
        }
    }

    /// The first differences between this and another list, in words; empty if there are none.
    public func differences(to other: FlowSnapshot, limit: Int = 8) -> [String] {
        var missing: [String] = []
        var changed: [String] = []
        for (identity, facts) in flows {
            guard let theirs = other.flows[identity] else {
                missing.append("only in \(label): \(identity) \(facts)")
                continue
            }
            if theirs != facts { changed.append("\(identity): \(label) has \(facts), \(other.label) has \(theirs)") }
        }
        let extra = other.flows.keys.filter { flows[$0] == nil }.map {
            "only in \(other.label): \($0) \(other.flows[$0].map(\.description) ?? "")"
        }
        guard !(missing.isEmpty && changed.isEmpty && extra.isEmpty) else { return [] }
        let summary =
            "\(label): \(flows.count) flows, \(other.label): \(other.flows.count) flows; \(missing.count) only in "
            + "the first, \(extra.count) only in the second, \(changed.count) differ"
        return [summary] + missing.sorted().prefix(limit) + extra.sorted().prefix(limit)
            + changed.sorted().prefix(limit)
    }
}
