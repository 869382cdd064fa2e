internal import CNetfilter
public import Flow
internal import Glibc
internal import SystemIO

/// A filter by which the kernel drops events before they cost a wake-up (BPF, built by libnetfilter_conntrack).
///
/// It looks at the protocol and at the original source. What it cannot express is left to the policy in user space,
/// which judges every event anyway: the library's other address filter tests the *original* destination, and that is a
/// router's own address for every connection it translates to a server behind it.
public struct KernelFilter: Sendable {
    /// Addresses whose flows are not wanted.
    public struct Network: Sendable {
        /// Any address of the network.
        public var address: Address
        /// Leading bits that count: 0…32 or 0…128.
        public var prefixLength: Int
        /// The address's family.
        public var family: AddressFamily

        /// A network of its parts.
        public init(address: Address, prefixLength: Int, family: AddressFamily) {
            self.address = address
            self.prefixLength = prefixLength
            self.family = family
        }
    }

    /// Networks of a family that one filter can hold.
    ///
    /// A jump in a BPF program reaches 255 instructions, and a network takes 3 or, for IPv6, up to 12. The library
    /// takes up to 127 IPv4 networks, but with more than about 85 its program no longer drops anything.
    public static func networkCountMax(_ family: AddressFamily) -> Int { family == .ipv4 ? 80 : 20 }

    private let protocols: [UInt8]
    private let networks: [Network]

    /// What the kernel cannot filter of what was asked for, in words; nil if it filters all of it.
    public let warning: String?

    /// A filter that lets only these protocols pass, and nothing whose original source is in one of the networks.
    ///
    /// A family with more networks than `networkCountMax` is left to user space altogether.
    public init(protocols: some Sequence<UInt8>, ignoredSources: [Network]) {
        self.protocols = Array(protocols)
        var kept: [Network] = []
        var excess: [String] = []
        for family in [AddressFamily.ipv4, .ipv6] {
            let ofFamily = ignoredSources.filter { $0.family == family }
            let limit = Self.networkCountMax(family)
            if ofFamily.count <= limit {
                kept += ofFamily
            } else {
                excess.append("\(ofFamily.count) IPv\(family.rawValue) networks (at most \(limit))")
            }
        }
        networks = kept
        warning =
            excess.isEmpty
            ? nil
            : "ignored addresses are filtered in user space, which costs a wake-up for each of their events: "
                + "the kernel's filter cannot hold \(excess.joined(separator: " and "))"
    }

    /// Builds the BPF program and attaches it to a netlink socket, in place of an earlier one.
    func attach(to descriptor: Int32) throws(SystemError) {
        guard let filter = unsafe nfct_filter_create() else {
            throw SystemError(call: "nfct_filter_create", errno: errno, context: "conntrack events")
        }
        // SAFETY: the filter is ours from here to its destruction; what is added to it is copied.
        defer { unsafe nfct_filter_destroy(filter) }
        for number in protocols { unsafe nfct_filter_add_attr_u32(filter, NFCT_FILTER_L4PROTO, UInt32(number)) }
        for attribute in [NFCT_FILTER_SRC_IPV4, NFCT_FILTER_SRC_IPV6] {
            _ = unsafe nfct_filter_set_logic(filter, attribute, NFCT_FILTER_LOGIC_NEGATIVE)
        }
        for network in networks {
            switch network.family {
            case .ipv4:
                var entry = nfct_filter_ipv4(
                    addr: network.word(0),
                    mask: Self.mask(bits: network.prefixLength)
                )
                unsafe nfct_filter_add_attr(filter, NFCT_FILTER_SRC_IPV4, &entry)
            case .ipv6:
                let length = network.prefixLength
                var entry = nfct_filter_ipv6(
                    addr: (network.word(0), network.word(1), network.word(2), network.word(3)),
                    mask: (
                        Self.mask(bits: length), Self.mask(bits: length - 32), Self.mask(bits: length - 64),
                        Self.mask(bits: length - 96)
                    )
                )
                unsafe nfct_filter_add_attr(filter, NFCT_FILTER_SRC_IPV6, &entry)
            }
        }
        if unsafe nfct_filter_attach(descriptor, filter) != 0 {
            throw SystemError(call: "setsockopt(SO_ATTACH_FILTER)", errno: errno, context: "conntrack events")
        }
    }

    /// A word of ones in the first `bits` bits, host order; all zero below 1, all ones beyond 32.
    private static func mask(bits: Int) -> UInt32 {
        bits <= 0 ? 0 : ~UInt32(0) << UInt32(32 - min(bits, 32))
    }
}

extension KernelFilter.Network {
    /// Word `index` (0…3) of the address, host order.
    fileprivate func word(_ index: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 << 8 | UInt32(address.byte(at: index * 4 + $1)) }
    }
}
