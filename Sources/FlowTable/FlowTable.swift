public import Flow

/// A cache's flows: packed records in slabs, found by identity.
///
/// Holds live flows and tombstones (flows that are gone, but whose death someone has yet to learn). It never decides
/// when a tombstone may go: `InternalCache` and `ExternalCache` do. About 103 bytes for an IPv4 TCP flow with SNAT.
public struct FlowTable: ~Copyable {
    private var store = SlabStore()
    private(set) var index = SlotIndex()
    private let seed: UInt64
    private(set) var digests: [BucketDigests] = [BucketDigests()]
    /// Flows, without tombstones.
    public private(set) var liveCount = 0
    /// Flows and tombstones.
    public var occupiedCount: Int { index.count }
    /// Bytes held for slots and index.
    public var allocatedByteCount: Int { store.allocatedByteCount + index.allocatedByteCount }

    /// An empty table.
    ///
    /// - Parameter seed: random, different in every process (see `FlowIdentity.hash`).
    public init(seed: UInt64) {
        self.seed = seed
    }

    /// The slot of a flow or tombstone.
    ///
    /// O(1).
    public func find(_ identity: FlowIdentity) -> Slot? {
        index.find(hash: hash(of: identity)) { slot in
            FlowRecordView(store.bytes(of: slot)).isOf(identity)
        }
    }

    /// Where the index has the flow.
    func hash(of identity: FlowIdentity) -> UInt32 { UInt32(truncatingIfNeeded: identity.hash(seed: seed)) }

    /// Reads something of the slot's header and of its record, which lie in two lines of the processor's cache.
    @inline(__always)
    func touch(_ slot: Slot) -> UInt64 {
        store[slot].sequence ^ UInt64(store.bytes(of: slot).word(at: FlowRecord.byteCountMin - 4, as: UInt32.self))
    }

    /// What the table keeps beside the flow's record.
    public internal(set) subscript(slot: Slot) -> SlotHeader {
        @inline(__always)
        get { store[slot] }
        @inline(__always)
        _modify { yield &store[slot] }
    }

    /// The flow's record, read where it lies.
    @_lifetime(borrow self)
    public func record(at slot: Slot) -> FlowRecordView {
        let view = FlowRecordView(store.bytes(of: slot))
        // The bytes belong to `store`, which belongs to this table; the compiler follows that only one level deep.
        return unsafe _overrideLifetime(view, borrowing: self)
    }

    /// The flow in a slot, unpacked; its timeout is the one last reported, not the seconds left now.
    public func flow(at slot: Slot) -> Flow {
        record(at: slot).flow
    }

    /// Appends a flow's record to a list of records, with the given seconds left.
    public func appendRecord(at slot: Slot, timeoutSeconds: UInt32, to records: inout [UInt8]) {
        let view = record(at: slot)
        let start = records.count
        // SAFETY: the bytes are copied before the record can change.
        unsafe view.bytes.withUnsafeBytes { bytes in unsafe records.append(contentsOf: bytes.prefix(view.byteCount)) }
        for byte in 0..<4 { records[start + 8 + byte] = UInt8(truncatingIfNeeded: timeoutSeconds >> (8 * byte)) }
    }

    /// Adds a flow that is not there; returns its slot, alive, with a fresh header.
    public mutating func insert(_ record: RawSpan, of identity: FlowIdentity, owner: UInt16 = 0) -> Slot {
        let hash = hash(of: identity)
        let byteCount = FlowRecordView(record).byteCount
        let slot = store.take(sizeClass: SlabStore.sizeClass(for: byteCount))
        store[slot].flags = .occupied
        store[slot].hash = hash
        store[slot].owner = owner
        store[slot].bucket = BucketDigests.bucket(of: identity)
        copy(record, byteCount: byteCount, to: slot)
        index.insert(slot, hash: hash)
        liveCount += 1
        addDigest(slot)
        return slot
    }

