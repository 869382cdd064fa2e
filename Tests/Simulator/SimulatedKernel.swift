/// A node's connection tracking table, and what its event socket and its dumps tell of it.
///
/// The kernel is the truth: what the caches of a run are held against at its end.
struct SimulatedKernel {
    enum EventKind { case new, update, destroy }

    struct Event {
        var kind: EventKind
        var number: Int
        var stamp: UInt32
    }

    /// By flow number: the stamp of its state, 0 if the kernel has no such flow.
    private(set) var stamps: [UInt32]
    private(set) var count = 0
    /// Events that wait in the socket's buffer.
    private var events: [Event] = []
    /// Events in a thousand that get lost unnoticed.
    var silentLossPermille = 0

    init(flowNumberCount: Int) {
        stamps = Array(repeating: 0, count: flowNumberCount)
    }

    mutating func set(_ number: Int, _ stamp: UInt32, _ random: inout SeededRandom) {
        let isNew = stamps[number] == 0
        if isNew { count += 1 }
        stamps[number] = stamp
        append(Event(kind: isNew ? .new : .update, number: number, stamp: stamp), &random)
    }

    mutating func remove(_ number: Int, _ random: inout SeededRandom) {
        guard stamps[number] != 0 else { return }
        append(Event(kind: .destroy, number: number, stamp: stamps[number]), &random)
        stamps[number] = 0
        count -= 1
    }

    private mutating func append(_ event: Event, _ random: inout SeededRandom) {
        if silentLossPermille > 0, random.chance(permille: silentLossPermille) { return }
        events.append(event)
    }

    mutating func takeEvents() -> [Event] {
        defer { events.removeAll(keepingCapacity: true) }
        return events
    }

    /// The socket's buffer overruns: from some event on, those that wait are lost, and the reader is told so.
    mutating func overrun(_ random: inout SeededRandom) {
        events.removeLast(events.isEmpty ? 0 : random.number(1...events.count))
    }

    /// What a dump shows after `cursor`, at most `countMax` flows; moves the cursor, nil at the end.
    func dump(after cursor: inout Int?, countMax: Int) -> [(number: Int, stamp: UInt32)] {
        var found: [(number: Int, stamp: UInt32)] = []
        guard var position = cursor else { return found }
        while position < stamps.count, found.count < countMax {
            if stamps[position] != 0 { found.append((position, stamps[position])) }
            position += 1
        }
        cursor = position < stamps.count ? position : nil
        return found
    }

    /// The machine restarts.
    mutating func removeAll() {
        stamps = Array(repeating: 0, count: stamps.count)
        count = 0
        events.removeAll()
    }

    /// The daemon restarts: what its socket held is gone.
    mutating func dropEvents() { events.removeAll() }
}
