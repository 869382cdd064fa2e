import Control

/// What the local API asks of the engine.
enum EngineRequest: Sendable, Equatable {
    /// Answered by `.status`.
    case status
    /// Answered by `.statistics`.
    case statistics
    /// Put the external cache into the kernel. Answered by `.action`.
    case commit
    /// Empty a cache, or the kernel's table. Answered by `.action`.
    case flush(FlushTarget)
    /// Ask for everything again. Answered by `.action`.
    case resync(ResyncSource)
    /// Send the internal cache to the peers. Answered by `.action`.
    case push
    /// Change the role for one traffic group, or for all if `group` is nil; `.unset` is never asked for. Answered by
    /// `.action`.
    case role(Role, group: String? = nil)
    /// Whether the node may become primary for one traffic group, or for all. Answered by `.ready`.
    case ready(group: String? = nil)
    /// Answered by `.history`.
    case history
    /// Do harm to one cached flow, to test what finds it. Answered by `.action`.
    case harm(Harm)
    /// The next records of a cache, from the start if `cursor` is nil. Answered by `.dumpChunk`.
    case dumpChunk(cache: CacheSelection, cursor: UInt64?, limit: Int)

    /// The same request for one traffic group alone; nil if it is always for all of them.
    func restricted(toGroup group: String) -> EngineRequest? {
        switch self {
        case .role(let role, _): .role(role, group: group)
        case .ready: .ready(group: group)
        default: nil
        }
    }

    /// What a flush empties.
    enum FlushTarget: String, Sendable, CaseIterable {
        /// The flows this node handles.
        case `internal`
        /// The flows its peers handle.
        case external
        /// The kernel's table, as far as it passes the replication policy.
        case kernel
    }

    /// What a test can do to a cached flow behind everybody's back.
    enum Harm: String, Sendable, CaseIterable {
        /// Remove one flow from the external cache.
        case forgetExternal = "forget-external"
        /// Flip a bit of one record in the external cache.
        case flipExternal = "flip-external"
        /// Flip a bit of one record in the internal cache.
        case flipInternal = "flip-internal"
    }

    /// Whom a resync asks.
    enum ResyncSource: String, Sendable, CaseIterable {
        /// The kernel's table.
        case kernel
        /// The peers.
        case peer
    }
}

/// What the engine answers.
enum EngineReply: Sendable {
    /// The node's state.
    case status(NodeStatus)
    /// The node's counters.
    case statistics(Statistics)
    /// What an action did, after it is done.
    case action(ActionReport)
    /// Whether this node may become primary.
    case ready(ReadyReport)
    /// The last changes of role.
    case history(TakeoverHistory)
    /// Some records of a cache.
    case dumpChunk(DumpChunk)
    /// The request cannot be served now; the text says why and what to do.
    case refused(String)
}

/// Some records of a cache, copied.
struct DumpChunk: Sendable {
    /// Packed records back to back, the timeout set to the seconds left.
    var records: [UInt8]
    /// For each record: seconds since the cache learned of the flow.
    var activeSeconds: [UInt32]
    /// Where the next chunk starts; nil when this was the last one.
    var nextCursor: UInt64?
}

/// The way from the local API, which runs on Swift concurrency, to the engine's thread.
///
/// A request is a value that is copied into the engine's mailbox; the call returns when the engine has answered, which
/// for a commit may take minutes. It is safe to call from any task, any number at a time. A cancelled caller does not
/// undo what was asked. Every request gets an answer: an engine that stops refuses what is left in its mailbox.
protocol EngineAccess: Sendable {
    /// Asks the engine and waits for its answer.
    func perform(_ request: EngineRequest) async -> EngineReply
}
