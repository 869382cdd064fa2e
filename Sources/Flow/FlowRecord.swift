/// The packed encoding of a flow: what a cache stores, what the wire carries, what a commit reads (DESIGN §2).
///
/// Version 1. Integers are little-endian, addresses and protocol keys as they stand on the wire. The fixed part comes
/// first so that an update patches it in place; optional sections follow in the order of their bits.
///
/// | offset | size | field |
/// | --- | --- | --- |
/// | 0 | 1 | byte count of the whole record / 4 |
/// | 1 | 1 | version (high nibble), bit 0: IPv6, bit 1: talking (traffic between the owner's last two dumps) |
/// | 2 | 2 | sections: bitmap of what follows the key |
/// | 4 | 2 | status |
/// | 6 | 1 | protocol number |
/// | 7 | 1 | protocol state |
/// | 8 | 4 | timeout, seconds left |
/// | 12 | 4 | mark |
/// | 16 | 1 | TCP flags, original direction |
/// | 17 | 1 | TCP flags, reply direction |
/// | 18 | 1 | TCP window scales: original (low nibble), reply (high nibble) |
/// | 19 | 1 | which of status, timeout, mark, state, flags and scales are known (bits 0…5) |
/// | 20 | 4 or 16 | original source |
/// | … | 4 or 16 | original destination |
/// | … | 4 | original protocol key |
///
/// | bit | size | section |
/// | --- | --- | --- |
/// | 0 | 4 or 16 | reply source, if it is not the original destination (destination NAT) |
/// | 1 | 4 or 16 | reply destination, if it is not the original source (source NAT) |
/// | 2 | 4 | reply protocol key, if it is not the original's inverse |
/// | 3 | 4 | zone: id (2), direction (1), zero (1) |
/// | 4 | 16 | labels |
/// | 5 | 16 | helper name |
/// | 6 | 24 | sequence adjustment: position, before, after; original, then reply |
/// | 7 | 16 or 40 | master: source, destination, key, protocol number (1), zero (3) |
/// | 8 | 8 | SCTP verification tags: original, reply (network order) |
/// | 9 | 12 | DCCP: role (1), zero (3), handshake sequence number (8) |
/// | 10 | 12 | SYNPROXY: initial sequence number, initial timestamp, timestamp offset |
/// | 11…15 | – | later versions; they come last and are passed over by the byte count |
public enum FlowRecord {
    /// The record version written by this code.
    public static let version: UInt8 = 1
    /// The longest record this code writes, bytes: an IPv6 flow with every section.
    public static let encodedByteCountMax = 224
    /// The longest record this code accepts, bytes: what the byte count can say.
    public static let byteCountMax = 1020
    /// The shortest record, bytes: an IPv4 flow without sections.
    public static let byteCountMin = 32

    package struct Section: OptionSet {
        package let rawValue: UInt16
        package init(rawValue: UInt16) { self.rawValue = rawValue }
        package static let replySource = Section(rawValue: 1 << 0)
        package static let replyDestination = Section(rawValue: 1 << 1)
        package static let replyKey = Section(rawValue: 1 << 2)
        package static let zone = Section(rawValue: 1 << 3)
        package static let labels = Section(rawValue: 1 << 4)
        package static let helper = Section(rawValue: 1 << 5)
        package static let sequenceAdjustment = Section(rawValue: 1 << 6)
        package static let master = Section(rawValue: 1 << 7)
        package static let sctp = Section(rawValue: 1 << 8)
        package static let dccp = Section(rawValue: 1 << 9)
        package static let synproxy = Section(rawValue: 1 << 10)
        package static let known = Section(rawValue: (1 << 11) - 1)
        package static let tuples: Section = [.replySource, .replyDestination, .replyKey, .zone]
    }

    /// The bit in the version byte that says whether the flow talks.
    package static let talkingBit: UInt8 = 1 << 1

    package enum Offset {
        package static let byteCount = 0
        package static let version = 1
        package static let sections = 2
        package static let status = 4
        package static let protocolNumber = 6
        package static let protocolState = 7
        package static let timeout = 8
        package static let mark = 12
        package static let tcpFlagsOriginal = 16
        package static let tcpFlagsReply = 17
        package static let windowScales = 18
        package static let known = 19
        package static let tuple = 20
    }

