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
/// | 4 | heartbeat | role (1), name byte count (1), number (2), announced flows (4), shared settings (12), name |
/// | 5 | resync request | node id (4), token (4), epoch (8) of the node asked; scope (4): 0 all flows, 1 changes only |
/// | 6 | transfer end | node id (4) and token (4) of the request, flows sent (4), zero (4) |
/// | 7 | behind | node id (4), zero (4), epoch (8) of the node that has to ask for a resync |
/// | 8 | hello | node id (4), links it is heard on (4), epoch (8) of a node that is heard, challenge (4), echo (4) |
/// | 9 | digest | announced flows (4), zero (4), sum over their digests (8), as of this datagram's sequence |
/// | 10 | verdict | node id (4), differing flows (4), epoch (8) of the node whose flows were compared |
/// | 11 | summary request | node id (4), token (4), epoch (8), depth (2), node count (2), nodes (2 each) |
/// | 12 | summary | node id (4), token (4), depth (2), entry count (2), entries |
/// | 13 | repair request | node id (4), token (4), epoch (8), part (2), parts (2), entry count (2), zero (2), entries |
/// | 14 | repaired | node id (4), token (4), part (2), zero (2), item count (4), flows (4) and bytes (4) sent, bitmap |
///
/// Shared settings are digests of mode, protocols and ignored addresses, 4 bytes each. Nodes are those of the tree of
/// buckets at that depth. Entries of a summary: node (2), zero (2), pieces of its 16 children's sums (2 each); of a
/// repair request: bucket (2), item count (2), pieces of the items' digests (2 each), padded to whole words. The bitmap
/// says which items the sender has too. Which 16 bits a piece is follows from the token: the lowest if it divides by 4.
///
/// Upserts, deletes, transfer ends and repaired travel in sequenced datagrams, the others in any.
enum MessageKind: UInt8, Sendable {
    case upsert = 1
    case delete = 2
    case ack = 3
    case heartbeat = 4
    case resyncRequest = 5
    case transferEnd = 6
    case behind = 7
    case hello = 8
    case digest = 9
    case verdict = 10
    case summaryRequest = 11
    case summary = 12
    case repairRequest = 13
    case repaired = 14
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
                guard body.byteCount >= Heartbeat.fixedByteCount,
                    Heartbeat.fixedByteCount + Int(body.word(at: 1, as: UInt8.self)) <= body.byteCount
                else { throw .malformedMessage }
            case .transferEnd, .behind, .digest, .verdict:
                guard body.byteCount >= 16 else { throw .malformedMessage }
            case .hello:
                guard body.byteCount >= Hello.byteCount else { throw .malformedMessage }
            case .resyncRequest:
                guard body.byteCount >= 20 else { throw .malformedMessage }
            case .summaryRequest:
                guard SummaryRequest.isValid(body) else { throw .malformedMessage }
            case .summary:
                guard Summary.isValid(body) else { throw .malformedMessage }
            case .repairRequest:
                guard RepairPart.isValid(body) else { throw .malformedMessage }
            case .repaired:
                guard Repaired.isValid(body) else { throw .malformedMessage }
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
        let fixed = Heartbeat.fixedByteCount
        let start = begin(.heartbeat, bodyByteCount: fixed + (name.count + 3) / 4 * 4)
        bytes.storeWord(heartbeat.role, at: start)
        bytes.storeWord(UInt8(name.count), at: start + 1)
        bytes.storeLittleEndian(heartbeat.number, at: start + 2)
        bytes.storeLittleEndian(heartbeat.flowCount, at: start + 4)
        bytes.storeLittleEndian(heartbeat.shared.mode, at: start + 8)
        bytes.storeLittleEndian(heartbeat.shared.protocols, at: start + 12)
        bytes.storeLittleEndian(heartbeat.shared.ignoredAddresses, at: start + 16)
        bytes.storeLittleEndian(heartbeat.shared.groups, at: start + 20)
        for offset in 0..<(name.count + 3) / 4 * 4 { bytes.storeWord(UInt8(0), at: start + fixed + offset) }
        for (offset, byte) in name.enumerated() { bytes.storeWord(byte, at: start + fixed + offset) }
    }

    /// Writes one of the messages that consist of two 32-bit words and 8 bytes.
    mutating func putWords(_ kind: MessageKind, _ first: UInt32, _ second: UInt32, _ last: UInt64) {
        let start = begin(kind, bodyByteCount: 16)
        bytes.storeLittleEndian(first, at: start)
        bytes.storeLittleEndian(second, at: start + 4)
        bytes.storeLittleEndian(last, at: start + 8)
    }

    mutating func putResyncRequest(nodeID: UInt32, token: UInt32, epoch: UInt64, isWhole: Bool) {
        let start = begin(.resyncRequest, bodyByteCount: 20)
        bytes.storeLittleEndian(nodeID, at: start)
        bytes.storeLittleEndian(token, at: start + 4)
        bytes.storeLittleEndian(epoch, at: start + 8)
        bytes.storeLittleEndian(UInt32(isWhole ? 0 : 1), at: start + 16)
    }

    /// Writes a body of 32-bit words, host order.
    mutating func putBody(_ kind: MessageKind, wordCount: Int, _ word: (Int) -> UInt32) {
        let start = begin(kind, bodyByteCount: wordCount * 4)
        for index in 0..<wordCount { bytes.storeLittleEndian(word(index), at: start + index * 4) }
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
