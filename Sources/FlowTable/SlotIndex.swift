// Fenced: one allocation of 64-bit words.
//
// Invariant: `words` points to `mask + 1` initialised words (a power of two); every access masks its position. At most
// three quarters of the words are in use, so every probe ends at an empty one.

/// Open addressing from an identity's hash to its slot: linear probing, backward-shift deletion.
///
/// A word is hash (high half) and slot + 1 (low half); 0 is empty. The hash is kept whole, so growing touches no slot.
@safe
struct SlotIndex: ~Copyable {
    private var words: UnsafeMutablePointer<UInt64>
    private var mask: Int
    private(set) var count = 0

    init(capacity: Int = 1024) {
        precondition(capacity > 0 && capacity & (capacity - 1) == 0, "capacity must be a power of two: \(capacity)")
        mask = capacity - 1
        unsafe words = .allocate(capacity: capacity)
        unsafe words.initialize(repeating: 0, count: capacity)
    }

    deinit {
        unsafe words.deallocate()
    }

    var allocatedByteCount: Int { (mask + 1) * 8 }

    private func word(_ position: Int) -> UInt64 {
        unsafe words[position & mask]
    }

    /// What a search for `hash` reads first.
    @inline(__always)
    func firstWord(hash: UInt32) -> UInt64 { word(Int(hash)) }

    /// The first slot under `hash` that `matches`.
    func find(hash: UInt32, where matches: (Slot) -> Bool) -> Slot? {
        var position = Int(hash) & mask
        while true {
            let word = word(position)
            if word == 0 { return nil }
            if UInt32(truncatingIfNeeded: word >> 32) == hash {
                let slot = Slot(rawValue: UInt32(truncatingIfNeeded: word) - 1)
                if matches(slot) { return slot }
            }
            position = (position + 1) & mask
        }
    }

    /// Adds a slot that is not there yet.
    mutating func insert(_ slot: Slot, hash: UInt32) {
        if (count + 1) * 4 > (mask + 1) * 3 { grow() }
        place(UInt64(hash) << 32 | UInt64(slot.rawValue + 1))
        count += 1
    }

    private mutating func place(_ word: UInt64) {
        var position = Int(word >> 32) & mask
        while self.word(position) != 0 { position = (position + 1) & mask }
        unsafe words[position] = word
    }

    /// Lets `hash` lead to `new` where it led to `old`.
    mutating func replace(_ old: Slot, with new: Slot, hash: UInt32) {
        let position = position(of: old, hash: hash)
        unsafe words[position] = UInt64(hash) << 32 | UInt64(new.rawValue + 1)
    }

    /// Takes a slot out that is there.
    mutating func remove(_ slot: Slot, hash: UInt32) {
        var hole = position(of: slot, hash: hash)
        var next = (hole + 1) & mask
        while true {
            let word = word(next)
            if word == 0 { break }
            let home = Int(word >> 32) & mask
            // Move the word back if the hole lies on its way from home to where it is.
            if (next - home) & mask >= (next - hole) & mask {
                unsafe words[hole] = word
                hole = next
            }
            next = (next + 1) & mask
        }
        unsafe words[hole] = 0
        count -= 1
    }

    private func position(of slot: Slot, hash: UInt32) -> Int {
        let wanted = UInt64(hash) << 32 | UInt64(slot.rawValue + 1)
        var position = Int(hash) & mask
        while true {
            let word = word(position)
            precondition(word != 0, "slot \(slot.rawValue) is not in the index")
            if word == wanted { return position }
            position = (position + 1) & mask
        }
    }

    private mutating func grow() {
        let (old, oldCapacity) = unsafe (words, mask + 1)
        unsafe words = .allocate(capacity: oldCapacity * 2)
        unsafe words.initialize(repeating: 0, count: oldCapacity * 2)
        mask = oldCapacity * 2 - 1
        for position in 0..<oldCapacity {
            let word = unsafe old[position]
            if word != 0 { place(word) }
        }
        unsafe old.deallocate()
    }
}
