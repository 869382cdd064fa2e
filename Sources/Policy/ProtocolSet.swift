/// A set of IP protocol numbers, one bit each.
public struct ProtocolSet: Hashable, Sendable {
    private var words: [4 of UInt64]

    /// The set of `numbers`.
    public init(_ numbers: some Sequence<UInt8>) {
        words = [0, 0, 0, 0]
        for number in numbers {
            words[Int(number >> 6)] |= 1 << UInt64(number & 63)
        }
    }

    /// Whether the protocol is in the set.
    public func contains(_ number: UInt8) -> Bool {
        words[Int(number >> 6)] & 1 << UInt64(number & 63) != 0
    }

    /// The protocols in the set, ascending.
    public var numbers: [UInt8] { (0...UInt8.max).filter(contains) }

    /// Whether both sets hold the same protocols.
    public static func == (left: ProtocolSet, right: ProtocolSet) -> Bool {
        (0..<4).allSatisfy { left.words[$0] == right.words[$0] }
    }

    /// Feeds the set into a hasher.
    public func hash(into hasher: inout Hasher) {
        for index in 0..<4 { hasher.combine(words[index]) }
    }
}
