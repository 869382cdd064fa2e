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
/// `accept` ends this chain only: other tables have their say all the same. The interfaces are compared by name for
/// each packet, so that one may appear later. The addresses are sets, so that they can be replaced in a transaction
/// that leaves rules and counter as they are.
enum GateTable {
    static let name = "flowsync"
    private static let comment = "the gate of flowsyncd, closed while this router is not primary"
    static let chain = "gate"
    static let counter = "dropped"
    static let interfaceSet = "interfaces"
    static let ipv4Set = "own4"
    static let ipv6Set = "own6"

    /// After conntrack (-200), which the rules ask, and before everything that would act on the packet: marking (-150)
    /// and destination NAT (-100), which would make a flow of it.
    private static let priority: Int32 = -190

    /// The transaction that makes the table.
    static func creation(interfaces: [String], ownAddresses: [HostAddress], base: UInt32) -> GateBatch {
        var batch = GateBatch(base: base)
        batch.append(.table, NFTMessage.newTable, flags: Netlink.create | Netlink.exclusive) {
            message in
            message.put(NFTA_TABLE_NAME.rawValue, name: name)
            message.put(NFTA_TABLE_FLAGS.rawValue, UInt32(NFT_TABLE_F_OWNER.rawValue))
            message.put(NFTA_TABLE_USERDATA.rawValue, bytes: NFTListing.comment(comment))
        }
        batch.append(.counter, NFTMessage.newObject, flags: Netlink.create) { message in
            message.put(NFTA_OBJ_TABLE.rawValue, name: name)
            message.put(NFTA_OBJ_NAME.rawValue, name: counter)
            message.put(NFTA_OBJ_TYPE.rawValue, UInt32(NFT_OBJECT_COUNTER))
            message.nest(NFTA_OBJ_DATA.rawValue) { _ in }
        }
        batch.appendSet(
            interfaceSet,
            id: 1,
            NFTListing.interfaceName,
            keyByteCount: 16,
            isHostByteOrder: true
        )
        batch.appendSet(ipv4Set, id: 2, NFTListing.ipv4Address, keyByteCount: 4)
        batch.appendSet(ipv6Set, id: 3, NFTListing.ipv6Address, keyByteCount: 16)
        batch.appendElements(interfaces.map(key), to: interfaceSet)
        batch.appendAddresses(ownAddresses)
        batch.append(.chain, NFTMessage.newChain, flags: Netlink.create) { message in
            message.put(NFTA_CHAIN_TABLE.rawValue, name: name)
            message.put(NFTA_CHAIN_NAME.rawValue, name: chain)
            message.put(NFTA_CHAIN_TYPE.rawValue, name: "filter")
            message.put(NFTA_CHAIN_POLICY.rawValue, UInt32(NF_ACCEPT))
            message.nest(NFTA_CHAIN_HOOK.rawValue) { hook in
                hook.put(NFTA_HOOK_HOOKNUM.rawValue, UInt32(NF_INET_PRE_ROUTING.rawValue))
                hook.put(NFTA_HOOK_PRIORITY.rawValue, priority)
            }
        }
        batch.appendRules()
        return batch
    }

    /// The transaction that replaces the addresses in the table.
    static func replacement(ownAddresses: [HostAddress], base: UInt32) -> GateBatch {
        var batch = GateBatch(base: base)
        for set in [ipv4Set, ipv6Set] {
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
    static func removal(base: UInt32) -> GateBatch {
        var batch = GateBatch(base: base)
        batch.append(.removal, NFTMessage.deleteTable) { message in
            message.put(NFTA_TABLE_NAME.rawValue, name: name)
        }
        return batch
    }

    /// The request for the table itself; the answer says whose it is.
    static func query(sequence: UInt32) -> [UInt8] {
        request(NFTMessage.getTable, sequence: sequence) { message in
            message.put(NFTA_TABLE_NAME.rawValue, name: name)
        }
    }

    /// The request for the counter.
    static func counterQuery(sequence: UInt32) -> [UInt8] {
        request(NFTMessage.getObject, sequence: sequence) { message in
            message.put(NFTA_OBJ_TABLE.rawValue, name: name)
            message.put(NFTA_OBJ_NAME.rawValue, name: counter)
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
