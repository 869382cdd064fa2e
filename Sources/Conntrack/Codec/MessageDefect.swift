/// Why bytes from a netlink socket are no conntrack message.
///
/// One counter per case is what an operator sees; a well-behaved kernel causes none of them.
public enum MessageDefect: UInt8, Error, CaseIterable, Sendable {
    /// Fewer bytes than a netlink and nfnetlink header need, or than the header says.
    case truncatedMessage
    /// A message of another nfnetlink subsystem, or of a type that is no new, update or destroy.
    case foreignType
    /// An address family other than IPv4 and IPv6.
    case foreignFamily
    /// An attribute's length field is below its own header or beyond what encloses it.
    case attributeOverrun
    /// An attribute is shorter than the value it holds.
    case attributeTooShort
    /// A tuple lacks an address or the protocol number, or a tuple is missing.
    case incompleteTuple
    /// Original and reply tuple name different protocols.
    case protocolMismatch
    /// A field holds what no flow can have.
    case invalidValue

    /// What is wrong, in a few words for a log line.
    public var text: String {
        switch self {
        case .truncatedMessage: "truncated message"
        case .foreignType: "message type that is not conntrack's"
        case .foreignFamily: "address family that is neither IPv4 nor IPv6"
        case .attributeOverrun: "attribute longer than its message"
        case .attributeTooShort: "attribute shorter than its value"
        case .incompleteTuple: "incomplete tuple"
        case .protocolMismatch: "original and reply tuple of different protocols"
        case .invalidValue: "invalid value"
        }
    }
}

/// A counter for each `MessageDefect`.
public struct MessageDefectCounts: Sendable {
    private var counts = InlineArray<8, UInt64>(repeating: 0)

    /// All zero.
    public init() {}

    /// How often `defect` was met.
    public subscript(defect: MessageDefect) -> UInt64 { counts[Int(defect.rawValue)] }

    /// How many defects were met in all.
    public var total: UInt64 {
        var sum: UInt64 = 0
        for index in counts.indices { sum &+= counts[index] }
        return sum
    }

    /// Counts one more `defect`.
    public mutating func count(_ defect: MessageDefect) {
        counts[Int(defect.rawValue)] &+= 1
    }

    /// Adds the counts of `other`.
    public mutating func add(_ other: MessageDefectCounts) {
        for index in counts.indices { counts[index] &+= other.counts[index] }
    }
}
