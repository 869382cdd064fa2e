internal import Glibc

/// The lab's clock: `CLOCK_MONOTONIC`.
public enum Clock {
    /// Seconds since some moment before the lab.
    public static var seconds: Double { Double(nanoseconds) / 1e9 }

    /// Nanoseconds since some moment before the lab.
    public static var nanoseconds: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Sleeps.
    public static func sleep(seconds: Double) {
        usleep(UInt32(max(0, seconds) * 1e6))
    }
}

/// A small generator of known seed, so that a failing run can be repeated (SplitMix64).
public struct SeededRandom: RandomNumberGenerator, Sendable {
    /// The seed it was made of.
    public let seed: UInt64
    private var state: UInt64

    /// A generator of a seed.
    public init(seed: UInt64) {
        self.seed = seed
        state = seed
    }

    /// The next 64 random bits.
    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}

extension Double {
    /// The number with so many digits after the point.
    public func text(_ digits: Int) -> String {
        let scale = (0..<digits).reduce(1.0) { product, _ in product * 10 }
        let whole = Int((self * scale).rounded())
        let fraction = String(abs(whole) % Int(scale))
        guard digits > 0 else { return "\(whole)" }
        let sign = whole < 0 ? "-" : ""
        return "\(sign)\(abs(whole) / Int(scale)).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
    }
}
