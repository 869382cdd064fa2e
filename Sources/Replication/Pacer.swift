import Flow

/// What may go out beside live changes: so many bytes per millisecond, and a burst after a pause.
struct Pacer {
    /// Bytes per millisecond: 80 MB/s, about what one core seals and sends; a receiver that is slower slows the sender
    /// down by its acknowledgements.
    static let byteCountPerMillisecond = 80_000
    /// Bytes that may go out at once after a pause.
    static let burstByteCount = 128_000

    private var budgetByteCount = burstByteCount
    private var refilledAt = Instant(nanoseconds: 0)

    var hasBudget: Bool { budgetByteCount > 0 }

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

    mutating func spend(_ byteCount: Int) { budgetByteCount -= byteCount }
}
