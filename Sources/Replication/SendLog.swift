import Flow
import FlowTable

/// The datagrams under way: which flows each carried and which peers have yet to acknowledge it.
///
/// A datagram is resolved when every peer has acknowledged it, or when it is given up as lost: what is sent again is
/// the flows' state now, in a new datagram (DESIGN §2, "latest state wins"). A flow whose slot carries a later sequence
/// than the datagram has been sent again already; the log leaves it alone.
struct SendLog: ~Copyable {
    /// Datagrams under way at most; below the receiver's window, so none is ever refused for being too far ahead.
    static let datagramCountMax: UInt64 = 2048
    /// Bytes under way at most: what fits into the receiver's socket buffer (8 MiB, of which the kernel charges about
    /// twice the payload) with room to spare.
    static let byteCountMax = 3 << 20
    private static let slotCountMax = 1 << 18

    struct Datagram {
        var sentAt = Instant(nanoseconds: 0)
        var awaiting: UInt64 = 0
        var firstSlot: UInt64 = 0
        var slotCount: UInt32 = 0
        var byteCount: UInt32 = 0
        var isResolved = true
    }

    private var datagrams = Array(repeating: Datagram(), count: Int(datagramCountMax))
    private var slots = Array(repeating: Slot(rawValue: 0), count: slotCountMax)
    /// Beside each slot, whether something waits for its acknowledgement; of the others not even the header is read (a
    /// fifth off what acknowledgements cost).
    private var isAwaited = Array(repeating: false, count: slotCountMax)
    /// The next datagram's number.
    private(set) var next: UInt64 = 1
    /// The first datagram that is not resolved; `next` if all are.
    private(set) var floor: UInt64 = 1
    private(set) var inFlightByteCount = 0
    private var slotNext: UInt64 = 0
    private var slotFloor: UInt64 = 0
    private var openSlotCount: UInt32 = 0

    init() {}

    var isEmpty: Bool { floor == next }
    var inFlightCount: Int { Int(next - floor) }

    /// Whether another datagram with `slotCount` flows may be sent.
    func hasRoom(forSlotCount slotCount: Int) -> Bool {
        next - floor < Self.datagramCountMax && inFlightByteCount < Self.byteCountMax
            && Int(slotNext - slotFloor) + slotCount <= Self.slotCountMax
    }

    func datagram(_ sequence: UInt64) -> Datagram {
        datagrams[Int(sequence % Self.datagramCountMax)]
    }

    /// Notes that the datagram under construction (number `next`) carries a slot's state.
    mutating func note(_ slot: Slot, isAwaited: Bool) {
        slots[Int(slotNext % UInt64(Self.slotCountMax))] = slot
        self.isAwaited[Int(slotNext % UInt64(Self.slotCountMax))] = isAwaited
        slotNext += 1
        openSlotCount += 1
    }

    /// Something waits for the acknowledgement of the slot noted last.
    mutating func awaitLast() {
        isAwaited[Int((slotNext - 1) % UInt64(Self.slotCountMax))] = true
    }

    /// Closes the datagram under construction and returns its number.
    mutating func close(byteCount: Int, awaiting: UInt64, now: Instant) -> UInt64 {
        let sequence = next
        datagrams[Int(sequence % Self.datagramCountMax)] = Datagram(
            sentAt: now,
            awaiting: awaiting,
            firstSlot: slotNext - UInt64(openSlotCount),
            slotCount: openSlotCount,
            byteCount: UInt32(byteCount),
            isResolved: false
        )
        inFlightByteCount += byteCount
        openSlotCount = 0
        next += 1
        return sequence
    }

    /// Takes peers out of those that a datagram waits for.
    ///
    /// - Returns: whether that resolved it; its slots are then to be read before anything else is
    ///   sent.
    mutating func acknowledge(_ sequence: UInt64, peers: UInt64) -> Bool {
        guard sequence >= floor, sequence < next else { return false }
        let index = Int(sequence % Self.datagramCountMax)
        guard !datagrams[index].isResolved, datagrams[index].awaiting & peers != 0 else { return false }
        datagrams[index].awaiting &= ~peers
        guard datagrams[index].awaiting == 0 else { return false }
        resolve(sequence)
        return true
    }

    /// Marks a datagram as resolved, however that came about.
    mutating func resolve(_ sequence: UInt64) {
        let index = Int(sequence % Self.datagramCountMax)
        precondition(!datagrams[index].isResolved, "datagram \(sequence) is resolved already")
        datagrams[index].isResolved = true
        inFlightByteCount -= Int(datagrams[index].byteCount)
    }

    /// Moves the floor over what is resolved.
    ///
    /// To be called after the resolved datagrams' slots were read.
    mutating func advanceFloor() {
        while floor < next {
            let datagram = datagram(floor)
            guard datagram.isResolved else { break }
            slotFloor = datagram.firstSlot + UInt64(datagram.slotCount)
            floor += 1
        }
    }

    /// Whether something waits for the acknowledgement of a datagram's slot.
    func isAwaited(_ index: UInt32, of datagram: Datagram) -> Bool {
        isAwaited[Int((datagram.firstSlot + UInt64(index)) % UInt64(Self.slotCountMax))]
    }

    func slot(_ index: UInt32, of datagram: Datagram) -> Slot {
        slots[Int((datagram.firstSlot + UInt64(index)) % UInt64(Self.slotCountMax))]
    }
}
