public import Flow

/// A batch of flows to put into the kernel's table or to remove from it.
public struct WriteJob: Sendable {
    /// What to do with the flows.
    public enum Kind: Sendable {
        /// Creates each entry, or updates the one the kernel has.
        case create
        /// Removes each entry.
        case delete
    }

    /// Names the job in its outcome.
    public var id: UInt64
    /// What to do.
    public var kind: Kind
    /// Packed records back to back, their timeouts set to the seconds left.
    ///
    /// A flow that has a master must come after it, in this job or a later one.
    public var records: [UInt8]
    /// How many records there are.
    public var count: Int

    /// A job of its parts.
    public init(id: UInt64, kind: Kind, records: [UInt8], count: Int) {
        self.id = id
        self.kind = kind
        self.records = records
        self.count = count
    }

    /// Calls `body` with the position of each record and the record.
    public func forEachRecord(_ body: (Int, FlowRecordView) -> Void) {
        let span = records.span
        // Bytes hold any pattern, and every field is checked as it is read.
        let bytes = unsafe span.bytes
        var offset = 0
        for index in 0..<count {
            let record = FlowRecordView(bytes.extracting(offset...))
            body(index, record)
            offset += record.byteCount
        }
    }
}

/// What came of a `WriteJob`.
///
/// Every record is counted in exactly one of the counters or failures.
public struct WriteOutcome: Sendable {
    /// The step at which the kernel refused a flow.
    public enum Stage: String, Sendable {
        /// Creating the entry.
        case create
        /// Reading the entry that the kernel has already.
        case get
        /// Changing that entry.
        case update
        /// Removing the entry, or one that it clashes with.
        case delete
    }

    /// One flow that the kernel refused.
    public struct Failure: Sendable {
        /// Which record of the job.
        public var index: Int
        /// Why.
        public var errno: Int32
        /// At which step.
        public var stage: Stage
    }

    /// The job's id.
    public var id: UInt64
    /// New entries.
    public var created = 0
    /// Entries that existed and are up to date now.
    public var updated = 0
    /// Flows written in place of entries that they clashed with.
    public var replaced = 0
    /// Flows not written because the kernel's entry is worth more: it is further on (seen reply, assured), or it won a
    /// clash.
    public var kept = 0
    /// Entries removed.
    public var deleted = 0
    /// Entries to remove that were gone already.
    public var missing = 0
    /// Among the created: without the helper that this kernel does not have.
    public var withoutHelper = 0
    /// The names of those helpers, and how many flows were created without each.
    public private(set) var missingHelpers: [String: Int] = [:]
    /// Among the created: without the master that is not in this kernel's table.
    public var withoutMaster = 0
    /// What the kernel refused.
    public var failures: [Failure] = []
    /// Clashes by kind and winner.
    public private(set) var clashCounts = ClashCounts()
    /// The first clashes, at most `clashCountMax`.
    public private(set) var clashes: [Clash] = []
    /// How long the job took.
    public var nanoseconds: UInt64 = 0

    /// Clashes of one job that are listed.
    public static let clashCountMax = 1_000

    init(id: UInt64) {
        self.id = id
    }

    mutating func countMissing(_ helper: Flow.HelperName) {
        withoutHelper += 1
        missingHelpers[helper.text, default: 0] += 1
    }

    mutating func count(_ clash: Clash) {
        clashCounts[clash.kind, isOursKept: clash.isOursKept] += 1
        if clashes.count < Self.clashCountMax { clashes.append(clash) }
    }
}
