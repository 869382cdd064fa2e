import Flow

// Fenced: raw memory of the slots.
//
// Invariants: a chunk is `slotsPerChunk` slots of its class's stride, zero-filled when allocated (so every slot starts
// free), 16-byte aligned, and lives until the store is destroyed. `address(of:)` checks class and index against what
// was allocated, so no slot number, however stale, reaches outside. A slot is a `SlotHeader` followed by
// `capacity[class]` bytes of record.

/// Slots of a few sizes in large chunks: a million flows without a million allocations.
@safe
struct SlabStore: ~Copyable {
    /// Record capacities, bytes, per size class: IPv4 plain, IPv4 with one and with two translations, IPv6 plain,
    /// IPv6 with translation, with helper or labels, everything this version writes, and whatever a newer one sends.
    static let capacity: [8 of Int] = [32, 40, 56, 72, 104, 152, 224, 1020]
    static let headerByteCount = MemoryLayout<SlotHeader>.stride
    private static let slotsPerChunkShift = 12

    private var chunks: [8 of [UnsafeMutableRawPointer]] = unsafe .init(repeating: [])
    /// Slots ever handed out, per class; those below may be free and in the free list.
    private(set) var used: [8 of Int] = .init(repeating: 0)
    /// First free slot per class, linked through `SlotHeader.sequence` (index + 1; 0 ends the list).
    private var freeHead: [8 of UInt64] = .init(repeating: 0)

    init() {}

    deinit {
        for sizeClass in 0..<8 {
            for index in 0..<(unsafe chunks[sizeClass].count) { unsafe chunks[sizeClass][index].deallocate() }
        }
    }

    /// The smallest class whose records hold `byteCount` bytes.
    static func sizeClass(for byteCount: Int) -> Int {
        var sizeClass = 0
        while capacity[sizeClass] < byteCount { sizeClass += 1 }
        return sizeClass
    }

    private static func stride(_ sizeClass: Int) -> Int {
        (headerByteCount + capacity[sizeClass] + 7) & ~7
    }

    /// Bytes allocated for slots.
    var allocatedByteCount: Int {
        var total = 0
        for sizeClass in 0..<8 {
            unsafe total += chunks[sizeClass].count * Self.stride(sizeClass) << Self.slotsPerChunkShift
        }
        return total
    }

    private func address(of slot: Slot) -> UnsafeMutableRawPointer {
        let (sizeClass, index) = (slot.sizeClass, slot.index)
        precondition(index < used[sizeClass], "slot \(slot.rawValue) was never handed out")
        let chunk = unsafe chunks[sizeClass][index >> Self.slotsPerChunkShift]
        return unsafe chunk + (index & (1 << Self.slotsPerChunkShift - 1)) * Self.stride(sizeClass)
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
    func bytes(of slot: Slot) -> RawSpan {
        let start = unsafe UnsafeRawPointer(address(of: slot) + Self.headerByteCount)
        let span = unsafe RawSpan(_unsafeStart: start, byteCount: Self.capacity[slot.sizeClass])
        return unsafe _overrideLifetime(span, borrowing: self)
    }

    /// The record bytes of a slot, for writing.
    @_lifetime(&self)
    mutating func mutableBytes(of slot: Slot) -> MutableRawSpan {
        let start = unsafe address(of: slot) + Self.headerByteCount
        let span = unsafe MutableRawSpan(_unsafeStart: start, byteCount: Self.capacity[slot.sizeClass])
        return unsafe _overrideLifetime(span, mutating: &self)
    }

    /// Takes a free slot of a class; its header is that of a free slot.
    mutating func take(sizeClass: Int) -> Slot {
        let head = freeHead[sizeClass]
        if head != 0 {
            let slot = Slot(sizeClass: sizeClass, index: Int(head - 1))
            freeHead[sizeClass] = self[slot].sequence
            self[slot] = SlotHeader()
            return slot
        }
        let index = used[sizeClass]
        let chunkCount = unsafe chunks[sizeClass].count
        if index >> Self.slotsPerChunkShift == chunkCount {
            let byteCount = Self.stride(sizeClass) << Self.slotsPerChunkShift
            let chunk = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 16)
            unsafe chunk.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
            unsafe chunks[sizeClass].append(chunk)
        }
        used[sizeClass] = index + 1
        let slot = Slot(sizeClass: sizeClass, index: index)
        self[slot] = SlotHeader()
        return slot
    }

    /// Gives a slot back.
    mutating func give(_ slot: Slot) {
        precondition(self[slot].flags.contains(.occupied), "slot \(slot.rawValue) is free already")
        self[slot] = SlotHeader()
        self[slot].sequence = freeHead[slot.sizeClass]
        freeHead[slot.sizeClass] = UInt64(slot.index + 1)
    }
}
