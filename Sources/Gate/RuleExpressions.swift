internal import CNFTables
internal import Glibc

// The expressions of a rule, which the kernel goes through from first to last until one is false. All of them work on
// one register.
extension NetlinkMessages {
    private static let register = UInt32(NFT_REG_1.rawValue)

    /// Loads a property of the packet.
    mutating func load(meta key: nft_meta_keys) {
        expression("meta") { data in
            data.put(NFTA_META_KEY.rawValue, UInt32(key.rawValue))
            data.put(NFTA_META_DREG.rawValue, Self.register)
        }
    }

    /// Loads a property of the packet's flow, such as its state, as a bit, or its zone, in host byte order.
    mutating func load(connection key: nft_ct_keys) {
        expression("ct") { data in
            data.put(NFTA_CT_KEY.rawValue, UInt32(key.rawValue))
            data.put(NFTA_CT_DREG.rawValue, Self.register)
        }
    }

    /// Loads what the packet's destination is to this host (`RTN_*`).
    mutating func loadDestinationType() {
        expression("fib") { data in
            data.put(NFTA_FIB_FLAGS.rawValue, UInt32(NFTA_FIB_F_DADDR.rawValue))
            data.put(NFTA_FIB_RESULT.rawValue, UInt32(NFT_FIB_RESULT_ADDRTYPE.rawValue))
            data.put(NFTA_FIB_DREG.rawValue, Self.register)
        }
    }

    /// Loads bytes of one of the packet's headers; false for a packet that lacks them.
    mutating func load(offset: UInt32, byteCount: UInt32, of header: nft_payload_bases) {
        expression("payload") { data in
            data.put(NFTA_PAYLOAD_DREG.rawValue, Self.register)
            data.put(NFTA_PAYLOAD_BASE.rawValue, UInt32(header.rawValue))
            data.put(NFTA_PAYLOAD_OFFSET.rawValue, offset)
            data.put(NFTA_PAYLOAD_LEN.rawValue, byteCount)
        }
    }

    /// Clears the bits that are not in the mask.
    mutating func mask(_ mask: [UInt8]) {
        expression("bitwise") { data in
            data.put(NFTA_BITWISE_SREG.rawValue, Self.register)
            data.put(NFTA_BITWISE_DREG.rawValue, Self.register)
            data.put(NFTA_BITWISE_LEN.rawValue, UInt32(mask.count))
            data.putData(NFTA_BITWISE_MASK.rawValue, mask)
            data.putData(NFTA_BITWISE_XOR.rawValue, Array(repeating: 0, count: mask.count))
        }
    }

    /// Compares the register's bytes with these.
    mutating func compare(_ operation: nft_cmp_ops, _ bytes: [UInt8]) {
        expression("cmp") { data in
            data.put(NFTA_CMP_SREG.rawValue, Self.register)
            data.put(NFTA_CMP_OP.rawValue, UInt32(operation.rawValue))
            data.putData(NFTA_CMP_DATA.rawValue, bytes)
        }
    }

    /// False for packets of the other family.
    mutating func match(protocolFamily family: Int) {
        load(meta: NFT_META_NFPROTO)
        compare(NFT_CMP_EQ, [UInt8(family)])
    }

    /// Looks the register's bytes up in a set; false if they are not in it, or, inverted, if they are.
    mutating func lookUp(_ set: String, id: UInt32? = nil, isInverted: Bool = false) {
        expression("lookup") { data in
            data.put(NFTA_LOOKUP_SET.rawValue, name: set)
            if let id { data.put(NFTA_LOOKUP_SET_ID.rawValue, id) }
            data.put(NFTA_LOOKUP_SREG.rawValue, Self.register)
            if isInverted { data.put(NFTA_LOOKUP_FLAGS.rawValue, UInt32(NFT_LOOKUP_F_INV.rawValue)) }
        }
    }

    /// Looks the register's bytes up in a set without a name, which has this number in the transaction.
    mutating func lookUpAnonymous(id: UInt32) { lookUp(GateTable.anonymousSet, id: id) }

    /// Counts the packet in a named counter.
    mutating func count(_ counter: String) {
        expression("objref") { data in
            data.put(NFTA_OBJREF_IMM_TYPE.rawValue, UInt32(NFT_OBJECT_COUNTER))
            data.put(NFTA_OBJREF_IMM_NAME.rawValue, name: counter)
        }
    }

    /// Ends the chain for this packet: `NF_ACCEPT` or `NF_DROP`.
    mutating func verdict(_ verdict: Int32) {
        expression("immediate") { data in
            data.put(NFTA_IMMEDIATE_DREG.rawValue, UInt32(NFT_REG_VERDICT.rawValue))
            data.nest(NFTA_IMMEDIATE_DATA.rawValue) { value in
                value.nest(NFTA_DATA_VERDICT.rawValue) { $0.put(NFTA_VERDICT_CODE.rawValue, verdict) }
            }
        }
    }

    /// Appends bytes as `struct nft_data` holds them.
    mutating func putData(_ type: UInt32, _ bytes: [UInt8]) {
        nest(type) { $0.put(NFTA_DATA_VALUE.rawValue, bytes: bytes) }
    }

    private mutating func expression(_ name: String, _ data: (inout NetlinkMessages) -> Void) {
        nest(NFTA_LIST_ELEM.rawValue) { element in
            element.put(NFTA_EXPR_NAME.rawValue, name: name)
            element.nest(NFTA_EXPR_DATA.rawValue, data)
        }
    }
}
