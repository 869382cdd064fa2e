internal import Flow
public import Policy

/// Packets that are told by what stands in them: those of a traffic group, as far as a gate can know them.
///
/// A packet matches if its source or its destination lies in one of the networks, or if its conntrack zone is one of
/// these. So the packets of both directions match, and some that only look alike: those of a flow that goes *to* a
/// network of sources. A packet of no flow at all (`ct state invalid`) is in no zone.
public struct PacketMatch: Equatable, Sendable {
    /// Networks of either address.
    public var networks: [Network]
    /// Conntrack zones.
    public var zones: [UInt16]

    /// A match of its parts; without any it matches no packet.
    public init(networks: [Network] = [], zones: [UInt16] = []) {
        self.networks = networks
        self.zones = zones
    }

    /// What a gate can know of a group's packets.
    ///
    /// Marks are not among it: the gate stands before whatever gives a packet its flow's mark.
    public init(_ group: TrafficGroup) {
        self.init(networks: group.sources + group.destinations + group.natAddresses, zones: group.zones)
    }
}

/// Which packets a gate is for; all others pass it.
public struct GateScope: Equatable, Sendable {
    /// Packets of which any of these is true are others' and pass.
    public var excluded: [PacketMatch]
    /// Of the rest, the packets that the gate is for; nil: all of them.
    public var included: PacketMatch?

    /// A scope of its parts; without any the gate is for all packets.
    public init(excluded: [PacketMatch] = [], included: PacketMatch? = nil) {
        self.excluded = excluded
        self.included = included
    }

    /// The scope of the gate of the group with this index in `TrafficGroups.names`.
    ///
    /// As with flows, a packet is that of the first group that matches it, else that of group 0.
    public init(ofGroup index: Int, in groups: TrafficGroups) {
        let matches = groups.groups.map { PacketMatch($0) }
        if index == 0 {
            self.init(excluded: matches)
        } else {
            self.init(excluded: Array(matches[..<(index - 1)]), included: matches[index - 1])
        }
    }

    /// The packets that are excluded by any of the matches.
    var others: PacketMatch {
        PacketMatch(networks: excluded.flatMap(\.networks), zones: excluded.flatMap(\.zones))
    }
}

/// One element of a set of nf_tables.
///
/// A set of intervals holds where each begins and, marked as that, the first key after it.
struct SetElement: Equatable {
    /// The key in network byte order, or as the set has it.
    var key: [UInt8]
    var isIntervalEnd = false
    /// Whether the interval that begins here goes on to the last key, so that no end follows.
    var isOpenInterval = false

    /// The intervals of a family's networks, ascending, each address in one interval only.
    static func intervals(of networks: [Network], family: AddressFamily) -> [SetElement] {
        let ofFamily = networks.filter { $0.base.family == family }.map { ($0, bytes(of: $0.base)) }
        let ascending = ofFamily.sorted { left, right in
            left.1 == right.1 ? left.0.prefixLength < right.0.prefixLength : left.1.lexicographicallyPrecedes(right.1)
        }
        var elements: [SetElement] = []
        var last: Network?
        for (network, start) in ascending {
            // Two networks have nothing in common, or the one that begins first holds the other.
            if let last, last.contains(network.base.address, family) { continue }
            last = network
            let end = firstKey(after: start, prefixLength: network.prefixLength)
            if elements.isEmpty, start.contains(where: { $0 != 0 }) {
                // What comes before the first interval is none: nft does so, too.
                elements.append(SetElement(key: start.map { _ in 0 }, isIntervalEnd: true))
            }
            elements.append(SetElement(key: start, isOpenInterval: end == nil))
            if let end { elements.append(SetElement(key: end, isIntervalEnd: true)) }
        }
        return elements
    }

    private static func bytes(of host: HostAddress) -> [UInt8] {
        (0..<host.family.addressByteCount).map { host.address.byte(at: $0) }
    }

    /// The first key after the network that begins at `start`; nil if that ends with the last one.
    private static func firstKey(after start: [UInt8], prefixLength: Int) -> [UInt8]? {
        guard prefixLength > 0 else { return nil }
        var key = start
        var addend = UInt8(0x80) >> UInt8((prefixLength - 1) % 8)
        for index in (0...(prefixLength - 1) / 8).reversed() {
            let (sum, isCarried) = key[index].addingReportingOverflow(addend)
            key[index] = sum
            if !isCarried { return key }
            addend = 1
        }
        return nil
    }
}
