internal import CNFTables
internal import Flow
internal import Glibc
internal import Policy

// What a transaction on the gate's table is made of.
extension GateBatch {
    /// Appends the rules that let pass what no gate is for, in the order in which they are asked.
    mutating func appendRulesThatPass() {
        appendRule { rule in
            rule.load(meta: NFT_META_IIFNAME)
            rule.lookUp(GateTable.interfaceSet, isInverted: true)
            rule.verdict(NF_ACCEPT)
        }
        appendRule(needs: .connectionState) { rule in
            rule.load(connection: NFT_CT_STATE)
            let untold = UInt32(NF_CT_STATE_INVALID_BIT) | 1 << (UInt32(IP_CT_NEW.rawValue) + 1)
            rule.mask(untold.bytesInMemory)
            rule.compare(NFT_CMP_EQ, UInt32(0).bytesInMemory)
            rule.verdict(NF_ACCEPT)
        }
        appendRuleForMany()
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
    }

    /// Appends the rule for multicast, broadcast and anycast addresses.
    private mutating func appendRuleForMany() {
        let types = [RTN_BROADCAST, RTN_ANYCAST, RTN_MULTICAST].map { SetElement(key: UInt32($0).bytesInMemory) }
        let id: UInt32 = 4
        appendAnonymousSet(id: id, NFTListing.addressType, keyByteCount: 4, types)
        appendRule(needs: .addressType) { rule in
            rule.loadDestinationType()
            rule.lookUpAnonymous(id: id)
            rule.verdict(NF_ACCEPT)
        }
    }

    /// Appends a rule that needs, beyond the core of nf_tables, this.
    mutating func appendRule(
        needs feature: GateError.KernelFeature? = nil,
        _ expressions: (inout NetlinkMessages) -> Void
    ) {
        append(.rule(needs: feature), NFTMessage.newRule, flags: Netlink.create | Netlink.append) {
            [table] message in
            message.put(NFTA_RULE_TABLE.rawValue, name: table)
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
        append(.set, NFTMessage.newSet, flags: Netlink.create) { [table] message in
            message.put(NFTA_SET_TABLE.rawValue, name: table)
            message.put(NFTA_SET_NAME.rawValue, name: name)
            message.put(NFTA_SET_FLAGS.rawValue, flags)
            message.put(NFTA_SET_KEY_TYPE.rawValue, type)
            message.put(NFTA_SET_KEY_LEN.rawValue, keyByteCount)
            message.put(NFTA_SET_ID.rawValue, id)
            let byteOrder = isHostByteOrder ? NFTListing.hostByteOrder : NFTListing.networkByteOrder
            message.put(NFTA_SET_USERDATA.rawValue, bytes: byteOrder)
        }
    }

    /// Appends a set that one rule uses, with its elements in host byte order.
    mutating func appendAnonymousSet(id: UInt32, _ type: UInt32, keyByteCount: UInt32, _ elements: [SetElement]) {
        appendSet(
            GateTable.anonymousSet,
            id: id,
            type,
            keyByteCount: keyByteCount,
            isHostByteOrder: true,
            flags: NFT_SET_ANONYMOUS.rawValue | NFT_SET_CONSTANT.rawValue
        )
        appendElements(elements, to: GateTable.anonymousSet, id: id)
    }

    /// Appends elements of a set, in as many messages as it takes.
    mutating func appendElements(_ elements: [SetElement], to name: String, id: UInt32? = nil) {
        // An attribute holds 65,535 bytes, and the longest element takes 48.
        let elementCountMax = 1_000
        for start in stride(from: 0, to: elements.count, by: elementCountMax) {
            append(.elements, NFTMessage.newElements, flags: Netlink.create) { [table] message in
                message.put(NFTA_SET_ELEM_LIST_TABLE.rawValue, name: table)
                message.put(NFTA_SET_ELEM_LIST_SET.rawValue, name: name)
                if let id { message.put(NFTA_SET_ELEM_LIST_SET_ID.rawValue, id) }
                message.nest(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue) { list in
                    for element in elements[start..<min(start + elementCountMax, elements.count)] {
                        list.put(element)
                    }
                }
            }
        }
    }

    /// Appends the elements of the sets of addresses.
    mutating func appendAddresses(_ addresses: [HostAddress]) {
        for (family, set) in [(AddressFamily.ipv4, GateTable.ipv4Set), (.ipv6, GateTable.ipv6Set)] {
            let unique = Set(addresses.filter { $0.family == family })
            let elements = unique.map { host in
                SetElement(key: (0..<family.addressByteCount).map { host.address.byte(at: $0) })
            }
            appendElements(elements, to: set)
        }
    }
}

extension NetlinkMessages {
    /// Appends an element of a set.
    fileprivate mutating func put(_ element: SetElement) {
        nest(NFTA_LIST_ELEM.rawValue) { attributes in
            if element.isIntervalEnd {
                attributes.put(NFTA_SET_ELEM_FLAGS.rawValue, UInt32(NFT_SET_ELEM_INTERVAL_END.rawValue))
            }
            attributes.putData(NFTA_SET_ELEM_KEY.rawValue, element.key)
            if element.isOpenInterval {
                attributes.put(NFTA_SET_ELEM_USERDATA.rawValue, bytes: NFTListing.openInterval)
            }
        }
    }
}
