public import Flow

/// What is known of how this node's copy of a peer's flows compares with the peer's own.
struct Comparison {
    /// Between two repairs of which the first found nothing to mend: somebody else changes what it mends.
    static let pauseMillisecondsMin: UInt64 = 1_000
    static let pauseDoublingsMax: UInt64 = 5

    var verifiedAt: Instant?
    /// Flows that differ, as far as it is known.
    var differingFlowCount = 0
    var repair: Repair?
    var lastRepair: RepairReport?
    var repairCount: UInt64 = 0
    /// The next repair's token.
    var nextToken: UInt32 = 0
    var pausedUntil = Instant(nanoseconds: 0)
    private var fruitlessCount: UInt64 = 0

    mutating func beginRepair(now: Instant) {
        repair = Repair(token: nextToken, now: now)
        nextToken &+= 1
    }

    /// Ends a repair that has been answered to its end, or has found nothing that differs.
    mutating func endRepair(now: Instant) -> RepairReport? {
        guard let done = repair else { return nil }
        repair = nil
        let report = RepairReport(
            flowCount: done.flowCount,
            byteCount: done.byteCount,
            milliseconds: now.milliseconds(since: done.startedAt),
            at: now
        )
        guard report.flowCount > 0 else {
            fruitlessCount = min(fruitlessCount + 1, Self.pauseDoublingsMax)
            pausedUntil = now.advanced(byMilliseconds: Self.pauseMillisecondsMin << (fruitlessCount - 1))
            return nil
        }
        lastRepair = report
        repairCount += 1
        return report
    }

    mutating func agree(now: Instant) {
        verifiedAt = now
        differingFlowCount = 0
        fruitlessCount = 0
        pausedUntil = Instant(nanoseconds: 0)
    }
}

/// What a repair did.
public struct RepairReport: Sendable {
    /// Flows sent again or removed.
    public var flowCount: Int
    /// Bytes of sums, lists and flows, both ways.
    public var byteCount: Int
    /// How long it took.
    public var milliseconds: UInt64
    /// When it ended.
    public var at: Instant
}
