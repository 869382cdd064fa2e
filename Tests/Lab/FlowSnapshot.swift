/// A list of flows as a dump shows it, in a form that can be compared: timers and order do not count.
public struct FlowSnapshot: Sendable {
    /// What has to be equal of one flow.
    public struct Facts: Equatable, Sendable, CustomStringConvertible {
        /// The reply tuple, that is the translation; nil if the dump does not show it.
        public var reply: String?
        /// TCP, SCTP or DCCP state.
        public var state = ""
        /// The mark.
        public var mark = "0"
        /// Whether the flow is assured.
        public var isAssured = false
        /// Whether no reply was seen.
        public var isUnreplied = false
        /// The helper.
        public var helper = ""
        /// Seconds left, where the dump shows them; not compared by `==`.
        public var timeoutSeconds: Int?

        /// Whether all facts but the timeout are equal.
        public static func == (left: Facts, right: Facts) -> Bool {
            (left.reply == nil || right.reply == nil || left.reply == right.reply) && left.state == right.state
                && left.mark == right.mark && left.isAssured == right.isAssured
                && left.isUnreplied == right.isUnreplied && left.helper == right.helper
        }

        /// The facts in the order of a dump.
        public var description: String {
            [
                state, isUnreplied ? "[UNREPLIED]" : "", reply.map { "reply \($0)" } ?? "",
                isAssured ? "[ASSURED]" : "", "mark=\(mark)", helper.isEmpty ? "" : "helper=\(helper)",
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
        for line in bytes.split(separator: 0x0a) {
            guard let (identity, facts, ends) = Self.parse(line) else { continue }
            if ends.contains(where: { ignored.contains($0) || $0.hasPrefix("127.") || $0 == "::1" }) { continue }
            flows[identity] = facts
        }
    }

    /// One line: identity, facts, and the two addresses that decide whether it is replicated.
    private static func parse(_ line: ArraySlice<UInt8>) -> (String, Facts, [String])? {
        let words = line.split(separator: 0x20)
        guard words.count >= 4 else { return nil }
        var facts = Facts()
        var tuples: [[ArraySlice<UInt8>]] = []
        var zone = ""
        var ends: [String] = []
        for (position, word) in words.enumerated().dropFirst(2) {
            guard let equals = word.firstIndex(of: 0x3d) else {
                takeFlag(word, at: position, &facts)
                continue
            }
            switch String(decoding: word[..<equals], as: UTF8.self) {
            case "src":
                tuples.append([word])
                ends.append(String(decoding: word[(equals + 1)...], as: UTF8.self))
            case "dst", "sport", "dport", "type", "code", "id", "srckey", "dstkey":
                guard !tuples.isEmpty else { return nil }
                tuples[tuples.count - 1].append(word)
            case "mark": facts.mark = String(decoding: word[(equals + 1)...], as: UTF8.self)
            case "helper": facts.helper = String(decoding: word[(equals + 1)...], as: UTF8.self)
            case "zone", "zone-orig", "zone-reply": zone += " " + String(decoding: word, as: UTF8.self)
            default: break
            }
        }
        guard let original = tuples.first else { return nil }
        if tuples.count > 1 { facts.reply = text(tuples[1]) }
        return (String(decoding: words[0], as: UTF8.self) + " " + text(original) + zone, facts, ends)
    }

    /// A word without "=": a state, a flag in brackets, or seconds.
    private static func takeFlag(_ word: ArraySlice<UInt8>, at position: Int, _ facts: inout Facts) {
        switch String(decoding: word, as: UTF8.self) {
        case "[ASSURED]": facts.isAssured = true
        case "[UNREPLIED]": facts.isUnreplied = true
        case let text where position == 2 && Int(text) != nil: facts.timeoutSeconds = Int(text)
        // A state stands before the first tuple; "[active", "since" and "5s]" stand after it.
        case let text where position <= 3 && text.allSatisfy { $0.isUppercase || $0 == "_" || $0.isNumber }:
            facts.state = text
        default: break
        }
    }

    private static func text(_ words: [ArraySlice<UInt8>]) -> String {
        words.map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ")
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
