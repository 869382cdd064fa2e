import Flow
import FlowTable

// The messages by which a receiver finds out what differs between its copy of a sender's flows and the sender's own,
// and has it mended. Bodies are 32-bit words; the two halves of a word below are its low and its high 16 bits.

/// Which 16 bits of 64-bit sums and digests go over the wire in a search.
///
/// They change with the token: what looks equal by chance in one search, once in 65,536 times, shows in the next.
/// Whether there is a difference at all is decided by all 64 bits.
struct DigestPiece: Equatable {
    private let shift: UInt64

    init(token: UInt32) { shift = UInt64(token % 4) * 16 }

    func callAsFunction(_ digest: UInt64) -> UInt16 { UInt16(truncatingIfNeeded: digest >> shift) }
}

/// Asks for the sums of the children of some nodes of the tree of buckets, all at one depth.
struct SummaryRequest {
    static let fixedWordCount = 5
    /// Nodes named in one message; more go into further messages.
    static let nodeCountMax = 192

    var nodeID: UInt32
    var token: UInt32
    var epoch: UInt64
    /// The depth of the nodes, at least 1 and above that of the buckets.
    var depth: Int
    var nodes: [UInt16]

    static func isValid(_ body: RawSpan) -> Bool {
        guard body.byteCount >= fixedWordCount * 4 else { return false }
        let depth = Int(body.littleEndian(at: 16, as: UInt16.self))
        let count = Int(body.littleEndian(at: 18, as: UInt16.self))
        return (1..<BucketDigests.depthMax).contains(depth) && body.byteCount >= fixedWordCount * 4 + count * 2
    }

    init(nodeID: UInt32, token: UInt32, epoch: UInt64, depth: Int, nodes: [UInt16]) {
        self.nodeID = nodeID
        self.token = token
        self.epoch = epoch
        self.depth = depth
        self.nodes = nodes
    }

    /// Decodes a validated body; nodes that do not exist are left out.
    init(decoding body: RawSpan) {
        nodeID = body.littleEndian(at: 0, as: UInt32.self)
        token = body.littleEndian(at: 4, as: UInt32.self)
        epoch = body.littleEndian(at: 8, as: UInt64.self)
        let depth = Int(body.littleEndian(at: 16, as: UInt16.self))
        self.depth = depth
        nodes = (0..<Int(body.littleEndian(at: 18, as: UInt16.self))).map {
            body.littleEndian(at: Self.fixedWordCount * 4 + $0 * 2, as: UInt16.self)
        }
        nodes.removeAll { Int($0) >= BucketDigests.nodeCount(depth: depth) }
    }

    static func wordCount(nodeCount: Int) -> Int { fixedWordCount + (nodeCount + 1) / 2 }

    func put(_ writer: inout MessageWriter) {
        writer.putBody(.summaryRequest, wordCount: Self.wordCount(nodeCount: nodes.count)) { index in
            switch index {
            case 0: return nodeID
            case 1: return token
            case 2: return UInt32(truncatingIfNeeded: epoch)
            case 3: return UInt32(truncatingIfNeeded: epoch >> 32)
            case 4: return UInt32(depth) | UInt32(nodes.count) << 16
            default:
                let low = (index - Self.fixedWordCount) * 2
                return UInt32(nodes[low]) | (low + 1 < nodes.count ? UInt32(nodes[low + 1]) << 16 : 0)
            }
        }
    }
}

/// The sums of the children of some nodes of the tree of buckets, all at one depth.
struct Summary {
    struct Entry: Equatable {
        static let wordCount = 1 + BucketDigests.childCount / 2

        var node: UInt16
        /// Pieces of the sums of the node's children.
        var sums: [UInt16]
    }

    static let fixedWordCount = 3

    var nodeID: UInt32
    var token: UInt32
    /// The depth of the nodes; their children are one deeper.
    var depth: Int
    var entries: [Entry]

