/// Which of a session's last 4,096 counters have been seen.
///
/// A ring with one bit per counter (RFC 6479). It has one word more than 4,096 bits need: the window seldom begins at a
/// word's first bit, and words are cleared as a whole when the window moves on.
struct ReplayWindow: Equatable {
    /// What is known of a counter.
    enum Verdict: Equatable {
        /// It has not been seen.
        case fresh
        /// It has been seen.
        case replayed
        /// It lies below the window: nobody remembers whether it has been seen.
        case tooOld
    }

    /// How many counters back from the highest one are told apart.
    static let counterCount: UInt64 = 4_096

    private static let wordCount = counterCount / 64 + 1

    /// The highest counter seen; 0, which is no counter, if there is none yet.
    private(set) var highest: UInt64 = 0

    private var words = [UInt64](repeating: 0, count: Int(wordCount))

    /// What is known of `counter`.
    func verdict(on counter: UInt64) -> Verdict {
        guard counter <= highest else { return .fresh }
        guard highest - counter < Self.counterCount else { return .tooOld }
        return words[Self.index(of: counter)] & Self.bit(of: counter) == 0 ? .fresh : .replayed
    }

    /// Notes that `counter` has been seen; it must be fresh.
    mutating func insert(_ counter: UInt64) {
        precondition(verdict(on: counter) == .fresh, "counter \(counter) of \(highest)")
        if counter > highest {
            let newWordCount = min(counter / 64 - highest / 64, Self.wordCount)
            for distance in 0..<newWordCount { words[Int((counter / 64 - distance) % Self.wordCount)] = 0 }
            highest = counter
        }
        words[Self.index(of: counter)] |= Self.bit(of: counter)
    }

    private static func index(of counter: UInt64) -> Int { Int(counter / 64 % wordCount) }

    private static func bit(of counter: UInt64) -> UInt64 { 1 << (counter % 64) }
}
