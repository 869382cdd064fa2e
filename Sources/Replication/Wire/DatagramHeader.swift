import Flow

/// The first 32 bytes of every datagram.
///
/// Integers are little-endian.
///
/// | offset | size | field |
/// | --- | --- | --- |
/// | 0 | 2 | magic: 0x46 0x53 ("FS") |
/// | 2 | 1 | protocol version: 1 |
/// | 3 | 1 | flags: bit 0 sequenced, bit 1 claiming, bit 2 best effort, bits 4 and 5 the sender's link, others 0 |
/// | 4 | 4 | node id of the sender |
/// | 8 | 8 | epoch of the sender: larger after every start |
/// | 16 | 8 | sequence: this datagram's if sequenced, else the last one sent |
/// | 24 | 3 | how far below `sequence` the first unresolved datagram lies (sequence + 1 - floor), saturating |
/// | 27 | 1 | the traffic group of whose flows it speaks: 0 is the default one |
/// | 28 | 4 | takeover number under which the sender claims its flows |
///
/// A sealed link carries the whole datagram encrypted (`Link`, Seal).
struct DatagramHeader: Equatable, Sendable {
    static let byteCount = 32
    static let magic: UInt16 = 0x5346
    static let version: UInt8 = 1
    /// No pair fails over this often; above it a number is a lie, and adding to it would overflow.
    static let takeoverNumberMax: UInt32 = 1 << 31

    struct Flags: OptionSet, Sendable {
        let rawValue: UInt8
        /// Carries messages that must arrive; acknowledged by number.
        static let sequenced = Flags(rawValue: 1 << 0)
        /// The sender announces the flows of its kernel (its role is not backup or fault).
        static let claiming = Flags(rawValue: 1 << 1)
        /// Expects no acknowledgements and sends none.
        static let bestEffort = Flags(rawValue: 1 << 2)
    }

    /// Links a node may have; each datagram says on which of its sender's it travels.
    static let linkCount = 4
    /// Where the byte with the flags and the link lies.
    static let flagsOffset = 3
    /// Where the traffic group lies.
    static let groupOffset = 27
    /// The largest distance that three bytes hold; the log is far shorter.
    static let floorDistanceMax: UInt32 = 0xff_ffff

    var flags: Flags
    var nodeID: UInt32
    var epoch: UInt64
    var sequence: UInt64
    var floorDistance: UInt32
    var group: UInt8
    var takeoverNumber: UInt32

    /// The sender's link that this copy of the datagram travelled on, 0…3.
    var link: Int { Int(flags.rawValue >> 4 & 3) }

    /// The first datagram that the sender has not seen resolved; nothing below it will be missed.
    var floor: UInt64 { sequence &+ 1 &- min(UInt64(floorDistance), sequence) }

    init(
        flags: Flags,
        nodeID: UInt32,
        epoch: UInt64,
        sequence: UInt64,
        floorDistance: UInt32,
        group: UInt8 = 0,
        takeoverNumber: UInt32
    ) {
        self.flags = flags
        self.nodeID = nodeID
        self.epoch = epoch
        self.sequence = sequence
        self.floorDistance = floorDistance
        self.group = group
        self.takeoverNumber = takeoverNumber
    }

    init(decoding bytes: RawSpan) throws(WireError) {
        guard bytes.byteCount >= Self.byteCount else { throw .truncated }
        guard bytes.littleEndian(at: 0, as: UInt16.self) == Self.magic else { throw .foreign }
        guard bytes.word(at: 2, as: UInt8.self) == Self.version else { throw .unknownVersion }
        flags = Flags(rawValue: bytes.word(at: 3, as: UInt8.self))
        nodeID = bytes.littleEndian(at: 4, as: UInt32.self)
        epoch = bytes.littleEndian(at: 8, as: UInt64.self)
        sequence = bytes.littleEndian(at: 16, as: UInt64.self)
        floorDistance = bytes.littleEndian(at: 24, as: UInt32.self) & Self.floorDistanceMax
        group = bytes.word(at: Self.groupOffset, as: UInt8.self)
        takeoverNumber = bytes.littleEndian(at: 28, as: UInt32.self)
        // Room to count on without overflow checks everywhere; 2^62 datagrams are centuries of any link.
        guard sequence < 1 << 62, takeoverNumber <= Self.takeoverNumberMax else { throw .malformedMessage }
    }

    @_lifetime(output: copy output)
    func encode(into output: inout MutableRawSpan) {
        output.storeLittleEndian(Self.magic, at: 0)
        output.storeWord(Self.version, at: 2)
        output.storeWord(flags.rawValue, at: 3)
        output.storeLittleEndian(nodeID, at: 4)
        output.storeLittleEndian(epoch, at: 8)
        output.storeLittleEndian(sequence, at: 16)
        output.storeLittleEndian(min(floorDistance, Self.floorDistanceMax) | UInt32(group) << 24, at: 24)
        output.storeLittleEndian(takeoverNumber, at: 28)
    }
}

/// Why a datagram was not taken.
///
/// Each cause has its counter in `ReplicationCounters`.
enum WireError: Error, Equatable, Sendable {
    case truncated
    case foreign
    case otherGroup
    case unknownVersion
    case malformedMessage
    case malformedRecord
}