    /// Overwrites a flow's record by another of the same flow; returns its slot, which changes with the size class.
    ///
    /// The header stays as it is; only `queued` goes when the slot changes, since the queue names the old slot.
    public mutating func replaceRecord(at slot: Slot, with record: RawSpan) -> Slot {
        let byteCount = FlowRecordView(record).byteCount
        let sizeClass = SlabStore.sizeClass(for: byteCount)
        subtractDigest(slot)
        guard sizeClass != slot.sizeClass else {
            copy(record, byteCount: byteCount, to: slot)
            addDigest(slot)
            return slot
        }
        let moved = store.take(sizeClass: sizeClass)
        store[moved] = store[slot]
        store[moved].flags.remove(.queued)
        copy(record, byteCount: byteCount, to: moved)
        index.replace(slot, with: moved, hash: store[slot].hash)
        store.give(slot)
        addDigest(moved)
        return moved
    }

    /// Patches the fixed fields of a flow's record.
    public mutating func patchRecord(at slot: Slot, with news: Flow) {
        subtractDigest(slot)
        var bytes = store.mutableBytes(of: slot)
        FlowRecord.patch(&bytes, with: news)
        addDigest(slot)
    }

    /// Says in a flow's record whether it talks; see `FlowRecord.setTalking`.
    public mutating func setTalking(_ isTalking: Bool, at slot: Slot) {
        subtractDigest(slot)
        var bytes = store.mutableBytes(of: slot)
        FlowRecord.setTalking(isTalking, in: &bytes)
        addDigest(slot)
    }

    /// Turns a flow into a tombstone.
    public mutating func markDead(_ slot: Slot) {
        precondition(!store[slot].flags.contains(.dead), "slot \(slot.rawValue) is dead already")
        subtractDigest(slot)
        store[slot].flags.insert(.dead)
        liveCount -= 1
    }

    /// Turns a tombstone into a flow again.
    public mutating func revive(_ slot: Slot) {
        precondition(store[slot].flags.contains(.dead), "slot \(slot.rawValue) is alive")
        store[slot].flags.subtract([.dead, .settled])
        liveCount += 1
        addDigest(slot)
    }

    /// Removes a flow or tombstone.
    public mutating func remove(_ slot: Slot) {
        let header = store[slot]
        subtractDigest(slot)
        index.remove(slot, hash: header.hash)
        if !header.flags.contains(.dead) { liveCount -= 1 }
        store.give(slot)
    }

    /// The next occupied slot after `slot`, or the first one; nil at the end.
    ///
    /// Flows that come, go or move while a walk is under way may be met or not; all others are met once.
    public func next(after slot: Slot?) -> Slot? {
        var sizeClass = slot?.sizeClass ?? 0
        var position = slot.map { $0.index + 1 } ?? 0
        while sizeClass < 8 {
            while position < store.used(sizeClass: sizeClass) {
                let candidate = Slot(sizeClass: sizeClass, index: position)
                if store[candidate].flags.contains(.occupied) { return candidate }
                position += 1
            }
            sizeClass += 1
            position = 0
        }
        return nil
    }

    /// Walks at most `slotCountMax` places after `start`, calling `body` for every occupied slot; returns where to go
    /// on, nil at the end.
    ///
    /// Bounds the work of one slice also where the table is sparse.
    public func walk(after start: Slot?, slotCountMax: Int, _ body: (Slot, SlotHeader) -> Void) -> Slot? {
        var sizeClass = start?.sizeClass ?? 0
        var position = start.map { $0.index + 1 } ?? 0
        var left = slotCountMax
        while sizeClass < 8 {
            let end = min(store.used(sizeClass: sizeClass), position + left)
            left -= max(end - position, 0)
            while position < end {
                let slot = Slot(sizeClass: sizeClass, index: position)
                let header = store[slot]
                if header.flags.contains(.occupied) { body(slot, header) }
                position += 1
            }
            if left <= 0 {
                return position > 0 ? Slot(sizeClass: sizeClass, index: position - 1) : start
            }
            sizeClass += 1
            position = 0
        }
        return nil
    }

