import FlowTable

/// Which flows receivers lack, by what they said they hold in the buckets that differ.
struct RepairPlan {
    /// Items of all lists at most, 4 bytes each; what goes beyond waits until it is asked for again.
    static let itemCountMax = 1 << 22

    private struct Place {
        var part: Int
        var entry: Int
        /// The entry's first item among those of the part.
        var firstItem: Int
    }

    let parts: [(peer: Int, part: RepairPart)]
    private(set) var answers: [Repaired] = []
    private var places: [UInt16: [Place]] = [:]

    init(_ lists: [RepairList]) {
        parts = lists.flatMap { list in list.inOrder.map { (list.peer, $0) } }
        answers = lists.flatMap { list in list.inOrder.map { Repaired(part: $0, receiver: list.nodeID) } }
        for index in parts.indices {
            var firstItem = 0
            for (entryIndex, entry) in parts[index].part.entries.enumerated() {
                places[entry.bucket, default: []].append(Place(part: index, entry: entryIndex, firstItem: firstItem))
                firstItem += entry.items.count
            }
        }
    }

    /// The parts whose receivers lack a flow, one for each receiver; those that list it are told so in their answers.
    mutating func partsLacking(bucket: UInt16, digest: UInt64) -> [Int] {
        guard let places = places[bucket] else { return [] }
        var holders: UInt64 = 0
        for place in places {
            let part = parts[place.part]
            let piece = DigestPiece(token: part.part.token)(digest)
            // All that look like it: one of two alike that went unconfirmed would be removed though it is right.
            for (item, other) in part.part.entries[place.entry].items.enumerated() where other == piece {
                answers[place.part].confirm(place.firstItem + item)
                holders |= 1 << UInt64(part.peer)
            }
        }
        var lacking: [Int] = []
        for place in places where holders & 1 << UInt64(parts[place.part].peer) == 0 {
            holders |= 1 << UInt64(parts[place.part].peer)
            lacking.append(place.part)
        }
        return lacking
    }

    /// Notes that a flow was sent because of these parts.
    mutating func noteSent(_ byteCount: Int, for parts: [Int]) {
        for part in parts {
            answers[part].flowCount += 1
            answers[part].byteCount += UInt32(byteCount)
        }
    }

    mutating func restart() {
        for index in answers.indices {
            answers[index].flowCount = 0
            answers[index].byteCount = 0
        }
    }
}

/// A receiver's list of what it holds in buckets that differ, as far as its parts have come.
struct RepairList {
    let peer: Int
    /// The receiver's.
    let nodeID: UInt32
    let token: UInt32
    private(set) var parts: [UInt16: RepairPart] = [:]
    private(set) var itemCount = 0

    init(peer: Int, nodeID: UInt32, token: UInt32) {
        self.peer = peer
        self.nodeID = nodeID
        self.token = token
    }

    var inOrder: [RepairPart] { parts.values.sorted { $0.part < $1.part } }

    mutating func insert(_ part: RepairPart) {
        guard parts[part.part] == nil else { return }
        parts[part.part] = part
        // An entry costs memory even where it lists nothing.
        itemCount += part.itemCount + part.entries.count
    }

    mutating func merge(_ other: RepairList) {
        for part in other.parts.values { insert(part) }
    }
}
