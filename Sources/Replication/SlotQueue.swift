import FlowTable

/// A first-in, first-out ring of slots that grows as needed.
struct SlotQueue: ~Copyable {
    private var slots: [Slot]
    private var head = 0
    private(set) var count = 0

    init(capacity: Int = 1024) {
        slots = Array(repeating: Slot(rawValue: 0), count: capacity)
    }

    var isEmpty: Bool { count == 0 }

    mutating func append(_ slot: Slot) {
        if count == slots.count { grow() }
        slots[(head + count) & (slots.count - 1)] = slot
        count += 1
    }

    /// The next slot, which stays in the queue.
    var first: Slot? { count > 0 ? slots[head] : nil }

    mutating func removeFirst() {
        precondition(count > 0, "the queue is empty")
        head = (head + 1) & (slots.count - 1)
        count -= 1
    }

    private mutating func grow() {
        var larger = Array(repeating: Slot(rawValue: 0), count: slots.count * 2)
        for index in 0..<count { larger[index] = slots[(head + index) & (slots.count - 1)] }
        slots = larger
        head = 0
    }
}
