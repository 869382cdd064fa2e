internal import CNFTables
internal import Flow
internal import Glibc
internal import Policy

/// The kernel makes a name of it for a set that has none; in the transaction it is told by its number.
private let anonymousSetName = "__set%d"

// What a transaction on the gate's table is made of.
extension GateBatch {
    /// Appends the rules, in the order in which they are asked.
    mutating func appendRules() {
        appendRule { rule in
            rule.load(meta: NFT_META_IIFNAME)
            rule.lookUp(GateTable.interfaceSet, isInverted: true)
            rule.verdict(NF_ACCEPT)
        }
        appendRule(needs: .connectionState) { rule in
            rule.loadConnectionState()
            let untold = UInt32(NF_CT_STATE_INVALID_BIT) | 1 << (UInt32(IP_CT_NEW.rawValue) + 1)
            rule.mask(untold.bytesInMemory)
            rule.compare(NFT_CMP_EQ, UInt32(0).bytesInMemory)
            rule.verdict(NF_ACCEPT)
        }
        let types = [RTN_BROADCAST, RTN_ANYCAST, RTN_MULTICAST].map { UInt32($0).bytesInMemory }
        appendSet(
            anonymousSetName,
            id: 4,
            NFTListing.addressType,
            keyByteCount: 4,
            isHostByteOrder: true,
            flags: NFT_SET_ANONYMOUS.rawValue | NFT_SET_CONSTANT.rawValue
        )
        appendElements(types, to: anonymousSetName, id: 4)
        appendRule(needs: .addressType) { rule in
            rule.loadDestinationType()
            rule.lookUp(anonymousSetName, id: 4)
            rule.verdict(NF_ACCEPT)
        }
        // Router and neighbour solicitations and advertisements. Conntrack leaves them untracked while their checksum
        // is right; a neighbour must find this router whatever conntrack makes of its question.
        appendRule { rule in
            rule.match(protocolFamily: NFPROTO_IPV6)
            rule.load(meta: NFT_META_L4PROTO)
            rule.compare(NFT_CMP_EQ, [UInt8(IPPROTO_ICMPV6)])
            rule.load(offset: 0, byteCount: 1, of: NFT_PAYLOAD_TRANSPORT_HEADER)
            rule.compare(NFT_CMP_GTE, [133])  // ND_ROUTER_SOLICIT
            rule.compare(NFT_CMP_LTE, [136])  // ND_NEIGHBOR_ADVERT
            rule.verdict(NF_ACCEPT)
        }
        // The destination lies at byte 16 of an IPv4 header and at byte 24 of an IPv6 header.
        appendRule { rule in
            rule.match(protocolFamily: NFPROTO_IPV4)
            rule.load(offset: 16, byteCount: 4, of: NFT_PAYLOAD_NETWORK_HEADER)
            rule.lookUp(GateTable.ipv4Set)
            rule.verdict(NF_ACCEPT)
        }
        appendRule { rule in
            rule.match(protocolFamily: NFPROTO_IPV6)
            rule.load(offset: 24, byteCount: 16, of: NFT_PAYLOAD_NETWORK_HEADER)
            rule.lookUp(GateTable.ipv6Set)
            rule.verdict(NF_ACCEPT)
        }
        appendRule(needs: .counters) { rule in
            rule.count(GateTable.counter)
            rule.verdict(NF_DROP)
        }
    }

    private mutating func appendRule(
        needs feature: GateError.KernelFeature? = nil,
        _ expressions: (inout NetlinkMessages) -> Void
    ) {
        append(.rule(needs: feature), NFTMessage.newRule, flags: Netlink.create | Netlink.append) {
            message in
            message.put(NFTA_RULE_TABLE.rawValue, name: GateTable.name)
            message.put(NFTA_RULE_CHAIN.rawValue, name: GateTable.chain)
            message.nest(NFTA_RULE_EXPRESSIONS.rawValue, expressions)
        }
    }

    /// Appends a set whose keys have the type `type` for nft and are in network byte order, if nothing else is said.
    mutating func appendSet(
        _ name: String,
        id: UInt32,
        _ type: UInt32,
        keyByteCount: UInt32,
        isHostByteOrder: Bool = false,
        flags: UInt32 = 0
    ) {
        append(.set, NFTMessage.newSet, flags: Netlink.create) { message in
            message.put(NFTA_SET_TABLE.rawValue, name: GateTable.name)
            message.put(NFTA_SET_NAME.rawValue, name: name)
            message.put(NFTA_SET_FLAGS.rawValue, flags)
            message.put(NFTA_SET_KEY_TYPE.rawValue, type)
            message.put(NFTA_SET_KEY_LEN.rawValue, keyByteCount)
            message.put(NFTA_SET_ID.rawValue, id)
            let byteOrder = isHostByteOrder ? NFTListing.hostByteOrder : NFTListing.networkByteOrder
            message.put(NFTA_SET_USERDATA.rawValue, bytes: byteOrder)
        }
    }

    /// Appends elements of a set, in as many messages as it takes.
    mutating func appendElements(_ keys: [[UInt8]], to name: String, id: UInt32? = nil) {
        // An attribute holds 65,535 bytes, and the longest element takes 28.
        let elementCountMax = 1_000
        for start in stride(from: 0, to: keys.count, by: elementCountMax) {
            append(.elements, NFTMessage.newElements, flags: Netlink.create) { message in
                message.put(NFTA_SET_ELEM_LIST_TABLE.rawValue, name: GateTable.name)
                message.put(NFTA_SET_ELEM_LIST_SET.rawValue, name: name)
                if let id { message.put(NFTA_SET_ELEM_LIST_SET_ID.rawValue, id) }
                message.nest(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue) { list in
                    for key in keys[start..<min(start + elementCountMax, keys.count)] {
                        list.nest(NFTA_LIST_ELEM.rawValue) { element in
                            element.putData(NFTA_SET_ELEM_KEY.rawValue, key)
                        }
                    }
                }
            }
        }
    }

    /// Appends the elements of the sets of addresses.
    mutating func appendAddresses(_ addresses: [HostAddress]) {
        for (family, set) in [(AddressFamily.ipv4, GateTable.ipv4Set), (.ipv6, GateTable.ipv6Set)] {
            let unique = Set(addresses.filter { $0.family == family })
            let keys = unique.map { host in (0..<family.addressByteCount).map { host.address.byte(at: $0) } }
            appendElements(keys, to: set)
        }
    }
}
