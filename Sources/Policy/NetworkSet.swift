internal import Flow

/// Networks of both families, built for a quick "is this address in any of them".
///
/// One tier per prefix length in use, each a sorted list of masked addresses: a router that ignores its own addresses
/// and a handful of networks has two or three tiers. The addresses come from the operator and the router's interfaces,
/// so no peer can choose them, and a binary search needs no seeded hash.
struct NetworkSet: Sendable {
    private struct Tier: Sendable {
        let mask: PrefixMask
        /// Where its addresses are.
        let range: Range<Int>
        /// The `signature` bits of its addresses: most addresses that are not among them need no search, which was 2 %
        /// of a saturated daemon.
        let signatures: UInt64
    }

    private let ipv4: [Tier]
    private let ipv6: [Tier]
    /// Of all tiers: with an array in each, every question would pay for retaining and releasing it.
    private let bases: [Address]

    init(_ networks: [Network]) {
        var bases: [Address] = []
        func tiers(_ family: AddressFamily) -> [Tier] {
            let ofFamily = networks.filter { $0.base.family == family }
            return Dictionary(grouping: ofFamily, by: \.prefixLength).sorted { $0.key > $1.key }.map { entry in
                let start = bases.count
                bases += Set(entry.value.map(\.base.address)).sorted(by: Self.precedes)
                return Tier(
                    mask: PrefixMask(prefixLength: entry.key),
                    range: start..<bases.count,
                    signatures: bases[start...].reduce(0) { $0 | Self.signature($1) }
                )
            }
        }
        ipv4 = tiers(.ipv4)
        ipv6 = tiers(.ipv6)
        self.bases = bases
    }

    /// - Complexity: O(prefix lengths in use × log(networks)).
    func contains(_ address: Address, _ family: AddressFamily) -> Bool {
        let tiers = family == .ipv4 ? ipv4 : ipv6
        for tier in tiers {
            let wanted = tier.mask.applied(to: address)
            guard tier.signatures & Self.signature(wanted) != 0 else { continue }
            var (low, high) = (tier.range.lowerBound, tier.range.upperBound)
            while low < high {
                let middle = (low + high) / 2
                if Self.precedes(bases[middle], wanted) { low = middle + 1 } else { high = middle }
            }
            if low < tier.range.upperBound, bases[low] == wanted { return true }
        }
        return false
    }

    /// One of 64 bits, much the same number of addresses for each.
    private static func signature(_ address: Address) -> UInt64 {
        1 << (((address.high &+ address.low &* 0x8ebc_6af0_9c88_c6e3) &* 0x9e37_79b9_7f4a_7c15) >> 58)
    }

    /// Any total order will do; this one compares the words as they lie in memory.
    private static func precedes(_ left: Address, _ right: Address) -> Bool {
        (left.high, left.low) < (right.high, right.low)
    }
}
