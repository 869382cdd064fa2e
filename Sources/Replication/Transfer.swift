import Flow
import FlowTable

/// A walk over the whole internal cache that sends every flow once, within a budget, and knows when all of them have
/// been acknowledged: only then may the peer drop what the walk did not confirm.
struct Transfer {
    /// Bytes per millisecond: 40 MB/s, what a receiver on a small machine takes in beside its live load.
    static let byteCountPerMillisecond = 40_000
    /// Bytes that may go out at once after a pause.
    static let burstByteCount = 128_000

    struct Request: Equatable {
        var peer: Int
        var nodeID: UInt32
        var token: UInt32
    }

    /// Whose requests this walk answers; none if an operator asked for it.
    var requests: [Request]
    /// The last slot the walk has seen.
    var position: Slot?
    var isWalked: Bool
    /// Flows sent by this walk that are not yet acknowledged (`SlotHeader.Flags.bulkPending`).
    var pendingCount = 0
    var flowCount: UInt32 = 0
    var budgetByteCount = burstByteCount
    var refilledAt = Instant(nanoseconds: 0)

    init(requests: [Request], isWalked: Bool) {
        self.requests = requests
        self.isWalked = isWalked
    }

    /// When the budget grows next.
    ///
    /// In steps of a millisecond, so that what it pays for fills whole datagrams.
    var refillDueAt: Instant { refilledAt.advanced(byMilliseconds: 1) }

    mutating func refill(now: Instant) {
        guard refillDueAt <= now else { return }
        let microseconds = (now.nanoseconds - refilledAt.nanoseconds) / 1000
        let grown = budgetByteCount + Int(min(microseconds, 1_000_000)) * Self.byteCountPerMillisecond / 1000
        budgetByteCount = min(grown, Self.burstByteCount)
        refilledAt = now
    }
}
