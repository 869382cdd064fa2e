import Flow

// Fenced: raw memory of the slots.
//
// Invariants: `classes` points to 8 initialised size classes, and the `chunks` of each to as many chunks as its `used`
// slots need. A chunk is `slotsPerChunk` slots of its class's stride, 16-byte aligned, and lives until the store is
// destroyed. A slot is zero-filled when it is handed out for the first time, and `address(of:)` checks the index
// against what was handed out: no slot number, however stale, reaches outside or finds bytes that nobody has written. A
// slot is a `SlotHeader` followed by `capacity` bytes of record.

/// Slots of a few sizes in large chunks: a million flows without a million allocations.
@safe
struct SlabStore: ~Copyable {
    /// Record capacities, bytes, per size class: IPv4 plain, IPv4 with one and with two translations, IPv6 plain,
    /// IPv6 with translation, with helper or labels, everything this version writes, and whatever a newer one sends.
    static let capacity: [8 of Int] = [32, 40, 56, 72, 104, 152, 224, 1020]
    static let headerByteCount = MemoryLayout<SlotHeader>.stride
    private static let slotsPerChunkShift = 12

    /// Plain numbers and pointers: an array of arrays costs a retain, a release and three bounds checks per access.
    @safe
    private struct SizeClass {
        let capacity: Int
        let stride: Int
        var chunks: UnsafeMutablePointer<UnsafeMutableRawPointer>
        var chunkCapacity: Int
        /// Slots ever handed out; those below may be free and in the free list.
        var used = 0
        /// First free slot, linked through `SlotHeader.sequence` (index + 1; 0 ends the list).
        var freeHead: UInt64 = 0

        var chunkCount: Int { (used + (1 << slotsPerChunkShift - 1)) >> slotsPerChunkShift }
    }

    private let classes: UnsafeMutablePointer<SizeClass>

    init() {
        unsafe classes = .allocate(capacity: 8)
        for index in 0..<8 {
            let capacity = Self.capacity[index]
            let sizeClass = unsafe SizeClass(
                capacity: capacity,
                stride: (Self.headerByteCount + capacity + 7) & ~7,
                chunks: .allocate(capacity: 16),
                chunkCapacity: 16
            )
            unsafe (classes + index).initialize(to: sizeClass)
        }
    }

    deinit {
        for index in 0..<8 {
            for chunk in 0..<(unsafe classes[index].chunkCount) { unsafe classes[index].chunks[chunk].deallocate() }
            unsafe classes[index].chunks.deallocate()
        }
        unsafe classes.deallocate()
    }

    /// The smallest class whose records hold `byteCount` bytes.
    static func sizeClass(for byteCount: Int) -> Int {
        var sizeClass = 0
        while capacity[sizeClass] < byteCount { sizeClass += 1 }
        return sizeClass
    }

    /// Slots of a class ever handed out.
    func used(sizeClass: Int) -> Int { unsafe classes[sizeClass & 7].used }

    /// Bytes allocated for slots.
    var allocatedByteCount: Int {
        var total = 0
        for index in 0..<8 {
            unsafe total += classes[index].chunkCount * classes[index].stride << Self.slotsPerChunkShift
        }
        return total
    }

    @inline(__always)
    private func address(of slot: Slot) -> UnsafeMutableRawPointer {
        // Three bits: always one of the eight.
        let sizeClass = unsafe classes + slot.sizeClass
        let index = slot.index
        precondition(unsafe index < sizeClass.pointee.used, "slot \(slot.rawValue) was never handed out")
        let chunk = unsafe sizeClass.pointee.chunks[index >> Self.slotsPerChunkShift]
        return unsafe chunk + (index & (1 << Self.slotsPerChunkShift - 1)) * sizeClass.pointee.stride
    }

    /// The header of a slot that was handed out at some time.
    subscript(slot: Slot) -> SlotHeader {
        @inline(__always)
        _read {
            yield unsafe address(of: slot).assumingMemoryBound(to: SlotHeader.self).pointee
        }
        @inline(__always)
        _modify {
            yield unsafe &address(of: slot).assumingMemoryBound(to: SlotHeader.self).pointee
        }
    }

    /// The record bytes of a slot, as many as its class holds.
    @_lifetime(borrow self)
    @inline(__always)
    func bytes(of slot: Slot) -> RawSpan {
        let start = unsafe UnsafeRawPointer(address(of: slot) + Self.headerByteCount)
        let span = unsafe RawSpan(_unsafeStart: start, byteCount: classes[slot.sizeClass].capacity)
        return unsafe _overrideLifetime(span, borrowing: self)
    }

    /// The record bytes of a slot, for writing.
    @_lifetime(&self)
    @inline(__always)
    mutating func mutableBytes(of slot: Slot) -> MutableRawSpan {
        let start = unsafe address(of: slot) + Self.headerByteCount
        let span = unsafe MutableRawSpan(_unsafeStart: start, byteCount: classes[slot.sizeClass].capacity)
        return unsafe _overrideLifetime(span, mutating: &self)
    }

    /// Takes a free slot of a class; its header is that of a free slot.
    mutating func take(sizeClass: Int) -> Slot {
        let taken = unsafe classes + sizeClass & 7
        let head = unsafe taken.pointee.freeHead
        if head != 0 {
            let slot = Slot(sizeClass: sizeClass, index: Int(head - 1))
            unsafe taken.pointee.freeHead = self[slot].sequence
            self[slot] = SlotHeader()
            return slot
        }
        let index = unsafe taken.pointee.used
        if unsafe index >> Self.slotsPerChunkShift == taken.pointee.chunkCount { addChunk(sizeClass & 7) }
        unsafe taken.pointee.used = index + 1
        let slot = Slot(sizeClass: sizeClass, index: index)
        // Not for the whole chunk at once: here its memory is in the cache (4 % of what a transfer costs the receiver).
        unsafe address(of: slot).initializeMemory(as: UInt8.self, repeating: 0, count: taken.pointee.stride)
        self[slot] = SlotHeader()
        return slot
    }

    private mutating func addChunk(_ sizeClass: Int) {
        let (count, capacity) = unsafe (classes[sizeClass].chunkCount, classes[sizeClass].chunkCapacity)
        if count == capacity {
            let larger = UnsafeMutablePointer<UnsafeMutableRawPointer>.allocate(capacity: capacity * 2)
            unsafe larger.moveInitialize(from: classes[sizeClass].chunks, count: count)
            unsafe classes[sizeClass].chunks.deallocate()
            unsafe classes[sizeClass].chunks = larger
            unsafe classes[sizeClass].chunkCapacity = capacity * 2
        }
        let byteCount = unsafe classes[sizeClass].stride << Self.slotsPerChunkShift
        let chunk = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 16)
        unsafe (classes[sizeClass].chunks + count).initialize(to: chunk)
    }

    /// Gives a slot back.
    mutating func give(_ slot: Slot) {
        precondition(self[slot].flags.contains(.occupied), "slot \(slot.rawValue) is free already")
        self[slot] = SlotHeader()
        self[slot].sequence = unsafe classes[slot.sizeClass].freeHead
        unsafe classes[slot.sizeClass].freeHead = UInt64(slot.index + 1)
    }
}
