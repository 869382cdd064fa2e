public import Flow
public import FlowTable

/// The order in which a takeover puts the external cache into the kernel, handed out in batches.
///
/// In the order of their worth: assured flows that talked between their owner's last two dumps, so that no talking
/// connection waits for the silent ones, which are most; assured flows so young that the owner has perhaps not looked
/// twice yet; other assured flows; those that have hardly begun; and flows that have a master last, since the kernel
/// wants the master first.
public struct CommitOrder {
    /// A batch of records for the kernel's writer.
    public struct Batch: Sendable {
        /// Packed records back to back, their timeouts set to the seconds left.
        public var records: [UInt8] = []
        /// How many records there are.
        public var count = 0
        /// Flows left out because their time ran out after their owner was last heard.
        public var expiredCount = 0
    }

    private enum Pass: Int {
        case talking
        case young
        case assured
        case others
        case related
    }

    /// Seconds for a flow whose copy has run out although its owner still spoke for it.
    ///
    /// The owner's kernel refreshes timeouts without an event, so a flow that its owner had not deleted when it was
    /// last heard lives, whatever the copy's timeout says.
    public static let overdueTimeoutSeconds: UInt32 = 60

    /// Seconds for which a flow counts as young.
    public static let youngSeconds: UInt32 = 300

    private var pass: Pass? = .talking
    private var position: Slot?

    /// A walk from the start.
    public init() {}

    /// The next flows to commit; nil when all are handed out.
    ///
    /// - Parameters:
    ///   - countMax: records in the batch.
    ///   - ownedUntil: when the peer with an index last spoke as the owner of its flows; `distantFuture` while it does.
    public mutating func next(
        from cache: borrowing ExternalCache,
        countMax: Int,
        now: Instant,
        ownedUntil: (UInt16) -> Instant
    ) -> Batch? {
        var batch = Batch()
        // After preloading there is mostly nothing left; four walks over a million flows take a tenth of a second.
        if cache.count == cache.mirroredCount { pass = nil }
        while let current = pass {
            while batch.count < countMax {
                guard let slot = cache.table.next(after: position) else {
                    advance(after: current)
                    break
                }
                position = slot
                let header = cache.table[slot]
                // What the kernel holds already was preloaded.
                guard header.flags.isDisjoint(with: [.dead, .mirrored]) else { continue }
                let view = cache.table.record(at: slot)
                let isYoung =
                    header.flags.contains(.announcedNew) && cache.activeSeconds(slot, now: now) < Self.youngSeconds
                guard Self.pass(of: view, isYoung: isYoung) == current else { continue }
                if let seconds = Self.timeout(header, now: now, ownedUntil: ownedUntil(header.owner)) {
                    cache.table.appendRecord(at: slot, timeoutSeconds: seconds, to: &batch.records)
                    batch.count += 1
                } else {
                    batch.expiredCount += 1
                }
            }
            if batch.count >= countMax { break }
        }
        return batch.count == 0 && batch.expiredCount == 0 ? nil : batch
    }

    private mutating func advance(after current: Pass) {
        position = nil
        pass = Pass(rawValue: current.rawValue + 1)
    }

    private static func pass(of view: FlowRecordView, isYoung: Bool) -> Pass {
        if view.hasMaster { return .related }
        guard view.status.contains(.assured) else { return .others }
        if view.isTalking { return .talking }
        return isYoung ? .young : .assured
    }

    /// Seconds to commit a flow with; nil if it is over.
    static func timeout(_ header: SlotHeader, now: Instant, ownedUntil: Instant) -> UInt32? {
        if header.deadline > now { return max(header.deadline.secondsLeft(at: now), 1) }
        return header.deadline <= ownedUntil ? overdueTimeoutSeconds : nil
    }
}
