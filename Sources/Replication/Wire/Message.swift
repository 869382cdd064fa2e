import Flow

/// The messages of a datagram, one after another: kind (1), zero (1), byte count of the body (2, little-endian),
/// body.
///
/// Bodies are whole 4-byte words. Unknown kinds are passed over by their byte count.
///
/// | kind | message | body |
/// | --- | --- | --- |
/// | 1 | upsert | record: the flow's state now, timeout in seconds left |
/// | 2 | delete | record; only its identity counts |
/// | 3 | ack | node id (4), range count (4), epoch (8), cumulative (8), ranges: offset above it (2), count (2) |
/// | 4 | heartbeat | role (1), byte count of the name (1), zero (2), announced flows (4), name padded with zeros |
/// | 5 | resync request | node id (4), token (4), epoch (8) of the node asked |
/// | 6 | transfer end | node id (4) and token (4) of the request, flows sent (4), zero (4) |
/// | 7 | behind | node id (4), zero (4), epoch (8) of the node that has to ask for a resync |
/// | 8… | digests and repair | come with later versions |
///
/// Upserts, deletes and transfer ends travel in sequenced datagrams, the others in any.
enum MessageKind: UInt8, Sendable {
    case upsert = 1
    case delete = 2
    case ack = 3
    case heartbeat = 4
    case resyncRequest = 5
    case transferEnd = 6
    case behind = 7
}

/// Walks the messages of a datagram.
struct MessageReader: ~Escapable {
    private let bytes: RawSpan
    private var offset: Int

    @_lifetime(copy datagram)
    init(_ datagram: RawSpan) {
        bytes = datagram
        offset = DatagramHeader.byteCount
    }

    /// The next message's raw kind and where its body lies; nil at the end.
    mutating func next() throws(WireError) -> (kind: UInt8, body: Range<Int>)? {
        guard offset < bytes.byteCount else { return nil }
        guard offset + 4 <= bytes.byteCount else { throw .malformedMessage }
        let kind = bytes.word(at: offset, as: UInt8.self)
        let count = Int(bytes.littleEndian(at: offset + 2, as: UInt16.self))
        let start = offset + 4
        guard count % 4 == 0, start + count <= bytes.byteCount else { throw .malformedMessage }
        offset = start + count
        return (kind, start..<offset)
    }

    /// Checks every message of a datagram before any is applied, so that a malformed one changes nothing.
    static func validate(_ datagram: RawSpan) throws(WireError) {
        var reader = MessageReader(datagram)
        while let (rawKind, range) = try reader.next() {
            let body = datagram.extracting(range)
            switch MessageKind(rawValue: rawKind) {
            case .upsert, .delete:
                guard (try? FlowRecord.validate(body)) == body.byteCount else { throw .malformedRecord }
            case .ack:
                guard body.byteCount >= Ack.fixedByteCount,
                    body.byteCount == Ack.fixedByteCount + Int(body.littleEndian(at: 4, as: UInt32.self)) * 4
                else { throw .malformedMessage }
            case .heartbeat:
                guard body.byteCount >= 8, 8 + Int(body.word(at: 1, as: UInt8.self)) <= body.byteCount
                else { throw .malformedMessage }
            case .resyncRequest, .transferEnd, .behind:
                guard body.byteCount >= 16 else { throw .malformedMessage }
            case nil:
                break
            }
        }
    }
}

/// Writes messages into a datagram under construction.
struct MessageWriter: ~Copyable, ~Escapable {
    private var bytes: MutableRawSpan
    private(set) var byteCount = DatagramHeader.byteCount

    @_lifetime(copy bytes)
    init(_ bytes: consuming MutableRawSpan) {
        self.bytes = bytes
    }

    /// Bytes left for another message's body.
    var bodyByteCountMax: Int { bytes.byteCount - byteCount - 4 }

    /// Whether nothing was written yet.
    var isEmpty: Bool { byteCount == DatagramHeader.byteCount }

    mutating func putRecord(_ kind: MessageKind, _ record: FlowRecordView, timeoutSeconds: UInt32) {
        let count = record.byteCount
        let start = begin(kind, bodyByteCount: count)
        bytes.storeWords(of: record.bytes, byteCount: count, at: start)
        bytes.storeLittleEndian(timeoutSeconds, at: start + 8)
    }

    mutating func put(_ ack: Ack) {
        let start = begin(.ack, bodyByteCount: Ack.fixedByteCount + ack.ranges.count * 4)
        bytes.storeLittleEndian(ack.nodeID, at: start)
        bytes.storeLittleEndian(UInt32(ack.ranges.count), at: start + 4)
        bytes.storeLittleEndian(ack.epoch, at: start + 8)
        bytes.storeLittleEndian(ack.cumulative, at: start + 16)
        for (index, range) in ack.ranges.enumerated() {
            let first = UInt16(range.lowerBound - ack.cumulative)
            bytes.storeLittleEndian(first, at: start + 24 + index * 4)
            bytes.storeLittleEndian(UInt16(range.count), at: start + 26 + index * 4)
        }
    }

