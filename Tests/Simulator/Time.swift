import Flow

/// Virtual time as an outside observer sees it, in nanoseconds.
typealias Moment = UInt64

let millisecond: Moment = 1_000_000
let second: Moment = 1_000_000_000

/// A node's own monotonic clock: it starts anywhere, runs at its own rate and may jump ahead, as after a suspension.
struct NodeClock {
    private var anchor: Moment
    private var localAnchor: UInt64
    /// Local nanoseconds in 1,024 of the observer's.
    let rate: UInt64

    init(at moment: Moment, startingAt local: UInt64, rate: UInt64) {
        anchor = moment
        localAnchor = local
        self.rate = rate
    }

    func now(at moment: Moment) -> Instant {
        Instant(nanoseconds: localAnchor + (moment - anchor) / 1024 * rate + (moment - anchor) % 1024 * rate / 1024)
    }

    /// The first moment at which the clock shows `instant` or more; nil if that is beyond any run.
    func moment(of instant: Instant) -> Moment? {
        guard instant.nanoseconds > localAnchor else { return anchor }
        let ahead = instant.nanoseconds - localAnchor
        guard ahead < 1 << 52 else { return nil }
        return anchor + (ahead * 1024 + rate - 1) / rate
    }

    mutating func jump(nanoseconds: UInt64, at moment: Moment) {
        localAnchor = now(at: moment).nanoseconds + nanoseconds
        anchor = moment
    }
}

/// What happens, ordered by time; what happens at one moment, in the order in which it was scheduled.
struct Agenda<Event> {
    /// Small, since a heap moves its entries about: the events lie elsewhere.
    private struct Entry {
        var moment: Moment
        var order: UInt32
        var place: UInt32

        func precedes(_ other: Entry) -> Bool {
            moment != other.moment ? moment < other.moment : order < other.order
        }
    }

    private var heap: [Entry] = []
    private var events: [Event?] = []
    private var freePlaces: [UInt32] = []
    private var order: UInt32 = 0

    mutating func schedule(_ event: Event, at moment: Moment) {
        let place: UInt32
        if let free = freePlaces.popLast() {
            place = free
            events[Int(free)] = event
        } else {
            place = UInt32(events.count)
            events.append(event)
        }
        order += 1
        let entry = Entry(moment: moment, order: order, place: place)
        heap.append(entry)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard entry.precedes(heap[parent]) else { break }
            heap[child] = heap[parent]
            child = parent
        }
        heap[child] = entry
    }

    mutating func popFirst() -> (moment: Moment, event: Event)? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty { sink(last) }
        freePlaces.append(first.place)
        let event = events[Int(first.place)].take()
        return event.map { (first.moment, $0) }
    }

    /// Puts an entry into the heap, whose top is free.
    private mutating func sink(_ entry: Entry) {
        var parent = 0
        while true {
            var child = 2 * parent + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].precedes(heap[child]) { child += 1 }
            guard heap[child].precedes(entry) else { break }
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = entry
    }
}
