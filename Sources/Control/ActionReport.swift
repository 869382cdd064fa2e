/// What one step of an action did.
public struct StepReport: Codable, Sendable, Equatable {
    /// The step, in the words shown to the operator: "commit", "open the gate".
    public var name: String
    /// Flows, records or things handled, the failed ones not among them.
    public var count: Int
    /// How many failed, by errno name ("ENOMEM") or cause.
    public var failed: [String: Int]
    /// How long it took.
    public var milliseconds: Double
    /// What else the operator should know.
    public var note: String?

    /// A step that did `count` things.
    public init(
        name: String,
        count: Int = 0,
        failed: [String: Int] = [:],
        milliseconds: Double = 0,
        note: String? = nil
    ) {
        self.name = name
        self.count = count
        self.failed = failed
        self.milliseconds = milliseconds
        self.note = note
    }

    /// How many failed, whatever the cause.
    public var failedCount: Int { failed.values.reduce(0, +) }
}

/// The result of a command that changes something: commit, flush, resync, push, role.
public struct ActionReport: Codable, Sendable, Equatable {
    /// The command: "role primary", "flush internal".
    public var action: String
    /// Whether the action did what it is for; the command's exit status says the same.
    public var succeeded: Bool
    /// The steps in the order they were done.
    public var steps: [StepReport]
    /// Why it failed, or what is worth knowing though it succeeded.
    public var message: String?

    /// The report of an action.
    public init(action: String, succeeded: Bool, steps: [StepReport] = [], message: String? = nil) {
        self.action = action
        self.succeeded = succeeded
        self.steps = steps
        self.message = message
    }

    /// The time of all steps.
    public var milliseconds: Double { steps.reduce(0) { $0 + $1.milliseconds } }
}

/// Whether this node may become primary.
public struct ReadyReport: Codable, Sendable, Equatable {
    /// Whether this node may become primary.
    public var isReady: Bool
    /// One line that says why not; nil when it may.
    public var reason: String?

    /// Ready if there is no reason against it.
    public init(reason: String? = nil) {
        self.isReady = reason == nil
        self.reason = reason
    }
}

/// The body of every answer that is not a success: what is wrong, and what there is instead.
public struct APIError: Codable, Sendable, Equatable {
    /// What is wrong and what to do, one line.
    public var error: String
    /// The routes that exist, when the request named one that does not.
    public var routes: [String]?

    /// An error of its text.
    public init(_ error: String, routes: [String]? = nil) {
        self.error = error
        self.routes = routes
    }
}
