internal import CNFTables

/// Netlink messages one behind the other, as they are sent.
///
/// | offset | size | field |
/// | --- | --- | --- |
/// | 0 | 4 | length of the message, host order |
/// | 4 | 2 | type |
/// | 6 | 2 | flags |
/// | 8 | 4 | sequence number |
/// | 12 | 4 | port ID of the sender; 0 lets the kernel fill it in |
/// | 16 | 1 | address family |
/// | 17 | 1 | version, 0 |
/// | 18 | 2 | resource, big-endian: the subsystem at either end of a batch, else 0 |
/// | 20 | … | attributes: length and type in host order, payload padded to four bytes |
///
/// An array that grows is good enough here: a gate sends some KiB twice per takeover.
struct NetlinkMessages {
    private(set) var bytes: [UInt8] = []

    /// Appends a message with the attributes that `body` puts into it.
    mutating func message(
        _ type: UInt16,
        flags: UInt16,
        sequence: UInt32,
        family: UInt8,
        resource: UInt16 = 0,
        _ body: (inout NetlinkMessages) -> Void = { _ in }
    ) {
        let start = bytes.count
        bytes += UInt32(0).bytesInMemory + type.bytesInMemory + flags.bytesInMemory
        bytes += sequence.bytesInMemory + UInt32(0).bytesInMemory
        bytes += [family, 0] + resource.bigEndian.bytesInMemory
        body(&self)
        bytes.replaceSubrange(start..<start + 4, with: UInt32(bytes.count - start).bytesInMemory)
    }

    /// Appends an attribute with the attributes that `body` puts into it.
    mutating func nest(_ type: UInt32, _ body: (inout NetlinkMessages) -> Void) {
        let start = bytes.count
        bytes += UInt16(0).bytesInMemory + (UInt16(type) | Netlink.nested).bytesInMemory
        body(&self)
        // Whoever puts in more than an attribute holds has a bug: the kernel would read something else.
        bytes.replaceSubrange(start..<start + 2, with: UInt16(bytes.count - start).bytesInMemory)
    }

    /// Appends a big-endian integer.
    mutating func put<T: FixedWidthInteger>(_ type: UInt32, _ value: T) {
        put(type, bytes: value.bigEndian.bytesInMemory)
    }

    /// Appends a name with its NUL.
    mutating func put(_ type: UInt32, name: String) {
        put(type, bytes: Array(name.utf8) + [0])
    }

    /// Appends bytes as they are.
    mutating func put(_ type: UInt32, bytes payload: [UInt8]) {
        bytes += UInt16(4 + payload.count).bytesInMemory + UInt16(type).bytesInMemory + payload
        while bytes.count % 4 != 0 { bytes.append(0) }
    }
}
