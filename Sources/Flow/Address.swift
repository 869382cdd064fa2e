/// The address family of a flow's tuples.
public enum AddressFamily: UInt8, Sendable, BitwiseCopyable {
    /// IPv4, 4-byte addresses.
    case ipv4 = 4
    /// IPv6, 16-byte addresses.
    case ipv6 = 6

    /// Bytes of one address of this family: 4 or 16.
    @inlinable
    public var addressByteCount: Int { self == .ipv4 ? 4 : 16 }
}

/// An IPv4 or IPv6 address, as two words that hold its bytes in network order.
///
/// An IPv4 address lies in the first four bytes of `words.0`, the rest is zero. The words are loaded from memory as
/// they stand on the wire, so comparing and hashing need no byte swaps.
public struct Address: Hashable, BitwiseCopyable, Sendable {
    /// The first eight bytes, as they lie in memory.
    public var high: UInt64
    /// The last eight bytes, as they lie in memory; 0 for IPv4.
    public var low: UInt64

    /// An address of the words as they lie in memory.
    @inlinable
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// The all-zero address.
    public static let zero = Address(high: 0, low: 0)

    /// An IPv4 address of four bytes in network order.
    public init(ipv4 bytes: (UInt8, UInt8, UInt8, UInt8)) {
        let word =
            UInt32(bytes.0) << 24 | UInt32(bytes.1) << 16 | UInt32(bytes.2) << 8 | UInt32(bytes.3)
        self.init(high: UInt64(littleEndian: UInt64(word.byteSwapped)), low: 0)
    }

    /// An IPv6 address of two words in host order, most significant first.
    public init(ipv6High: UInt64, low: UInt64) {
        self.init(high: ipv6High.bigEndian, low: low.bigEndian)
    }

    /// Byte `index` (0…15) in network order.
    @inlinable
    public func byte(at index: Int) -> UInt8 {
        let word = index < 8 ? high : low
        return UInt8(truncatingIfNeeded: word.littleEndian >> UInt64((index & 7) * 8))
    }

    /// Whether the first `prefixLength` bits equal those of `network`.
    public func isInside(network: Address, prefixLength: Int) -> Bool {
        func matches(_ left: UInt64, _ right: UInt64, bits: Int) -> Bool {
            guard bits > 0 else { return true }
            let mask = bits >= 64 ? UInt64.max : ~(UInt64.max >> UInt64(bits))
            return (left.bigEndian ^ right.bigEndian) & mask == 0
        }
        return matches(high, network.high, bits: prefixLength)
            && matches(low, network.low, bits: prefixLength - 64)
    }

    /// The usual text form: dotted quad, or RFC 5952.
    public func text(_ family: AddressFamily) -> String {
        switch family {
        case .ipv4:
            return "\(byte(at: 0)).\(byte(at: 1)).\(byte(at: 2)).\(byte(at: 3))"
        case .ipv6:
            return ipv6Text
        }
    }

    private var ipv6Text: String {
        let groups = (0..<8).map { UInt16(byte(at: $0 * 2)) << 8 | UInt16(byte(at: $0 * 2 + 1)) }
        // RFC 5952 §4.2: the longest run of zero groups (at least two, the first of equals) becomes "::".
        var best = 0..<0
        var index = 0
        while index < 8 {
            var end = index
            while end < 8, groups[end] == 0 { end += 1 }
            if end - index > max(best.count, 1) { best = index..<end }
            index = max(end, index + 1)
        }
        func joined(_ range: Range<Int>) -> String {
            range.map { String(groups[$0], radix: 16) }.joined(separator: ":")
        }
        guard !best.isEmpty else { return joined(0..<8) }
        return joined(0..<best.lowerBound) + "::" + joined(best.upperBound..<8)
    }
}