    /// The attributes that live in the fixed part; their bits in `Offset.known` are those of `Flow.Attributes`.
    package static let fixedAttributes: Flow.Attributes = [
        .status, .timeout, .mark, .protocolState, .tcpFlags, .tcpWindowScale,
    ]

    /// Bytes of a section, for a family.
    package static func byteCount(of section: Section, addressByteCount: Int) -> Int {
        switch section {
        case .replySource, .replyDestination: addressByteCount
        case .replyKey, .zone: 4
        case .labels, .helper: 16
        case .sequenceAdjustment: 24
        case .master: addressByteCount * 2 + 8
        case .sctp: 8
        case .dccp, .synproxy: 12
        default: 0
        }
    }

    /// Why bytes from outside are no record.
    public enum Malformation: Error, Equatable, Sendable {
        /// Fewer bytes than the record says, or than any record has.
        case truncated(neededByteCount: Int, availableByteCount: Int)
        /// A version this code does not read.
        case unknownVersion(UInt8)
        /// The sections do not fit into the record's own byte count.
        case sectionsExceedRecord
        /// A field holds what no flow can have.
        case invalidField(offset: Int)
    }

    /// Checks that a whole well-formed record stands at the start of `bytes`, and returns its byte count.
    ///
    /// - Throws: `Malformation`, with what is wrong.
    public static func validate(_ bytes: RawSpan) throws(Malformation) -> Int {
        guard bytes.byteCount >= byteCountMin else {
            throw .truncated(neededByteCount: byteCountMin, availableByteCount: bytes.byteCount)
        }
        let byteCount = Int(bytes.word(at: Offset.byteCount, as: UInt8.self)) * 4
        guard byteCount <= bytes.byteCount else {
            throw .truncated(neededByteCount: byteCount, availableByteCount: bytes.byteCount)
        }
        let versionByte = bytes.word(at: Offset.version, as: UInt8.self)
        guard versionByte >> 4 == version else { throw .unknownVersion(versionByte >> 4) }
        guard versionByte & 0xc == 0 else { throw .invalidField(offset: Offset.version) }
        let addressByteCount = versionByte & 1 == 0 ? 4 : 16
        let sections = Section(rawValue: bytes.littleEndian(at: Offset.sections, as: UInt16.self))
        var end = Offset.tuple + addressByteCount * 2 + 4
        var bit: UInt16 = 1
        while bit <= Section.synproxy.rawValue {
            let section = Section(rawValue: bit)
            if sections.contains(section) {
                let start = end
                end += Self.byteCount(of: section, addressByteCount: addressByteCount)
                guard end <= byteCount else { throw .sectionsExceedRecord }
                try validate(section, at: start, in: bytes)
            }
            bit <<= 1
        }
        guard end == byteCount || (end < byteCount && !sections.isSubset(of: .known)) else {
            throw .sectionsExceedRecord
        }
        let scales = bytes.word(at: Offset.windowScales, as: UInt8.self)
        guard scales & 0xf <= 14, scales >> 4 <= 14 else { throw .invalidField(offset: Offset.windowScales) }
        guard bytes.word(at: Offset.known, as: UInt8.self) & 0xc0 == 0 else {
            throw .invalidField(offset: Offset.known)
        }
        return byteCount
    }

    private static func validate(_ section: Section, at start: Int, in bytes: RawSpan) throws(Malformation) {
        switch section {
        case .zone:
            let id = bytes.littleEndian(at: start, as: UInt16.self)
            let direction = bytes.word(at: start + 2, as: UInt8.self)
            guard id != 0, Zone.Direction(rawValue: direction) != nil else { throw .invalidField(offset: start) }
        case .helper:
            let name = bytes.word(at: start, as: UInt8.self)
            guard name != 0, bytes.word(at: start + 15, as: UInt8.self) == 0 else {
                throw .invalidField(offset: start)
            }
        default:
            break
        }
    }
}
