import Flow
import FlowTable

/// A receiver's search for what differs between its copy of a peer's flows and the peer's own, and its mending.
///
/// Down the tree of sums where they differ, then a list of what is held in the buckets that differ: the peer sends what
/// the list lacks and says which items it does not have either. What changes meanwhile may look different and costs
/// some bytes; what is removed in the end has not changed since it was listed.
struct Repair {
    static let summaryRepeatMilliseconds: UInt64 = 250
    static let partRepeatMilliseconds: UInt64 = 500

    enum Phase: Equatable {
        /// The sums of the children of nodes at a depth.
        case sums(depth: Int)
        case listing
        case parts
    }

    /// A flow held, as it was listed.
    struct Item {
        var bucket: UInt16
        var slot: Slot
        var piece: UInt16
        var sequence: UInt64
        var generation: UInt16
    }

    struct Part {
        var message: RepairPart
        var items: ArraySlice<Item>
        var sentAt: Instant?
        var isAnswered = false
    }

    let token: UInt32
    let startedAt: Instant
    let piece: DigestPiece
    private(set) var phase = Phase.sums(depth: 1)
    /// The nodes whose children's sums have yet to come.
    private var awaited: Set<UInt16>
    private var askedAt: Instant?
    /// The children that differ, in the end the buckets.
    private var differing: [UInt16] = []
    private(set) var differingFlowCount = 0
    private var listPosition: Slot?
    private var items: [Item] = []
    private(set) var parts: [Part] = []
    /// What the next datagram goes on with, of the nodes awaited and of the parts.
    private var nextNode = 0
    private var nextPart = 0
    private var openPartCount = 0
    /// Flows mended and removed.
    var flowCount = 0
    /// Bytes that the repair took, both ways.
    var byteCount = 0

    init(token: UInt32, now: Instant) {
        self.token = token
        startedAt = now
        piece = DigestPiece(token: token)
        awaited = Set(0..<UInt16(BucketDigests.nodeCount(depth: 1)))
    }

    // MARK: Sums

    /// Compares sums that the peer has sent; true if nothing differs after all.
    mutating func receive(_ summary: Summary, _ digests: BucketDigests) -> Bool {
        guard summary.token == token, phase == .sums(depth: summary.depth) else { return false }
        byteCount += summary.wordCount * 4
        for entry in summary.entries where awaited.remove(entry.node) != nil {
            for (offset, sum) in entry.sums.enumerated() {
                let child = Int(entry.node) * BucketDigests.childCount + offset
                if piece(digests.sum(depth: summary.depth + 1, node: child)) != sum { differing.append(UInt16(child)) }
            }
        }
        guard awaited.isEmpty else { return false }
        // One flow per node that differs, at least.
        differingFlowCount = max(differingFlowCount, differing.count)
        askedAt = nil
        nextNode = 0
        if summary.depth + 1 < BucketDigests.depthMax {
            awaited = Set(differing)
            phase = .sums(depth: summary.depth + 1)
            guard !differing.isEmpty else { return true }
            differing = []
        } else {
            phase = .listing
        }
        return phase == .listing && differing.isEmpty
    }

    // MARK: The list

    /// Goes on listing what is held in the differing buckets.
    mutating func list(_ table: borrowing FlowTable, owner: UInt16, slotCountMax: Int, _ peer: (UInt32, UInt64)) {
        guard phase == .listing else { return }
        var wanted = [UInt64](repeating: 0, count: BucketDigests.bucketCount / 64)
        for bucket in differing { wanted[Int(bucket) / 64] |= 1 << UInt64(bucket % 64) }
        let piece = piece
        var found: [Item] = []
        listPosition = table.walk(after: listPosition, slotCountMax: slotCountMax) { slot, header in
            guard header.owner == owner, wanted[Int(header.bucket) / 64] & 1 << UInt64(header.bucket % 64) != 0,
                !header.flags.contains(.dead)
            else { return }
            found.append(
                Item(
                    bucket: header.bucket,
                    slot: slot,
                    piece: piece(header.digest),
                    sequence: header.sequence,
                    generation: header.generation
                )
            )
        }
        items += found
        if listPosition == nil { makeParts(nodeID: peer.0, epoch: peer.1) }
    }

