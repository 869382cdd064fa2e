/// One netlink message that came from the kernel.
struct NetlinkAnswer: Equatable {
    let type: UInt16
    let sequence: UInt32
    /// The bytes after `struct nlmsghdr`.
    let payload: [UInt8]

    /// The errno of an answer to a request, positive, 0 for success; nil if this is no such answer.
    var errorNumber: Int32? {
        guard type == Netlink.error, payload.count >= 4 else { return nil }
        return 0 &- Int32(bytesInMemory: payload[..<4])
    }

    /// The attributes behind the family header; those up to the first that is longer than what encloses it.
    var attributes: [NetlinkAttribute] {
        NetlinkAttribute.list(payload.dropFirst(Netlink.familyHeaderByteCount))
    }

    /// The whole messages in the bytes of one receive call.
    static func list(_ bytes: [UInt8]) -> [NetlinkAnswer] {
        var answers: [NetlinkAnswer] = []
        var rest = bytes[...]
        while rest.count >= Netlink.headerByteCount {
            let start = rest.startIndex
            let byteCount = Int(UInt32(bytesInMemory: rest[start..<start + 4]))
            guard byteCount >= Netlink.headerByteCount, byteCount <= rest.count else { break }
            answers.append(
                NetlinkAnswer(
                    type: UInt16(bytesInMemory: rest[start + 4..<start + 6]),
                    sequence: UInt32(bytesInMemory: rest[start + 8..<start + 12]),
                    payload: Array(rest[start + Netlink.headerByteCount..<start + byteCount])
                )
            )
            rest = rest.dropFirst((byteCount + 3) & ~3)
        }
        return answers
    }
}

/// One attribute of a message, or of another attribute.
struct NetlinkAttribute: Equatable {
    let type: UInt16
    let payload: ArraySlice<UInt8>

    /// The attributes inside this one.
    var nested: [NetlinkAttribute] { Self.list(payload) }

    /// The payload as a big-endian integer; nil if it has another size.
    func bigEndian<T: FixedWidthInteger>(_ type: T.Type) -> T? {
        payload.count == T.bitWidth / 8 ? T(bigEndian: T(bytesInMemory: payload)) : nil
    }

    static func list(_ bytes: ArraySlice<UInt8>) -> [NetlinkAttribute] {
        var attributes: [NetlinkAttribute] = []
        var rest = bytes
        while rest.count >= 4 {
            let start = rest.startIndex
            let byteCount = Int(UInt16(bytesInMemory: rest[start..<start + 2]))
            guard byteCount >= 4, byteCount <= rest.count else { break }
            let type = UInt16(bytesInMemory: rest[start + 2..<start + 4]) & Netlink.attributeTypeMask
            attributes.append(NetlinkAttribute(type: type, payload: rest[start + 4..<start + byteCount]))
            rest = rest.dropFirst((byteCount + 3) & ~3)
        }
        return attributes
    }
}

extension [NetlinkAttribute] {
    /// The first attribute of a type.
    func first(_ type: UInt32) -> NetlinkAttribute? { first { $0.type == type } }
}
