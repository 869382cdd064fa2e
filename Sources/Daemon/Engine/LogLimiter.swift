internal import Flow
internal import Logging

/// Lets a message through once per cause and interval, and counts what it holds back.
struct LogLimiter {
    static let intervalMilliseconds: UInt64 = 10_000

    private var causes: [String: (at: Instant, heldBackCount: Int)] = [:]

    /// Whether a message of this cause may be written now, and how many were held back since the last one.
    mutating func admit(_ cause: String, now: Instant) -> Int? {
        if let last = causes[cause], now.milliseconds(since: last.at) < Self.intervalMilliseconds {
            causes[cause]?.heldBackCount += 1
            return nil
        }
        defer { causes[cause] = (now, 0) }
        return causes[cause]?.heldBackCount ?? 0
    }
}

extension Engine {
    /// Writes a line, at most once per cause and ten seconds.
    func logLimited(_ cause: String, level: Logger.Level = .warning, _ text: String) {
        guard let heldBackCount = refusals.admit(cause, now: now) else { return }
        logger.log(
            level: level,
            "\(text)\(heldBackCount > 0 ? " (and \(heldBackCount) times more since the last such line)" : "")"
        )
    }
}
