/// A point on a node's own monotonic clock.
///
/// Unit: nanoseconds since an arbitrary start that does not change while the process lives. Never sent to a peer.
public struct Instant: Comparable, Hashable, BitwiseCopyable, Sendable {
    /// Nanoseconds since the clock's start.
    public var nanoseconds: UInt64

    /// The instant `nanoseconds` after the clock's start.
    @inlinable
    public init(nanoseconds: UInt64) {
        self.nanoseconds = nanoseconds
    }

    /// An instant that is never reached.
    public static let distantFuture = Instant(nanoseconds: .max)

    /// Whether `left` is before `right`.
    @inlinable
    public static func < (left: Instant, right: Instant) -> Bool {
        left.nanoseconds < right.nanoseconds
    }

    /// This instant moved on; it saturates at `distantFuture`.
    @inlinable
    public func advanced(byMilliseconds milliseconds: UInt64) -> Instant {
        let (product, overflow) = milliseconds.multipliedReportingOverflow(by: 1_000_000)
        let (sum, carried) = nanoseconds.addingReportingOverflow(product)
        return overflow || carried ? .distantFuture : Instant(nanoseconds: sum)
    }

    /// This instant moved on; it saturates at `distantFuture`.
    @inlinable
    public func advanced(bySeconds seconds: UInt32) -> Instant {
        advanced(byMilliseconds: UInt64(seconds) * 1_000)
    }

    /// Whole milliseconds since `earlier`; 0 if that is in the future.
    @inlinable
    public func milliseconds(since earlier: Instant) -> UInt64 {
        nanoseconds > earlier.nanoseconds ? (nanoseconds - earlier.nanoseconds) / 1_000_000 : 0
    }

    /// Whole seconds from `now` until this instant, rounded up; 0 if it has passed.
    @inlinable
    public func secondsLeft(at now: Instant) -> UInt32 {
        guard nanoseconds > now.nanoseconds else { return 0 }
        let seconds = (nanoseconds - now.nanoseconds + 999_999_999) / 1_000_000_000
        return UInt32(clamping: seconds)
    }
}
