/// The pages of `flowsync stats`.
public enum StatisticsTopic: String, CaseIterable, Sendable {
    /// What conntrackd's `-s` without a parameter shows.
    case summary
    /// Objects, operations and failures of both caches.
    case cache
    /// The protocol: malformed and lost messages, and what was sent, resent and acknowledged.
    case network
    /// The event source and the daemon.
    case runtime
    /// The sync links one by one.
    case link
    /// The queues' fill.
    case queue
}
