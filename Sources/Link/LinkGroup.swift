public import SystemIO

/// The sync links of a node, one to four, in the order of the configuration.
///
/// All are driven alike and none knows of the others: which of them carries the load is decided above, from what the
/// peers report to hear.
///
/// How to drive it: `refresh(with:now:)` at the start, whenever the `InterfaceMonitor` reports a change, and every
/// second or so while a link is not live; `step(now:)` when `nextDeadline()` has come; `receive(_:into:)` when a link's
/// descriptor is readable. Ask for `nextDeadline()` after each of these and after `send`: all can change it.
public struct LinkGroup: ~Copyable {
    /// More links than this are no use.
    public static let linkCountMax = 4

    /// Noncopyable values cannot go into an array.
    private final class Box {
        var link: SyncLink

        init(_ settings: LinkSettings) {
            link = SyncLink(settings)
        }
    }

    private let boxes: [Box]
    private let hasTCP: Bool

    /// Links that are not live yet: one to four.
    public init(_ settings: [LinkSettings]) {
        precondition((1...LinkGroup.linkCountMax).contains(settings.count), "\(settings.count) links")
        boxes = settings.map(Box.init)
        hasTCP = settings.contains { if case .tcp = $0.transport { true } else { false } }
    }

    /// The number of links.
    public var count: Int { boxes.count }

    /// What link `index` was made for.
    public func settings(_ index: Int) -> LinkSettings { boxes[index].link.settings }

    /// Whether link `index` has its sockets open.
    public func isLive(_ index: Int) -> Bool { boxes[index].link.isLive }

    /// Bit i: link i can send to somebody now.
    ///
    /// For tcp that takes more than to be live: a connection must stand.
    public var liveMask: UInt8 {
        var mask: UInt8 = 0
        for index in boxes.indices where boxes[index].link.canSend { mask |= 1 << UInt8(index) }
        return mask
    }

    /// How link `index` is, in words.
    public func stateText(_ index: Int) -> String { boxes[index].link.stateText }

    /// All counters of link `index`.
    public func counters(_ index: Int) -> LinkCounters { boxes[index].link.counters }

    /// The descriptor of link `index` to watch for reading; nil while it is not live.
    public func descriptor(_ index: Int) -> Int32? { boxes[index].link.descriptor }

    /// Bytes that a datagram may carry over whichever link: the smallest of all links' limits.
    ///
    /// A link that is not live counts as it was last, so that it can take over the moment it is back.
    public var payloadByteCountMax: Int {
        var smallest = LinkPlan.payloadByteCountLimit
        for box in boxes { smallest = min(smallest, box.link.payloadByteCountMax) }
        return smallest
    }

    /// Opens, closes or reopens the links as the interfaces now are, and says which of them changed.
    public mutating func refresh(
        with interfaces: [Interface],
        now: UInt64
    ) -> [(index: Int, change: LinkChange)] {
        var changes: [(index: Int, change: LinkChange)] = []
        for (index, box) in boxes.enumerated() {
            if let change = box.link.refresh(with: interfaces) { changes.append((index, change)) }
        }
        // A tcp link that was opened dials at once.
        step(now: now)
        return changes
    }

    /// Dials, gives up and dials again what the tcp links connect to; `now` is monotonic, in nanoseconds.
    ///
    /// Costs nothing without a tcp link.
    public mutating func step(now: UInt64) {
        guard hasTCP else { return }
        for box in boxes { box.link.step(now: now) }
    }

    /// When `step` wants to run: nil if there is nothing to wait for, a time in the past for at once.
    public func nextDeadline() -> UInt64? {
        guard hasTCP else { return nil }
        var earliest: UInt64?
        for box in boxes {
            guard let deadline = box.link.nextDeadline() else { continue }
            earliest = min(earliest ?? deadline, deadline)
        }
        return earliest
    }

    /// Takes up to 64 datagrams from link `index` and returns how many are in the batch.
    ///
    /// 0 does not mean that nothing is left: go on while `batch.isFull`.
    public mutating func receive(_ index: Int, into batch: inout ReceiveBatch) throws(SystemError) -> Int {
        try boxes[index].link.receive(into: &batch)
    }

    /// Sends the batch's datagrams over link `index`; the batch stays as it is.
    public mutating func send(_ batch: borrowing SendBatch, over index: Int) {
        boxes[index].link.send(batch)
    }
}
