internal import CNFTables
internal import Glibc

// The kernel's numbers under Swift names, each taken from its header.

/// `NFT_MSG_*` as netlink message types, and what encloses a batch of them.
enum NFTMessage {
    static let batchBegin = UInt16(NFNL_MSG_BATCH_BEGIN)
    static let batchEnd = UInt16(NFNL_MSG_BATCH_END)
    static let newTable = type(NFT_MSG_NEWTABLE)
    static let getTable = type(NFT_MSG_GETTABLE)
    static let deleteTable = type(NFT_MSG_DELTABLE)
    static let newChain = type(NFT_MSG_NEWCHAIN)
    static let newRule = type(NFT_MSG_NEWRULE)
    static let newSet = type(NFT_MSG_NEWSET)
    static let newElements = type(NFT_MSG_NEWSETELEM)
    static let deleteElements = type(NFT_MSG_DELSETELEM)
    static let newObject = type(NFT_MSG_NEWOBJ)
    static let getObject = type(NFT_MSG_GETOBJ)

    static let subsystem = UInt16(NFNL_SUBSYS_NFTABLES)

    private static func type(_ message: nf_tables_msg_types) -> UInt16 {
        subsystem << 8 | UInt16(message.rawValue)
    }
}

/// Netlink's own numbers.
enum Netlink {
    static let headerByteCount = 16
    /// `struct nfgenmsg`.
    static let familyHeaderByteCount = 4

    static let error = UInt16(NLMSG_ERROR)
    static let request = UInt16(NLM_F_REQUEST)
    static let acknowledge = UInt16(NLM_F_ACK)
    static let create = UInt16(NLM_F_CREATE)
    static let exclusive = UInt16(NLM_F_EXCL)
    static let append = UInt16(NLM_F_APPEND)
    static let nested = UInt16(NLA_F_NESTED)
    static let attributeTypeMask = ~UInt16(UInt32(NLA_F_NESTED) | UInt32(NLA_F_NET_BYTEORDER))
}

/// Numbers of nft, the program, which the kernel keeps for it without looking at them: with them it lists a set's
/// elements as what they are.
enum NFTListing {
    /// `TYPE_INTEGER`, `TYPE_IPADDR`, `TYPE_IP6ADDR`, `TYPE_FIB_ADDR`, `TYPE_IFNAME`.
    static let integer: UInt32 = 4
    static let ipv4Address: UInt32 = 7
    static let ipv6Address: UInt32 = 8
    static let addressType: UInt32 = 38
    static let interfaceName: UInt32 = 41

    /// The user data of a set whose keys are in host byte order: `NFTNL_UDATA_SET_KEYBYTEORDER`, four bytes, 1.
    static let hostByteOrder: [UInt8] = [0, 4] + UInt32(1).bytesInMemory
    /// The same for network byte order.
    static let networkByteOrder: [UInt8] = [0, 4] + UInt32(2).bytesInMemory

    /// The user data of an interval without an end: `NFTNL_UDATA_SET_ELEM_FLAGS`, four bytes,
    /// `NFTNL_SET_ELEM_F_INTERVAL_OPEN`.
    static let openInterval: [UInt8] = [1, 4] + UInt32(1).bytesInMemory

    /// The user data of a table with a comment: `NFTNL_UDATA_TABLE_COMMENT`, its length with the NUL, the text.
    static func comment(_ text: String) -> [UInt8] {
        [0, UInt8(text.utf8.count + 1)] + Array(text.utf8) + [0]
    }
}

extension FixedWidthInteger {
    /// The bytes as they lie in memory.
    var bytesInMemory: [UInt8] {
        let word = littleEndian
        return (0..<Self.bitWidth / 8).map { UInt8(truncatingIfNeeded: word >> Self($0 * 8)) }
    }

    /// The integer whose bytes lie in memory as these.
    init(bytesInMemory bytes: some Sequence<UInt8>) {
        var word: Self = 0
        for (index, byte) in bytes.enumerated() {
            word |= Self(truncatingIfNeeded: byte) << Self(index * 8)
        }
        self.init(littleEndian: word)
    }
}