    static func isValid(_ body: RawSpan) -> Bool {
        guard body.byteCount >= fixedWordCount * 4 else { return false }
        let depth = Int(body.littleEndian(at: 8, as: UInt16.self))
        let count = Int(body.littleEndian(at: 10, as: UInt16.self))
        return (1..<BucketDigests.depthMax).contains(depth)
            && body.byteCount >= (fixedWordCount + count * Entry.wordCount) * 4
    }

    init(nodeID: UInt32, token: UInt32, depth: Int, entries: [Entry]) {
        self.nodeID = nodeID
        self.token = token
        self.depth = depth
        self.entries = entries
    }

    /// Decodes a validated body.
    init(decoding body: RawSpan) {
        nodeID = body.littleEndian(at: 0, as: UInt32.self)
        token = body.littleEndian(at: 4, as: UInt32.self)
        depth = Int(body.littleEndian(at: 8, as: UInt16.self))
        entries = (0..<Int(body.littleEndian(at: 10, as: UInt16.self))).map { index in
            let start = (Self.fixedWordCount + index * Entry.wordCount) * 4
            return Entry(
                node: body.littleEndian(at: start, as: UInt16.self),
                sums: (0..<BucketDigests.childCount).map {
                    body.littleEndian(at: start + 4 + $0 * 2, as: UInt16.self)
                }
            )
        }
    }

    var wordCount: Int { Self.fixedWordCount + entries.count * Entry.wordCount }

    func put(_ writer: inout MessageWriter) {
        writer.putBody(.summary, wordCount: wordCount) { index in
            switch index {
            case 0: return nodeID
            case 1: return token
            case 2: return UInt32(depth) | UInt32(entries.count) << 16
            default:
                let (entry, offset) = (index - Self.fixedWordCount).quotientAndRemainder(dividingBy: Entry.wordCount)
                guard offset > 0 else { return UInt32(entries[entry].node) }
                let first = (offset - 1) * 2
                return UInt32(entries[entry].sums[first]) | UInt32(entries[entry].sums[first + 1]) << 16
            }
        }
    }
}

/// What a receiver holds in some of the buckets that differ; a repair's list is cut into parts of this size.
struct RepairPart {
    static let fixedWordCount = 6
    /// Words of entries in one part: several parts fit into a datagram of any link.
    static let entryWordCountMax = 112

    /// Items of one part at most: two in a word.
    static let itemCountMax = 2 * entryWordCountMax

    struct Entry: Equatable {
        var bucket: UInt16
        /// Pieces of the digests of the flows held.
        var items: [UInt16]

        var wordCount: Int { Self.wordCount(itemCount: items.count) }

        static func wordCount(itemCount: Int) -> Int { 1 + (itemCount + 1) / 2 }
    }

    var nodeID: UInt32
    var token: UInt32
    var epoch: UInt64
    var part: UInt16
    var partCount: UInt16
    var entries: [Entry]

    var itemCount: Int { entries.reduce(0) { $0 + $1.items.count } }
    var wordCount: Int { entries.reduce(Self.fixedWordCount) { $0 + $1.wordCount } }

    static func isValid(_ body: RawSpan) -> Bool {
        guard body.byteCount >= fixedWordCount * 4, body.byteCount <= (fixedWordCount + entryWordCountMax) * 4,
            body.littleEndian(at: 16, as: UInt16.self) < body.littleEndian(at: 18, as: UInt16.self)
        else { return false }
        var offset = fixedWordCount * 4
        for _ in 0..<Int(body.littleEndian(at: 20, as: UInt16.self)) {
            guard offset + 4 <= body.byteCount else { return false }
            offset += Entry.wordCount(itemCount: Int(body.littleEndian(at: offset + 2, as: UInt16.self))) * 4
        }
        return offset <= body.byteCount
    }

    init(nodeID: UInt32, token: UInt32, epoch: UInt64, part: UInt16, partCount: UInt16, entries: [Entry]) {
        self.nodeID = nodeID
        self.token = token
        self.epoch = epoch
        self.part = part
        self.partCount = partCount
        self.entries = entries
    }

