/// What a bad cable does to frames, in both directions alike.
public struct Impairment: Sendable, Equatable {
    /// Frames lost.
    public var lossPercent: Int
    /// Frames that arrive twice.
    public var duplicatePercent: Int
    /// Frames that are held back, so that later ones overtake them.
    public var delayPercent: Int
    /// For how long at most.
    public var delayMillisecondsMax: Int

    /// A cable that does this; a good one if nothing is said.
    public init(loss: Int = 0, duplicate: Int = 0, delay: Int = 0, delayMillisecondsMax: Int = 0) {
        lossPercent = loss
        duplicatePercent = duplicate
        delayPercent = delay
        self.delayMillisecondsMax = delayMillisecondsMax
    }

    /// The four numbers, for a command line.
    public var words: String { "\(lossPercent) \(duplicatePercent) \(delayPercent) \(delayMillisecondsMax)" }

    /// What `words` of an impairment say; nil if they are none.
    public init?(words: some Collection<Substring>) {
        let numbers = words.compactMap { Int($0) }
        guard words.count == 4, numbers.count == 4, numbers.allSatisfy({ 0...1_000 ~= $0 }) else { return nil }
        self.init(loss: numbers[0], duplicate: numbers[1], delay: numbers[2], delayMillisecondsMax: numbers[3])
    }
}

/// What a bad cable did.
public struct CableCounts: Sendable, Equatable {
    /// Frames that came in.
    public var received = 0
    /// Frames lost on purpose.
    public var lost = 0
    /// Frames sent on twice.
    public var duplicated = 0
    /// Frames held back.
    public var delayed = 0
    /// Frames that the other side would not take, which is not on purpose.
    public var refused = 0

    /// A cable that nothing has come through.
    public init() {}

    /// The five numbers, for a command's answer.
    public var words: String { "\(received) \(lost) \(duplicated) \(delayed) \(refused)" }

    /// What `words` say; nil if they are none.
    public init?(words: String) {
        let numbers = words.split(separator: " ").compactMap { Int($0) }
        guard numbers.count == 5 else { return nil }
        (received, lost, duplicated, delayed, refused) = (numbers[0], numbers[1], numbers[2], numbers[3], numbers[4])
    }

    /// "of 1234 frames 370 lost, 60 doubled, 250 held back".
    public var text: String { "of \(received) frames \(lost) lost, \(duplicated) doubled, \(delayed) held back" }
}
