/// What a rehearsal found: how a commit of the same records would go, and what it would meet.
public struct RehearsalReport: Sendable {
    /// Flows that the kernel refused for one reason.
    public struct Refusal: Sendable, Equatable {
        /// Why.
        public var errno: Int32
        /// At which step.
        public var stage: WriteOutcome.Stage
        /// How many.
        public var count: Int
    }

    /// Why there is no result, with what mends it; nil if there is one.
    public internal(set) var problem: String?

    /// Records that were rehearsed.
    public internal(set) var recordCount = 0
    /// Entries created in the namespace of its own.
    public internal(set) var createdCount = 0
    /// What the kernel refused there.
    public internal(set) var refusals: [Refusal] = []
    /// Helpers that this kernel does not have, and how many flows would go without.
    public internal(set) var missingHelpers: [String: Int] = [:]
    /// Flows whose master was not among the records.
    public internal(set) var withoutMaster = 0
    /// Clashes of the records with each other.
    public internal(set) var ownClashCounts = ClashCounts()
    /// How long the writing took.
    public internal(set) var commitMilliseconds = 0.0
    /// How long all of it took.
    public internal(set) var milliseconds = 0.0

    /// The sum of the records' digests (`FlowRecordView.digest`), to be compared with their owner's.
    public internal(set) var recordDigest: UInt64 = 0
    /// The same over what the kernel then held; equal if every flow was there as its record says.
    ///
    /// An entry counts with its record's digest if all is as written that a kernel keeps, else with its own. Timeouts
    /// and labels are not compared.
    public internal(set) var digest: UInt64 = 0
    /// Entries in the namespace after the commit.
    public internal(set) var entryCount = 0
    /// Records of which the kernel then held no entry, or one that differs.
    public internal(set) var differingCount = 0

    /// Flows that the live table has already, with the same translation.
    public internal(set) var liveCount = 0
    /// Clashes with the live table, as a commit would settle them.
    public internal(set) var clashCounts = ClashCounts()
    /// The first of them, at most `WriteOutcome.clashCountMax`; `index` counts over all records.
    public internal(set) var clashes: [Clash] = []
    /// Entries that the live table has room for beside those it holds; nil where the kernel sets no limit.
    public internal(set) var liveRoomCount: Int?
    /// Zones that neither a rule nor a flow of the live namespace uses, and how many records lie in each.
    public internal(set) var unknownZones: [UInt16: Int] = [:]
    /// Whether some rule takes the zone from a map or a mark, so that no zone can be told to be unknown.
    public internal(set) var isAnyZonePossible = false

    /// Flows that would be put into the kernel beside those that are there.
    public var wantedRoomCount: Int { createdCount - liveCount }

    init() {}
}
