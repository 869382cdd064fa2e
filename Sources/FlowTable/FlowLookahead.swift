public import Flow

/// Flows that are about to be looked for in a table, noted so that their places in memory are fetched together.
///
/// Index, slot, record and, where there are such, the sum of a bucket lie anywhere in memory, and each of them says
/// where the next one lies: a search waits for them one after the other. With a whole datagram's flows the processor
/// waits for all of them at once: a tenth less for applying a stream of changes, more the larger the table.
public struct FlowLookahead: Sendable, BitwiseCopyable {
    /// Flows noted at most.
    public static let countMax = 64

    fileprivate var hashes: [64 of UInt32] = .init(repeating: 0)
    fileprivate var count = 0

    /// No flows.
    public init() {}

    /// Whether no more can be noted before `FlowTable.fetch`.
    public var isFull: Bool { count == Self.countMax }
}

extension FlowTable {
    /// Notes a flow that is about to be looked for, and perhaps changed or removed.
    public func note(_ identity: FlowIdentity, in lookahead: inout FlowLookahead) {
        lookahead.hashes[lookahead.count] = hash(of: identity)
        lookahead.count += 1
    }

    /// Reads what searches for the noted flows will read, and forgets them.
    ///
    /// Loops of few instructions each: as many of their reads are under way at the same time as the processor allows.
    ///
    /// - Returns: a number that depends on all that was read, and means nothing else; without it nothing would be read.
    @discardableResult
    public func fetch(_ lookahead: inout FlowLookahead) -> UInt64 {
        var read: UInt64 = 0
        let count = lookahead.count
        lookahead.count = 0
        for position in 0..<count { read ^= index.firstWord(hash: lookahead.hashes[position]) }
        var slots = [64 of Slot](repeating: Slot(rawValue: 0))
        var slotCount = 0
        for position in 0..<count {
            guard let slot = index.find(hash: lookahead.hashes[position], where: { _ in true }) else { continue }
            slots[slotCount] = slot
            slotCount += 1
            read ^= touch(slot)
        }
        for position in 0..<slotCount {
            let (owner, bucket) = (Int(self[slots[position]].owner), self[slots[position]].bucket)
            if owner < digests.count { read ^= digests[owner].sum(bucket: bucket) }
        }
        return read
    }
}
