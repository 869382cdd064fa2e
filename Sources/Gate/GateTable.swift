internal import CNFTables
internal import Glibc
internal import Policy

/// The gate as nf_tables holds it: what `nft list table inet flowsync` shows.
///
/// ```
/// table inet flowsync { # progname flowsyncd
///     comment "…"
///     flags owner
///     counter dropped { … }
///     set interfaces { type ifname; elements = { … } }
///     set own4 { type ipv4_addr; elements = { … } }
///     set own6 { type ipv6_addr; elements = { … } }
///     chain gate {
///         type filter hook prerouting priority -190; policy accept;
///         iifname != @interfaces accept
///         ct state ! invalid,new accept
///         fib daddr type { broadcast, anycast, multicast } accept
///         icmpv6 type 133-136 accept
///         ip daddr @own4 accept
///         ip6 daddr @own6 accept
///         counter name "dropped" drop
///     }
/// }
/// ```
///
/// The gate of a traffic group has a table of its own, `flowsync-web`, with more sets and, in place of the last rule:
///
/// ```
///     set others4 { type ipv4_addr; flags interval; elements = { … } }
///     set group4 { type ipv4_addr; flags interval; elements = { … } }
///     chain gate {
///         …
///         ip saddr @others4 accept
///         ip daddr @others4 accept
///         ct zone { 5 } accept
///         ip saddr @group4 counter name "dropped" drop
///         ip daddr @group4 counter name "dropped" drop
///         ct zone { 7, 8 } counter name "dropped" drop
///     }
/// ```
///
/// "Others" are the packets of the groups before it, and `others6` and `group6` the IPv6 networks; what would be empty
/// is left out. The gate of all flows that are in no group has the first of these rules and its own last one.
///
/// `accept` ends this chain only: other tables have their say all the same. The interfaces are compared by name for
/// each packet, so that one may appear later. The addresses are sets, so that they can be replaced in a transaction
/// that leaves rules and counter as they are.
struct GateTable {
    let name: String
    let interfaces: [String]
    let scope: GateScope

    static let chain = "gate"
    static let counter = "dropped"
    static let interfaceSet = "interfaces"
    static let ipv4Set = "own4"
    static let ipv6Set = "own6"
    /// The kernel makes a name of it for a set that has none; in the transaction it is told by its number.
    static let anonymousSet = "__set%d"

    /// After conntrack (-200), which the rules ask, and before everything that would act on the packet: marking (-150)
    /// and destination NAT (-100), which would make a flow of it.
    private static let priority: Int32 = -190

    private var comment: String {
        let subject = scope == GateScope() ? "" : " for these packets"
        return "the gate of flowsyncd, closed while this router is not primary\(subject)"
    }

    /// The transaction that makes the table.
    func creation(ownAddresses: [HostAddress], base: UInt32) -> GateBatch {
        var batch = GateBatch(base: base, table: name)
        batch.append(.table, NFTMessage.newTable, flags: Netlink.create | Netlink.exclusive) {
            message in
            message.put(NFTA_TABLE_NAME.rawValue, name: name)
            message.put(NFTA_TABLE_FLAGS.rawValue, UInt32(NFT_TABLE_F_OWNER.rawValue))
            message.put(NFTA_TABLE_USERDATA.rawValue, bytes: NFTListing.comment(comment))
        }
        batch.append(.counter, NFTMessage.newObject, flags: Netlink.create) { message in
            message.put(NFTA_OBJ_TABLE.rawValue, name: name)
            message.put(NFTA_OBJ_NAME.rawValue, name: Self.counter)
            message.put(NFTA_OBJ_TYPE.rawValue, UInt32(NFT_OBJECT_COUNTER))
            message.nest(NFTA_OBJ_DATA.rawValue) { _ in }
        }
        batch.appendSet(
            Self.interfaceSet,
            id: 1,
            NFTListing.interfaceName,
            keyByteCount: 16,
            isHostByteOrder: true
        )
        batch.appendSet(Self.ipv4Set, id: 2, NFTListing.ipv4Address, keyByteCount: 4)
        batch.appendSet(Self.ipv6Set, id: 3, NFTListing.ipv6Address, keyByteCount: 16)
        batch.appendElements(interfaces.map { SetElement(key: Self.key($0)) }, to: Self.interfaceSet)
        batch.appendAddresses(ownAddresses)
        batch.appendSets(of: scope)
        batch.append(.chain, NFTMessage.newChain, flags: Netlink.create) { message in
            message.put(NFTA_CHAIN_TABLE.rawValue, name: name)
            message.put(NFTA_CHAIN_NAME.rawValue, name: Self.chain)
            message.put(NFTA_CHAIN_TYPE.rawValue, name: "filter")
            message.put(NFTA_CHAIN_POLICY.rawValue, UInt32(NF_ACCEPT))
            message.nest(NFTA_CHAIN_HOOK.rawValue) { hook in
                hook.put(NFTA_HOOK_HOOKNUM.rawValue, UInt32(NF_INET_PRE_ROUTING.rawValue))
                hook.put(NFTA_HOOK_PRIORITY.rawValue, Self.priority)
            }
        }
        batch.appendRulesThatPass()
        batch.appendRules(of: scope)
        return batch
    }

