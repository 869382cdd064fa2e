public import Flow

/// What is known of how this node's copy of a peer's flows compares with the peer's own.
struct Comparison {
    /// Between two repairs of which the first found nothing to mend: somebody else changes what it mends.
    static let pauseMillisecondsMin: UInt64 = 1_000
    static let pauseDoublingsMax: UInt64 = 5
    /// Searches in a row that may follow each other at once although the copy never becomes equal.
    static let searchCountMax = 3

    var verifiedAt: Instant?
    /// Flows that differ, as far as it is known.
    var differingFlowCount = 0
    var repair: Repair? { didSet { isRepairing = repair != nil } }
    /// Whether there is a repair: asked for every peer at every turn, where looking at the repair would copy it.
    private(set) var isRepairing = false
    var lastRepair: RepairReport?
    var repairCount: UInt64 = 0
    /// The next repair's token.
    var nextToken: UInt32 = 0
    var pausedUntil = Instant(nanoseconds: 0)
    private var fruitlessCount: UInt64 = 0
    private var searchCount = 0
    /// What searches have mended since the copy was last equal, and when the first began.
    private var unproven: RepairReport?

    mutating func beginRepair(now: Instant) {
        repair = Repair(token: nextToken, now: now)
        nextToken &+= 1
    }

    /// Ends a search that has been answered to its end, or has found nothing that differs.
    mutating func endRepair(now: Instant) {
        guard let done = repair else { return }
        repair = nil
        var sum = unproven ?? RepairReport(flowCount: 0, byteCount: 0, milliseconds: 0, at: done.startedAt)
        sum.flowCount += done.flowCount
        sum.byteCount += done.byteCount
        unproven = sum
        searchCount += 1
        if done.flowCount == 0 {
            fruitlessCount = min(fruitlessCount + 1, Self.pauseDoublingsMax)
            pausedUntil = now.advanced(byMilliseconds: Self.pauseMillisecondsMin << (fruitlessCount - 1))
        } else if searchCount > Self.searchCountMax {
            pausedUntil = now.advanced(byMilliseconds: Self.pauseMillisecondsMin)
        }
    }

    /// Notes that the copy is equal; returns what was mended for that, if anything.
    mutating func agree(now: Instant) -> RepairReport? {
        endRepair(now: now)
        verifiedAt = now
        differingFlowCount = 0
        fruitlessCount = 0
        searchCount = 0
        pausedUntil = Instant(nanoseconds: 0)
        guard var report = unproven else { return nil }
        unproven = nil
        guard report.flowCount > 0 else { return nil }
        report.milliseconds = now.milliseconds(since: report.at)
        report.at = now
        lastRepair = report
        repairCount += 1
        return report
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