    /// Decodes a validated body.
    init(decoding body: RawSpan) {
        nodeID = body.littleEndian(at: 0, as: UInt32.self)
        token = body.littleEndian(at: 4, as: UInt32.self)
        epoch = body.littleEndian(at: 8, as: UInt64.self)
        part = body.littleEndian(at: 16, as: UInt16.self)
        partCount = body.littleEndian(at: 18, as: UInt16.self)
        entries = []
        var offset = Self.fixedWordCount * 4
        for _ in 0..<Int(body.littleEndian(at: 20, as: UInt16.self)) {
            let count = Int(body.littleEndian(at: offset + 2, as: UInt16.self))
            let items = (0..<count).map { body.littleEndian(at: offset + 4 + $0 * 2, as: UInt16.self) }
            entries.append(Entry(bucket: body.littleEndian(at: offset, as: UInt16.self), items: items))
            offset += Entry.wordCount(itemCount: count) * 4
        }
    }

    func put(_ writer: inout MessageWriter) {
        var words: [UInt32] = [
            nodeID, token, UInt32(truncatingIfNeeded: epoch), UInt32(truncatingIfNeeded: epoch >> 32),
            UInt32(part) | UInt32(partCount) << 16, UInt32(entries.count),
        ]
        for entry in entries {
            words.append(UInt32(entry.bucket) | UInt32(entry.items.count) << 16)
            for first in stride(from: 0, to: entry.items.count, by: 2) {
                let second = first + 1 < entry.items.count ? entry.items[first + 1] : 0
                words.append(UInt32(entry.items[first]) | UInt32(second) << 16)
            }
        }
        writer.putBody(.repairRequest, wordCount: words.count) { words[$0] }
    }
}

/// The answer to a part: everything that differs in its buckets was acknowledged before; what is not marked here the
/// sender does not have.
struct Repaired {
    static let fixedWordCount = 6

    var nodeID: UInt32
    var token: UInt32
    var part: UInt16
    var itemCount: Int
    /// Flows sent because the receiver's list lacked them, and their bytes on the wire.
    var flowCount: UInt32
    var byteCount: UInt32
    /// One bit per item of the part, in its order: the sender has it too.
    var confirmed: [UInt32]

    static func isValid(_ body: RawSpan) -> Bool {
        guard body.byteCount >= fixedWordCount * 4 else { return false }
        let itemCount = Int(body.littleEndian(at: 12, as: UInt32.self))
        return itemCount <= RepairPart.itemCountMax
            && body.byteCount >= (fixedWordCount + (itemCount + 31) / 32) * 4
    }

    init(part: RepairPart, receiver nodeID: UInt32) {
        self.nodeID = nodeID
        token = part.token
        self.part = part.part
        itemCount = part.itemCount
        flowCount = 0
        byteCount = 0
        confirmed = Array(repeating: 0, count: (part.itemCount + 31) / 32)
    }

    /// Decodes a validated body.
    init(decoding body: RawSpan) {
        nodeID = body.littleEndian(at: 0, as: UInt32.self)
        token = body.littleEndian(at: 4, as: UInt32.self)
        part = body.littleEndian(at: 8, as: UInt16.self)
        itemCount = Int(body.littleEndian(at: 12, as: UInt32.self))
        flowCount = body.littleEndian(at: 16, as: UInt32.self)
        byteCount = body.littleEndian(at: 20, as: UInt32.self)
        confirmed = (0..<(itemCount + 31) / 32).map {
            body.littleEndian(at: Self.fixedWordCount * 4 + $0 * 4, as: UInt32.self)
        }
    }

    var wordCount: Int { Self.fixedWordCount + confirmed.count }

    mutating func confirm(_ item: Int) { confirmed[item / 32] |= 1 << UInt32(item % 32) }

    func isConfirmed(_ item: Int) -> Bool {
        item < itemCount && confirmed[item / 32] & 1 << UInt32(item % 32) != 0
    }

    func put(_ writer: inout MessageWriter) {
        writer.putBody(.repaired, wordCount: wordCount) { index in
            switch index {
            case 0: nodeID
            case 1: token
            case 2: UInt32(part)
            case 3: UInt32(itemCount)
            case 4: flowCount
            case 5: byteCount
            default: confirmed[index - Self.fixedWordCount]
            }
        }
    }
}
