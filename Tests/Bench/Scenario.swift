/// Something that is done with a subject, once, and the numbers that come of it.
protocol Scenario: Sendable {
    /// What it is called in messages.
    var name: String { get }
    /// With whom it is done.
    var subjects: [Subject] { get }
    /// Entries that all connection tables hold together at most.
    var entryCountMax: Int { get }
    /// Does it once.
    func run(_ subject: Subject) throws -> Sample
}

/// The numbers of one run.
public struct Sample: Codable, Sendable {
    /// By name.
    public var values: [String: Double] = [:]
    /// What is to be known of the run: lost events, a cache that is not whole.
    public var notes: [String] = []
}
