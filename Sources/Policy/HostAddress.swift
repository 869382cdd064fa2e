public import Flow

/// An address together with its family: what an operator writes as `192.0.2.1` or `2001:db8::1`.
public struct HostAddress: Hashable, Sendable, CustomStringConvertible {
    /// The address itself.
    public var address: Address
    /// The family it belongs to.
    public var family: AddressFamily

    /// An address of its parts.
    public init(address: Address, family: AddressFamily) {
        self.address = address
        self.family = family
    }

    /// The address of its usual text form: a dotted quad, or IPv6 as in RFC 4291 §2.2.
    ///
    /// - Throws: `AddressError.malformed`; also for an octet with a leading zero, which C reads as octal, and for an
    ///   IPv6 scope (`%eth0`), which is no part of the address.
    public init(parsing text: String) throws(AddressError) {
        let bytes = Array(text.utf8)
        if let address = Self.ipv4(bytes[...]) {
            self.init(address: address, family: .ipv4)
        } else if let address = Self.ipv6(bytes[...]) {
            self.init(address: address, family: .ipv6)
        } else {
            throw .malformed(text)
        }
    }

    /// The usual text form: dotted quad, or RFC 5952.
    public var description: String { address.text(family) }

    /// Whether this is a multicast group: 224.0.0.0/4 or ff00::/8.
    public var isMulticast: Bool {
        family == .ipv4 ? address.byte(at: 0) >> 4 == 0xe : address.byte(at: 0) == 0xff
    }

    /// Whether this is an address of one link only: fe80::/10 or 169.254.0.0/16.
    public var isLinkLocal: Bool {
        family == .ipv4
            ? address.byte(at: 0) == 169 && address.byte(at: 1) == 254
            : address.byte(at: 0) == 0xfe && address.byte(at: 1) & 0xc0 == 0x80
    }

    /// Whether this is the all-zero address, which names no host.
    public var isUnspecified: Bool { address == .zero }

    private static func ipv4(_ text: ArraySlice<UInt8>) -> Address? {
        let octets = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard octets.count == 4 else { return nil }
        var value: UInt32 = 0
        for octet in octets {
            guard let number = decimal(octet) else { return nil }
            value = value << 8 | UInt32(number)
        }
        return Address(
            ipv4: (
                UInt8(truncatingIfNeeded: value >> 24), UInt8(truncatingIfNeeded: value >> 16),
                UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)
            )
        )
    }

    private static func ipv6(_ text: ArraySlice<UInt8>) -> Address? {
        let colon = UInt8(ascii: ":")
        var compression: Int?
        for index in text.indices.dropLast() where text[index] == colon && text[index + 1] == colon {
            // ":::" and a second "::" are ambiguous.
            guard compression == nil else { return nil }
            compression = index
        }
        let groups: [UInt16]
        if let compression {
            guard
                let head = ipv6Groups(text[..<compression], mayBeEmpty: true),
                let tail = ipv6Groups(text[(compression + 2)...], mayBeEmpty: true),
                // A dotted quad holds the last 32 bits only.
                !text[..<compression].contains(UInt8(ascii: ".")),
                head.count + tail.count < 8
            else { return nil }
            groups = head + Array(repeating: 0, count: 8 - head.count - tail.count) + tail
        } else {
            guard let all = ipv6Groups(text, mayBeEmpty: false), all.count == 8 else { return nil }
            groups = all
        }
        func word(_ range: Range<Int>) -> UInt64 { groups[range].reduce(0) { $0 << 16 | UInt64($1) } }
        return Address(ipv6High: word(0..<4), low: word(4..<8))
    }

    /// Colon-separated groups; the last may be a dotted quad.
    private static func ipv6Groups(_ text: ArraySlice<UInt8>, mayBeEmpty: Bool) -> [UInt16]? {
        if text.isEmpty { return mayBeEmpty ? [] : nil }
        let parts = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        var groups: [UInt16] = []
        for (index, part) in parts.enumerated() {
            if let group = hexadecimal(part) {
                groups.append(group)
            } else if index == parts.count - 1, let quad = ipv4(part) {
                groups.append(UInt16(quad.byte(at: 0)) << 8 | UInt16(quad.byte(at: 1)))
                groups.append(UInt16(quad.byte(at: 2)) << 8 | UInt16(quad.byte(at: 3)))
            } else {
                return nil
            }
        }
        return groups.count <= 8 ? groups : nil
    }

    private static func decimal(_ digits: ArraySlice<UInt8>) -> UInt8? {
        guard let first = digits.first, digits.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { return nil }
        guard digits.count <= 3, digits.count == 1 || first != 0x30 else { return nil }
        return UInt8(String(decoding: digits, as: UTF8.self))
    }

    private static func hexadecimal(_ digits: ArraySlice<UInt8>) -> UInt16? {
        guard (1...4).contains(digits.count), digits.first != UInt8(ascii: "+") else { return nil }
        return UInt16(String(decoding: digits, as: UTF8.self), radix: 16)
    }
}

/// Why a text is not an address or network.
public enum AddressError: Error, Equatable, CustomStringConvertible {
    /// The text is neither an IPv4 nor an IPv6 address.
    case malformed(String)
    /// The text after the slash is not a number from 0 to `prefixLengthMax`.
    case prefixLength(String, prefixLengthMax: Int)
    /// Bits beyond the prefix are set; `meant` is the network that holds the address.
    case hostBitsSet(String, meant: String)

    /// What is wrong, in words for the operator.
    public var description: String {
        switch self {
        case .malformed(let text):
            "\"\(text)\" is not an IPv4 or IPv6 address"
        case .prefixLength(let text, let prefixLengthMax):
            "\"\(text)\" needs a prefix length from 0 to \(prefixLengthMax) after the slash"
        case .hostBitsSet(let text, let meant):
            "\"\(text)\" has address bits set beyond its prefix; the network is \"\(meant)\""
        }
    }
}
