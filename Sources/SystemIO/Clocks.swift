internal import Glibc

/// The clock that never jumps; it stands still while the machine sleeps.
public enum MonotonicClock {
    /// Nanoseconds since an arbitrary start (`CLOCK_MONOTONIC`).
    public static func nanoseconds() -> UInt64 {
        read(CLOCK_MONOTONIC)
    }
}

/// The time of day, for people and logs only: it may jump.
public enum WallClock {
    /// Nanoseconds since 1970 (`CLOCK_REALTIME`).
    public static func nanoseconds() -> UInt64 {
        read(CLOCK_REALTIME)
    }
}

private func read(_ clock: clockid_t) -> UInt64 {
    var time = timespec()
    // SAFETY: the pointer is to a local; both clocks exist on every Linux, so the call cannot fail.
    _ = unsafe clock_gettime(clock, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
