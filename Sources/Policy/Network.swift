public import Flow

/// A range of addresses that share their first bits: `10.0.0.0/8`, `2001:db8::/32`, or a single address.
public struct Network: Hashable, Sendable, CustomStringConvertible {
    /// The first address of the range; bits beyond the prefix are zero.
    public let base: HostAddress
    /// Number of leading bits that all addresses of the range share: 0…32 or 0…128.
    public let prefixLength: Int

    /// The network of exactly one address.
    public init(_ host: HostAddress) {
        base = host
        prefixLength = host.family.addressByteCount * 8
    }

    /// The network that holds `host`, with that prefix length.
    ///
    /// - Precondition: `prefixLength` is 0…32 (IPv4) or 0…128 (IPv6).
    public init(containing host: HostAddress, prefixLength: Int) {
        let prefixLengthMax = host.family.addressByteCount * 8
        precondition((0...prefixLengthMax).contains(prefixLength), "prefix length \(prefixLength) of \(host)")
        let mask = PrefixMask(prefixLength: prefixLength)
        base = HostAddress(address: mask.applied(to: host.address), family: host.family)
        self.prefixLength = prefixLength
    }

    /// The network of its text form, `ADDRESS/PREFIXLENGTH` or a single `ADDRESS`.
    public init(parsing text: String) throws(AddressError) {
        guard let slash = text.utf8.firstIndex(of: UInt8(ascii: "/")) else {
            self.init(try HostAddress(parsing: text))
            return
        }
        // The error is to show the text as it was written.
        guard let host = try? HostAddress(parsing: String(text[..<slash])) else { throw .malformed(text) }
        let digits = text[text.index(after: slash)...]
        let prefixLengthMax = host.family.addressByteCount * 8
        guard
            digits.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
            let prefixLength = Int(digits), prefixLength <= prefixLengthMax
        else {
            throw .prefixLength(text, prefixLengthMax: prefixLengthMax)
        }
        self.init(containing: host, prefixLength: prefixLength)
        guard base == host else { throw .hostBitsSet(text, meant: description) }
    }

    /// Whether `address` of `family` lies in the network.
    public func contains(_ address: Address, _ family: AddressFamily) -> Bool {
        family == base.family && address.isInside(network: base.address, prefixLength: prefixLength)
    }

    /// The usual text form, always with its prefix length.
    public var description: String { "\(base)/\(prefixLength)" }
}

/// The leading bits of an address, as two words that lie in memory as `Address` does.
struct PrefixMask: BitwiseCopyable, Sendable {
    let high: UInt64
    let low: UInt64

    init(prefixLength: Int) {
        // `<<` and `>>` of a FixedWidthInteger give 0 for shifts past the width, so both ends need no special case.
        high = (~(UInt64.max >> UInt64(min(prefixLength, 64)))).bigEndian
        low = (~(UInt64.max >> UInt64(max(prefixLength - 64, 0)))).bigEndian
    }

    func applied(to address: Address) -> Address {
        Address(high: address.high & high, low: address.low & low)
    }
}
