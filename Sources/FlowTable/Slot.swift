public import Flow

/// Where a flow lies in a table: size class (top 3 bits) and index within it.
///
/// A slot stays valid until the flow is removed or its record outgrows the size class. Holding one longer is harmless
/// but says nothing: slabs are never given back, so it names some slot of the table for ever.
public struct Slot: Hashable, BitwiseCopyable, Sendable, Comparable {
    /// The packed form: class in bits 29…31, index in bits 0…28.
    public let rawValue: UInt32

    /// A slot of its packed form.
    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    @inlinable
    init(sizeClass: Int, index: Int) {
        rawValue = UInt32(sizeClass) << 29 | UInt32(index)
    }

    @usableFromInline var sizeClass: Int { Int(rawValue >> 29) }
    @usableFromInline var index: Int { Int(rawValue & (1 << 29 - 1)) }

    /// The order in which a table is walked.
    @inlinable
    public static func < (left: Slot, right: Slot) -> Bool { left.rawValue < right.rawValue }
}

/// What a table keeps beside a flow's record.
///
/// Plain numbers, 48 bytes.
public struct SlotHeader: BitwiseCopyable, Sendable {
    /// What is going on with the flow in the slot.
    public struct Flags: OptionSet, BitwiseCopyable, Sendable {
        /// The bits; internal to this process.
        public let rawValue: UInt16
        /// A set of the bits.
        @inlinable
        public init(rawValue: UInt16) { self.rawValue = rawValue }
        /// The slot holds a flow or a tombstone; without it the slot is free.
        public static let occupied = Flags(rawValue: 1 << 0)
        /// The flow is gone; the slot stays until everyone who must has learnt so.
        public static let dead = Flags(rawValue: 1 << 1)
        /// The slot waits to be sent.
        public static let queued = Flags(rawValue: 1 << 2)
        /// A bulk transfer counts on this slot's acknowledgement.
        public static let bulkPending = Flags(rawValue: 1 << 3)
        /// Everyone has learnt of the death; only a running dump still needs the tombstone.
        public static let settled = Flags(rawValue: 1 << 4)
        /// External cache: the kernel holds the flow already (`ExternalCache+Mirror.swift`).
        public static let mirrored = Flags(rawValue: 1 << 5)
        /// External cache: the kernel's copy of the flow is to be written anew.
        public static let changed = Flags(rawValue: 1 << 6)
        /// External cache: the flow was announced when it began, and is not one of a whole state that was sent later.
        public static let announcedNew = Flags(rawValue: 1 << 7)
    }

    /// When the flow expires, on this node's clock.
    public var deadline = Instant(nanoseconds: 0)
    /// Internal cache: the datagram that carried the flow's latest state, 0 = none.
    ///
    /// External: the one last applied.
    public var sequence: UInt64 = 0
    /// The low half of the identity's hash.
    public var hash: UInt32 = 0
    /// Seconds from the table's first instant to the flow's appearance.
    public var createdSeconds: UInt32 = 0
    /// Internal cache: the dump slice in which the kernel last spoke of the flow.
    ///
    /// External: when the kernel's copy of a mirrored flow runs out, seconds since the cache's start.
    public var touched: UInt32 = 0
    /// External cache: the transfer that last confirmed the flow.
    ///
    /// Internal: the claim under which it was taken.
    public var generation: UInt16 = 0
    /// External cache: the index of the peer that owns the flow.
    ///
    /// Internal: 0.
    public internal(set) var owner: UInt16 = 0
    /// The bucket of `BucketDigests` that the flow belongs to.
    public internal(set) var bucket: UInt16 = 0
    // Here, where two bytes are free: after the digest it would make the header 56 bytes.
    /// What is going on with the flow.
    public var flags: Flags = []
    /// What a live flow has added to the sums of its bucket: its record's digest when it was last written.
    public internal(set) var digest: UInt64 = 0

    /// A header of a free slot.
    @inlinable
    public init() {}
}