    /// The transaction that replaces the addresses in the table.
    func replacement(ownAddresses: [HostAddress], base: UInt32) -> GateBatch {
        var batch = GateBatch(base: base, table: name)
        for set in [Self.ipv4Set, Self.ipv6Set] {
            // Without a list of elements it means all of them.
            batch.append(.elements, NFTMessage.deleteElements) { message in
                message.put(NFTA_SET_ELEM_LIST_TABLE.rawValue, name: name)
                message.put(NFTA_SET_ELEM_LIST_SET.rawValue, name: set)
            }
        }
        batch.appendAddresses(ownAddresses)
        return batch
    }

    /// The transaction that removes the table and all in it.
    func removal(base: UInt32) -> GateBatch {
        var batch = GateBatch(base: base, table: name)
        batch.append(.removal, NFTMessage.deleteTable) { message in
            message.put(NFTA_TABLE_NAME.rawValue, name: name)
        }
        return batch
    }

    /// The request for the table itself; the answer says whose it is.
    func query(sequence: UInt32) -> [UInt8] {
        Self.request(NFTMessage.getTable, sequence: sequence) { message in
            message.put(NFTA_TABLE_NAME.rawValue, name: name)
        }
    }

    /// The request for the counter.
    func counterQuery(sequence: UInt32) -> [UInt8] {
        Self.request(NFTMessage.getObject, sequence: sequence) { message in
            message.put(NFTA_OBJ_TABLE.rawValue, name: name)
            message.put(NFTA_OBJ_NAME.rawValue, name: Self.counter)
            message.put(NFTA_OBJ_TYPE.rawValue, UInt32(NFT_OBJECT_COUNTER))
        }
    }

    /// Packets and bytes in the answer to `counterQuery`; nil if it holds none.
    static func count(in answer: NetlinkAnswer) -> GateCount? {
        guard
            answer.type == NFTMessage.newObject,
            let data = answer.attributes.first(NFTA_OBJ_DATA.rawValue)?.nested,
            let packets = data.first(NFTA_COUNTER_PACKETS.rawValue)?.bigEndian(UInt64.self),
            let bytes = data.first(NFTA_COUNTER_BYTES.rawValue)?.bigEndian(UInt64.self)
        else { return nil }
        return GateCount(packets: packets, bytes: bytes)
    }

    /// The port ID of the table's owner in the answer to `query`; nil if nobody owns it.
    static func owner(in answer: NetlinkAnswer) -> UInt32? {
        answer.attributes.first(NFTA_TABLE_OWNER.rawValue)?.bigEndian(UInt32.self)
    }

    private static func request(
        _ type: UInt16,
        sequence: UInt32,
        _ body: (inout NetlinkMessages) -> Void
    ) -> [UInt8] {
        var messages = NetlinkMessages()
        messages.message(
            type,
            flags: Netlink.request,
            sequence: sequence,
            family: UInt8(NFPROTO_INET),
            body
        )
        return messages.bytes
    }

    /// An interface's name as `meta iifname` loads it: 16 bytes, filled up with zeros.
    private static func key(_ name: String) -> [UInt8] {
        let bytes = Array(name.utf8)
        precondition((1...15).contains(bytes.count), "\(name) cannot be an interface's name")
        return bytes + Array(repeating: 0, count: 16 - bytes.count)
    }
}