    /// The live flows among the next places whose records are no longer what was written; the walk begins anew at its
    /// end.
    func damagedSlots(after position: inout Slot?, slotCountMax: Int) -> [Slot] {
        var damaged: [Slot] = []
        position = walk(after: position, slotCountMax: slotCountMax) { slot, header in
            if !header.flags.contains(.dead), !isIntact(slot) { damaged.append(slot) }
        }
        return damaged
    }

    private mutating func copy(_ record: RawSpan, byteCount: Int, to slot: Slot) {
        var target = store.mutableBytes(of: slot)
        target.storeWords(of: record, byteCount: byteCount, at: 0)
    }

    // MARK: Digests

    /// The sums over an owner's live flows, those of its buckets too.
    ///
    /// Walks the table if there are none yet, or none any more (see `BucketDigests`): 13 ms for a million flows.
    mutating func digests(owner: UInt16) -> BucketDigests {
        let index = Int(owner)
        guard index < digests.count else { return BucketDigests() }
        if digests[index].hasBuckets {
            digests[index].keepBuckets()
        } else {
            var sums = [UInt64](repeating: 0, count: BucketDigests.bucketCount)
            _ = walk(after: nil, slotCountMax: .max) { _, header in
                guard header.owner == owner, !header.flags.contains(.dead) else { return }
                sums[Int(header.bucket)] &+= header.digest
            }
            digests[index].setBuckets(sums)
        }
        return digests[index]
    }

    /// The sum over all of an owner's live flows, and their number.
    public func total(owner: UInt16) -> (digest: UInt64, flowCount: Int) {
        guard Int(owner) < digests.count else { return (0, 0) }
        return (digests[Int(owner)].total, digests[Int(owner)].flowCount)
    }

    /// Gives a flow to another owner.
    public mutating func setOwner(_ owner: UInt16, of slot: Slot) {
        guard store[slot].owner != owner else { return }
        let header = store[slot]
        store[slot].owner = owner
        guard !header.flags.contains(.dead) else { return }
        digests[Int(header.owner)].subtract(header.digest, bucket: header.bucket)
        makeRoom(owner)
        digests[Int(owner)].add(header.digest, bucket: header.bucket)
    }

    /// Lets the sums say what the flow's record now is, however it came to be so.
    mutating func sumAnew(_ slot: Slot) {
        subtractDigest(slot)
        addDigest(slot)
    }

    /// Whether a live flow's record still is what was written.
    func isIntact(_ slot: Slot) -> Bool {
        let bytes = store.bytes(of: slot)
        return isValid(slot) && FlowRecordView(bytes).digest == store[slot].digest
    }

    /// Whether a flow's record can be read at all.
    func isValid(_ slot: Slot) -> Bool {
        (try? FlowRecord.validate(store.bytes(of: slot))) != nil
    }

    /// Flips one bit of the first live flow's mark and nothing else: a memory fault, for tests of what finds it.
    ///
    /// False if there is no flow.
    mutating func damageFirst() -> Bool {
        var position = next(after: nil)
        while let slot = position, store[slot].flags.contains(.dead) { position = next(after: slot) }
        guard let slot = position else { return false }
        let mark = record(at: slot).mark
        var bytes = store.mutableBytes(of: slot)
        bytes.storeWord((mark ^ 1).littleEndian, at: FlowRecord.Offset.mark)
        return true
    }

    private mutating func addDigest(_ slot: Slot) {
        guard !store[slot].flags.contains(.dead) else { return }
        let digest = FlowRecordView(store.bytes(of: slot)).digest
        store[slot].digest = digest
        let header = store[slot]
        makeRoom(header.owner)
        digests[Int(header.owner)].add(digest, bucket: header.bucket)
    }

    private mutating func subtractDigest(_ slot: Slot) {
        let header = store[slot]
        guard !header.flags.contains(.dead) else { return }
        digests[Int(header.owner)].subtract(header.digest, bucket: header.bucket)
    }

    private mutating func makeRoom(_ owner: UInt16) {
        while digests.count <= Int(owner) { digests.append(BucketDigests()) }
    }
}
