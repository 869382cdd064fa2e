public import Flow

/// Two flows of which the kernel's table can hold only one, and which of them it holds now.
public struct Clash: Sendable {
    /// What both flows claim.
    public enum Kind: String, Sendable, CaseIterable {
        /// The same original tuple, with different translations.
        case sameOriginal
        /// The same translated tuple: another flow's entry holds one of the record's tuples as one of its own.
        case sameTranslation

        /// A clash of this kind and its outcome, in words: "same original tuple, the peer's flow kept".
        public func text(isOursKept: Bool) -> String {
            let what =
                switch self {
                case .sameOriginal: "same original tuple"
                case .sameTranslation: "same translated tuple"
                }
            return "\(what), \(isOursKept ? "the peer's flow" : "the kernel's entry") kept"
        }
    }

    /// What both flows claim.
    public var kind: Kind
    /// The flow that is in the table.
    public var kept: Flow
    /// The flow that is not: its entry was deleted, or its record was not written.
    public var removed: Flow
    /// Whether the record was put into the table in place of the kernel's entry.
    public var isOursKept: Bool
    /// Which record of the job.
    public var index: Int

    init(_ kind: Kind, ours: Flow, entry: Flow, isOursKept: Bool, index: Int) {
        self.kind = kind
        kept = isOursKept ? ours : entry
        removed = isOursKept ? entry : ours
        self.isOursKept = isOursKept
        self.index = index
    }
}

/// Clashes counted by kind and winner.
public struct ClashCounts: Sendable, Equatable {
    private var sameOriginalOursKept = 0
    private var sameOriginalEntryKept = 0
    private var sameTranslationOursKept = 0
    private var sameTranslationEntryKept = 0

    /// No clash.
    public init() {}

    /// All clashes.
    public var total: Int {
        sameOriginalOursKept + sameOriginalEntryKept + sameTranslationOursKept + sameTranslationEntryKept
    }

    /// Clashes of a kind that ended in a way.
    public subscript(kind: Clash.Kind, isOursKept isOursKept: Bool) -> Int {
        get {
            switch (kind, isOursKept) {
            case (.sameOriginal, true): sameOriginalOursKept
            case (.sameOriginal, false): sameOriginalEntryKept
            case (.sameTranslation, true): sameTranslationOursKept
            case (.sameTranslation, false): sameTranslationEntryKept
            }
        }
        set {
            switch (kind, isOursKept) {
            case (.sameOriginal, true): sameOriginalOursKept = newValue
            case (.sameOriginal, false): sameOriginalEntryKept = newValue
            case (.sameTranslation, true): sameTranslationOursKept = newValue
            case (.sameTranslation, false): sameTranslationEntryKept = newValue
            }
        }
    }

    /// Adds the counts of `other`.
    public mutating func add(_ other: ClashCounts) {
        sameOriginalOursKept += other.sameOriginalOursKept
        sameOriginalEntryKept += other.sameOriginalEntryKept
        sameTranslationOursKept += other.sameTranslationOursKept
        sameTranslationEntryKept += other.sameTranslationEntryKept
    }
}
