/// A change of role that was done, and when.
public struct TakeoverRecord: Codable, Sendable, Equatable {
    /// Seconds since 1970, UTC.
    public var endedAt: UInt64
    /// Its steps.
    public var report: ActionReport

    /// A change of role that ended at `endedAt`.
    public init(endedAt: UInt64, report: ActionReport) {
        self.endedAt = endedAt
        self.report = report
    }
}

/// The last changes of role.
public struct TakeoverHistory: Codable, Sendable, Equatable {
    /// How many are kept.
    public static let countMax = 100

    /// Oldest first.
    public private(set) var takeovers: [TakeoverRecord] = []

    /// An empty history.
    public init() {}

    /// Adds the latest one; the oldest goes when there are too many.
    public mutating func append(_ record: TakeoverRecord) {
        takeovers.append(record)
        takeovers.removeFirst(max(0, takeovers.count - Self.countMax))
    }

    /// Its JSON, as the local API answers it.
    public func encoded() throws(APICoder.CodingFailure) -> [UInt8] {
        Array(try APICoder.encode(self))
    }

    /// The history of its JSON.
    public init(decoding bytes: [UInt8]) throws(APICoder.CodingFailure) {
        self = try APICoder.decode(Self.self, from: bytes)
        takeovers = takeovers.suffix(Self.countMax)
    }

    /// The plain form of `flowsync status --history`: a paragraph for each, the latest last.
    public var text: String {
        if takeovers.isEmpty { return "no change of role yet\n" }
        return takeovers.map { record in
            "\(DurationText.date(secondsSince1970: record.endedAt))  \(ActionText.render(record.report))"
        }.joined()
    }
}
