internal import CNFTables
internal import Flow
internal import Glibc
internal import Policy

/// What becomes of a packet that a rule matches.
private enum Fate {
    case pass
    case drop

    var needs: GateError.KernelFeature? { self == .drop ? .counters : nil }

    func append(to rule: inout NetlinkMessages) {
        if self == .drop { rule.count(GateTable.counter) }
        rule.verdict(self == .drop ? NF_DROP : NF_ACCEPT)
    }
}

/// Where the addresses of a family stand.
private struct AddressPlace {
    let family: AddressFamily
    let protocolFamily: Int
    let setType: UInt32
    /// In the network header: source and destination.
    let offsets: [UInt32]

    static let all = [
        AddressPlace(
            family: .ipv4,
            protocolFamily: NFPROTO_IPV4,
            setType: NFTListing.ipv4Address,
            offsets: [12, 16]
        ),
        AddressPlace(
            family: .ipv6,
            protocolFamily: NFPROTO_IPV6,
            setType: NFTListing.ipv6Address,
            offsets: [8, 24]
        ),
    ]

    var byteCount: UInt32 { UInt32(family.addressByteCount) }
}

/// A `PacketMatch` as a table has it: the begin of its sets' names, and the numbers that they have in the transaction.
private struct MatchSets {
    let name: String
    let firstID: UInt32

    static let others = MatchSets(name: "others", firstID: 5)
    static let group = MatchSets(name: "group", firstID: 8)

    var zoneID: UInt32 { firstID + 2 }

    func name(_ place: AddressPlace) -> String { name + (place.family == .ipv4 ? "4" : "6") }
}

// What of a table says for which packets its gate is.
extension GateBatch {
    /// Appends the sets of networks.
    mutating func appendSets(of scope: GateScope) {
        appendSets(for: scope.others, .others)
        if let included = scope.included { appendSets(for: included, .group) }
    }

    /// Appends the rules that let pass what the gate is not for, and drop the rest.
    mutating func appendRules(of scope: GateScope) {
        appendRules(for: scope.others, .others, .pass)
        if let included = scope.included {
            appendRules(for: included, .group, .drop)
        } else {
            appendRule(needs: Fate.drop.needs) { rule in Fate.drop.append(to: &rule) }
        }
    }

    private mutating func appendSets(for match: PacketMatch, _ sets: MatchSets) {
        for (index, place) in AddressPlace.all.enumerated() {
            let elements = SetElement.intervals(of: match.networks, family: place.family)
            if elements.isEmpty { continue }
            appendSet(
                sets.name(place),
                id: sets.firstID + UInt32(index),
                place.setType,
                keyByteCount: place.byteCount,
                flags: NFT_SET_INTERVAL.rawValue
            )
            appendElements(elements, to: sets.name(place))
        }
    }

    private mutating func appendRules(for match: PacketMatch, _ sets: MatchSets, _ fate: Fate) {
        for place in AddressPlace.all where match.networks.contains(where: { $0.base.family == place.family }) {
            for offset in place.offsets {
                appendRule(needs: fate.needs) { rule in
                    rule.match(protocolFamily: place.protocolFamily)
                    rule.load(offset: offset, byteCount: place.byteCount, of: NFT_PAYLOAD_NETWORK_HEADER)
                    rule.lookUp(sets.name(place))
                    fate.append(to: &rule)
                }
            }
        }
        if match.zones.isEmpty { return }
        let zones = Set(match.zones).sorted().map { SetElement(key: $0.bytesInMemory) }
        appendAnonymousSet(id: sets.zoneID, NFTListing.integer, keyByteCount: 2, zones)
        appendRule(needs: .zones) { rule in
            rule.load(connection: NFT_CT_ZONE)
            rule.lookUpAnonymous(id: sets.zoneID)
            fate.append(to: &rule)
        }
    }
}