    private mutating func makeParts(nodeID: UInt32, epoch: UInt64) {
        phase = .parts
        items = Self.sorted(items)
        differing.sort()
        var entries: [RepairPart.Entry] = []
        var first = 0
        var next = 0
        var wordCount = 0
        func close(_ parts: inout [Part]) {
            let message = RepairPart(
                nodeID: nodeID,
                token: token,
                epoch: epoch,
                part: UInt16(clamping: parts.count),
                partCount: 0,
                entries: entries
            )
            parts.append(Part(message: message, items: items[first..<next]))
            entries = []
            first = next
            wordCount = 0
        }
        var parts: [Part] = []
        for bucket in differing where parts.count < Int(UInt16.max) {
            repeat {
                if wordCount + 2 > RepairPart.entryWordCountMax { close(&parts) }
                var entry = RepairPart.Entry(bucket: bucket, items: [])
                let room = (RepairPart.entryWordCountMax - wordCount - 1) * 2
                while next < items.count, items[next].bucket == bucket, entry.items.count < room {
                    entry.items.append(items[next].piece)
                    next += 1
                }
                wordCount += entry.wordCount
                entries.append(entry)
            } while next < items.count && items[next].bucket == bucket
        }
        if !entries.isEmpty { close(&parts) }
        for index in parts.indices { parts[index].message.partCount = UInt16(clamping: parts.count) }
        self.parts = parts
        openPartCount = parts.count
    }

    /// By bucket, in time that grows with the number alone: there may be a million.
    private static func sorted(_ items: [Item]) -> [Item] {
        var starts = [Int](repeating: 0, count: BucketDigests.bucketCount + 1)
        for item in items { starts[Int(item.bucket) + 1] += 1 }
        for bucket in 0..<BucketDigests.bucketCount { starts[bucket + 1] += starts[bucket] }
        guard let some = items.first else { return [] }
        var sorted = [Item](repeating: some, count: items.count)
        for item in items {
            sorted[starts[Int(item.bucket)]] = item
            starts[Int(item.bucket)] += 1
        }
        return sorted
    }

    // MARK: Asking

    /// When there is something to ask, or to ask again; nil while the list is being made.
    var dueAt: Instant? {
        switch phase {
        case .sums:
            return askedAt?.advanced(byMilliseconds: Self.summaryRepeatMilliseconds) ?? startedAt
        case .listing:
            return nil
        case .parts:
            guard nextPart == parts.count else { return startedAt }
            return askedAt?.advanced(byMilliseconds: Self.partRepeatMilliseconds)
        }
    }

    /// Writes what is to be asked now, within the pacer's budget.
    mutating func put(
        _ writer: inout MessageWriter,
        _ peer: (nodeID: UInt32, epoch: UInt64),
        _ pacer: inout Pacer,
        now: Instant
    ) {
        guard let due = dueAt, due <= now else { return }
        switch phase {
        case .sums(let depth): putSummaryRequests(&writer, peer, depth: depth, now: now)
        case .listing: break
        case .parts: putParts(&writer, &pacer, now: now)
        }
    }

    private mutating func putSummaryRequests(
        _ writer: inout MessageWriter,
        _ peer: (nodeID: UInt32, epoch: UInt64),
        depth: Int,
        now: Instant
    ) {
        let nodes = awaited.sorted()
        if nextNode >= nodes.count { nextNode = 0 }
        while nextNode < nodes.count {
            let count = min(nodes.count - nextNode, SummaryRequest.nodeCountMax)
            let byteCount = SummaryRequest.wordCount(nodeCount: count) * 4
            guard writer.bodyByteCountMax >= byteCount else { return }
            SummaryRequest(
                nodeID: peer.nodeID,
                token: token,
                epoch: peer.epoch,
                depth: depth,
                nodes: Array(nodes[nextNode..<nextNode + count])
            ).put(&writer)
            self.byteCount += byteCount
            nextNode += count
        }
        askedAt = now
    }

    private mutating func putParts(_ writer: inout MessageWriter, _ pacer: inout Pacer, now: Instant) {
        if nextPart == parts.count { nextPart = 0 }
        while nextPart < parts.count {
            let part = parts[nextPart]
            if !part.isAnswered {
                let byteCount = part.message.wordCount * 4
                guard pacer.hasBudget, writer.bodyByteCountMax >= byteCount else { return }
                part.message.put(&writer)
                pacer.spend(byteCount)
                self.byteCount += byteCount
            }
            nextPart += 1
        }
        askedAt = now
    }

    // MARK: Answers

    /// Takes the answer to a part; returns the listed flows that the peer does not have, nil if it was answered before.
    mutating func receive(_ answer: Repaired) -> [Item]? {
        let index = Int(answer.part)
        guard answer.token == token, phase == .parts, index < parts.count, !parts[index].isAnswered,
            answer.itemCount == parts[index].items.count
        else { return nil }
        parts[index].isAnswered = true
        openPartCount -= 1
        flowCount += Int(answer.flowCount)
        byteCount += Int(answer.byteCount) + answer.wordCount * 4
        return parts[index].items.enumerated().filter { !answer.isConfirmed($0.offset) }.map(\.element)
    }

    /// Whether every part was answered.
    var isDone: Bool { phase == .parts && openPartCount == 0 }
}
