/// What happened to a cache's flows since the start: the six numbers of conntrackd's `cache` statistics.
public struct CacheCounters: Sendable, BitwiseCopyable {
    /// Flows added.
    public var created: UInt64 = 0
    /// Flows that could not be added.
    public var createFailed: UInt64 = 0
    /// Flows changed.
    public var updated: UInt64 = 0
    /// Changes that were not applied (older than what is known, or another node's flow).
    public var updateFailed: UInt64 = 0
    /// Flows removed.
    public var destroyed: UInt64 = 0
    /// Removals of flows that were not there, or not the sender's to remove.
    public var destroyFailed: UInt64 = 0
    /// Records found to be no longer what was written.
    public var damaged: UInt64 = 0

    /// All zero.
    public init() {}

    /// What happened to several caches' flows, added up.
    public static func += (sum: inout CacheCounters, part: CacheCounters) {
        sum.created += part.created
        sum.createFailed += part.createFailed
        sum.updated += part.updated
        sum.updateFailed += part.updateFailed
        sum.destroyed += part.destroyed
        sum.destroyFailed += part.destroyFailed
        sum.damaged += part.damaged
    }
}
