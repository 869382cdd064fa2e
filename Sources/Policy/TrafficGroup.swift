public import Flow

/// Flows that one node at a time is primary for, whatever it is for others: what a `[[group]]` section says.
///
/// A flow belongs to it if any entry of any list matches.
public struct TrafficGroup: Hashable, Sendable {
    /// The name in commands, in the status and in the gate's table.
    public var name: String
    /// Networks of the original tuple's source.
    public var sources: [Network]
    /// Networks of the original tuple's destination.
    public var destinations: [Network]
    /// Networks of the addresses that NAT gives or takes away: what source NAT puts in, what destination NAT replaces.
    public var natAddresses: [Network]
    /// Conntrack marks.
    public var marks: [MarkMatch]
    /// Conntrack zones, of either direction, each from 1 to 65,535.
    public var zones: [UInt16]

    /// A group of its parts.
    public init(
        name: String,
        sources: [Network] = [],
        destinations: [Network] = [],
        natAddresses: [Network] = [],
        marks: [MarkMatch] = [],
        zones: [UInt16] = []
    ) {
        self.name = name
        self.sources = sources
        self.destinations = destinations
        self.natAddresses = natAddresses
        self.marks = marks
        self.zones = zones
    }
}

/// The groups that flows are sorted into: those of the configuration file, and one for all other flows.
///
/// Group 0 is that of the other flows; the file's follow in its order. A flow belongs to the first of the file's groups
/// that matches it.
public struct TrafficGroups: Equatable, Sendable {
    /// The name of group 0.
    public static let defaultName = "default"
    /// The most groups that a file can have.
    public static let groupCountMax = 15

    /// The file's groups; the first one has index 1.
    public let groups: [TrafficGroup]
    /// Whether a group is told by marks.
    ///
    /// A mark may change in a flow's life, and the flow's group with it.
    public let usesMarks: Bool

    private let matchers: [Matcher]

    /// The groups of a file, in its order.
    public init(_ groups: [TrafficGroup] = []) {
        self.groups = groups
        usesMarks = groups.contains { !$0.marks.isEmpty }
        matchers = groups.map(Matcher.init)
    }

    /// All groups' names, each at its index.
    public var names: [String] { [Self.defaultName] + groups.map(\.name) }

    /// The index of the group that a flow belongs to.
    ///
    /// A flow whose mark is not known counts as one with mark 0, which the kernel does not always tell.
    public func index(of flow: borrowing Flow) -> Int {
        for index in matchers.indices where matchers[index].matches(flow) { return index + 1 }
        return 0
    }

    /// A text that is the same on two nodes if and only if their groups are: what a digest is made of.
    ///
    /// The order of the groups counts. The order within a list does not, nor how often an entry stands in it.
    public var canonicalText: String {
        groups.map { group in
            let lists = [
                ("sources", Self.canonicalText(group.sources)),
                ("destinations", Self.canonicalText(group.destinations)),
                ("nat-addresses", Self.canonicalText(group.natAddresses)),
                ("marks", Self.canonicalText(group.marks)),
                ("zones", Self.canonicalText(group.zones)),
            ]
            return "group \(group.name)\n" + lists.map { "\($0.0) \($0.1)\n" }.joined()
        }
        .joined()
    }

    private static func canonicalText(_ entries: [some CustomStringConvertible]) -> String {
        Set(entries.map(\.description)).sorted().joined(separator: " ")
    }

    /// Whether two files have the same groups, written in the same order throughout.
    public static func == (left: TrafficGroups, right: TrafficGroups) -> Bool { left.groups == right.groups }
}

/// A group, built for a quick "is this flow one of it".
private struct Matcher: Sendable {
    private let sources: NetworkSet
    private let destinations: NetworkSet
    private let natAddresses: NetworkSet
    private let marks: [MarkMatch]
    private let zones: Set<UInt16>

    init(_ group: TrafficGroup) {
        sources = NetworkSet(group.sources)
        destinations = NetworkSet(group.destinations)
        natAddresses = NetworkSet(group.natAddresses)
        marks = group.marks
        zones = Set(group.zones)
    }

    func matches(_ flow: borrowing Flow) -> Bool {
        let original = flow.original
        let reply = flow.reply
        let family = original.family
        if sources.contains(original.source, family) || destinations.contains(original.destination, family) {
            return true
        }
        // What source NAT has put in is where the answers go; what destination NAT has replaced is not who answers.
        if reply.destination != original.source, natAddresses.contains(reply.destination, reply.family) { return true }
        if original.destination != reply.source, natAddresses.contains(original.destination, family) { return true }
        // Most flows are in no zone, and the hash would be a quarter of the work.
        if flow.zone.id != 0, zones.contains(flow.zone.id) { return true }
        guard !marks.isEmpty else { return false }
        let mark = flow.attributes.contains(.mark) ? flow.mark : 0
        return marks.contains { $0.matches(mark) }
    }
}