    mutating func put(_ heartbeat: Heartbeat) {
        let name = heartbeat.name.utf8.prefix(64)
        let start = begin(.heartbeat, bodyByteCount: 8 + (name.count + 3) / 4 * 4)
        bytes.storeWord(heartbeat.role, at: start)
        bytes.storeWord(UInt8(name.count), at: start + 1)
        bytes.storeLittleEndian(UInt16(0), at: start + 2)
        bytes.storeLittleEndian(heartbeat.flowCount, at: start + 4)
        for offset in 0..<(name.count + 3) / 4 * 4 { bytes.storeWord(UInt8(0), at: start + 8 + offset) }
        for (offset, byte) in name.enumerated() { bytes.storeWord(byte, at: start + 8 + offset) }
    }

    /// Writes one of the three messages that consist of two 32-bit words and 8 bytes.
    mutating func putWords(_ kind: MessageKind, _ first: UInt32, _ second: UInt32, _ last: UInt64) {
        let start = begin(kind, bodyByteCount: 16)
        bytes.storeLittleEndian(first, at: start)
        bytes.storeLittleEndian(second, at: start + 4)
        bytes.storeLittleEndian(last, at: start + 8)
    }

    /// Puts the header before the messages.
    mutating func finish(_ header: DatagramHeader) {
        header.encode(into: &bytes)
    }

    private mutating func begin(_ kind: MessageKind, bodyByteCount: Int) -> Int {
        bytes.storeWord(kind.rawValue, at: byteCount)
        bytes.storeWord(UInt8(0), at: byteCount + 1)
        bytes.storeLittleEndian(UInt16(bodyByteCount), at: byteCount + 2)
        let start = byteCount + 4
        byteCount = start + bodyByteCount
        return start
    }
}

/// What a node has received of a sender's epoch.
struct Ack: Equatable, Sendable {
    static let fixedByteCount = 24
    static let rangeCountMax = 32

    /// The sender's node id.
    var nodeID: UInt32
    /// The sender's epoch.
    var epoch: UInt64
    /// Every datagram up to this one was received, or resolved by the sender.
    var cumulative: UInt64
    /// What was received above, ascending.
    var ranges: [Range<UInt64>]

    init(nodeID: UInt32, epoch: UInt64, cumulative: UInt64, ranges: [Range<UInt64>]) {
        self.nodeID = nodeID
        self.epoch = epoch
        self.cumulative = cumulative
        self.ranges = ranges
    }

    /// Decodes a validated body.
    init(decoding body: RawSpan) {
        nodeID = body.littleEndian(at: 0, as: UInt32.self)
        epoch = body.littleEndian(at: 8, as: UInt64.self)
        cumulative = body.littleEndian(at: 16, as: UInt64.self)
        ranges = []
        for index in 0..<min(Int(body.littleEndian(at: 4, as: UInt32.self)), Self.rangeCountMax) {
            let first = UInt64(body.littleEndian(at: 24 + index * 4, as: UInt16.self))
            let count = UInt64(body.littleEndian(at: 26 + index * 4, as: UInt16.self))
            let start = cumulative &+ first
            if start <= UInt64.max - count { ranges.append(start..<start + count) }
        }
    }
}

/// What a node says of itself several times per second.
struct Heartbeat: Equatable, Sendable {
    /// `NodeRole.rawValue`.
    var role: UInt8
    /// Flows in the internal cache.
    var flowCount: UInt32
    /// The node's name, at most 64 bytes of UTF-8.
    var name: String

    init(role: UInt8, flowCount: UInt32, name: String) {
        self.role = role
        self.flowCount = flowCount
        self.name = name
    }

    /// Decodes a validated body.
    init(decoding body: RawSpan) {
        role = body.word(at: 0, as: UInt8.self)
        flowCount = body.littleEndian(at: 4, as: UInt32.self)
        var bytes: [UInt8] = []
        for index in 0..<min(Int(body.word(at: 1, as: UInt8.self)), 64) {
            bytes.append(body.word(at: 8 + index, as: UInt8.self))
        }
        // A peer's name goes into logs, status and terminals: no control characters, neither C0 nor C1.
        let scalars = String(decoding: bytes, as: UTF8.self).unicodeScalars
        name = String(String.UnicodeScalarView(scalars.filter { $0.properties.generalCategory != .control }))
    }
}
