internal import Flow

/// Networks of both families, built for a quick "is this address in any of them".
///
/// One tier per prefix length in use, each a sorted array of masked addresses: a router that ignores its own addresses
/// and a handful of networks has two or three tiers. The addresses come from the operator and the router's interfaces,
/// so no peer can choose them, and a binary search needs no seeded hash.
struct NetworkSet: Sendable {
    private struct Tier: Sendable {
        let mask: PrefixMask
        let bases: [Address]

        func contains(_ address: Address) -> Bool {
            let wanted = mask.applied(to: address)
            var low = 0
            var high = bases.count
            while low < high {
                let middle = (low + high) / 2
                if Tier.precedes(bases[middle], wanted) { low = middle + 1 } else { high = middle }
            }
            return low < bases.count && bases[low] == wanted
        }

        /// Any total order will do; this one compares the words as they lie in memory.
        static func precedes(_ left: Address, _ right: Address) -> Bool {
            (left.high, left.low) < (right.high, right.low)
        }
    }

    private let ipv4: [Tier]
    private let ipv6: [Tier]

    init(_ networks: [Network]) {
        func tiers(_ family: AddressFamily) -> [Tier] {
            let ofFamily = networks.filter { $0.base.family == family }
            return Dictionary(grouping: ofFamily, by: \.prefixLength).sorted { $0.key > $1.key }.map { entry in
                Tier(
                    mask: PrefixMask(prefixLength: entry.key),
                    bases: Set(entry.value.map(\.base.address)).sorted(by: Tier.precedes)
                )
            }
        }
        ipv4 = tiers(.ipv4)
        ipv6 = tiers(.ipv6)
    }

    /// - Complexity: O(prefix lengths in use × log(networks)).
    func contains(_ address: Address, _ family: AddressFamily) -> Bool {
        switch family {
        case .ipv4: ipv4.contains { $0.contains(address) }
        case .ipv6: ipv6.contains { $0.contains(address) }
        }
    }
}
