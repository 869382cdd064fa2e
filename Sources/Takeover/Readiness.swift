/// What decides whether a node may become primary.
public struct Readiness: Sendable {
    /// Seconds after the start during which a node waits for a peer to be heard; then it counts as alone.
    public static let peerWaitSeconds: UInt64 = 10
    /// Seconds for which a node that hears no peer waits for its sync link; then it counts as alone.
    ///
    /// Its only peer may be switched off, and a cable to it without a carrier: a router that is alone must serve.
    public static let linkWaitSeconds: UInt64 = 60
    /// Seconds after which the reason says that waiting has been of no use.
    public static let patienceSeconds: UInt64 = 300

    /// Whether the node is primary, or becoming it: then it has the flows that there are.
    public var isPrimary = false
    /// Whether the kernel's table has been read.
    public var isLoaded = false
    /// Why no sync link is live; nil if one is.
    public var linkProblem: String?
    /// Seconds for which no sync link has been live.
    public var linkDownSeconds: UInt64 = 0
    /// Names of the peers that are up.
    public var peersUp: [String] = []
    /// Names of the peers that are up, announce flows, and whose whole state is not here yet.
    public var peersNotSynchronised: [String] = []
    /// The peers that are up and have something else set that all must have alike, and what.
    public var peersConfiguredDifferently: [(name: String, settings: [String])] = []
    /// Seconds since the daemon started.
    public var uptimeSeconds: UInt64 = 0
    /// Seconds for which the node has not been ready.
    public var waitedSeconds: UInt64 = 0
    /// Whether a role command is under way.
    public var isChangingRole = false

    /// A node of which nothing is known.
    public init() {}

    /// Why the node may not become primary, in one line; nil if it may.
    ///
    /// A node that hears a peer is never ready against its better knowledge, however long it takes: the peer serves,
    /// and a copy that lacks flows would lose them. One that hears nobody is ready after a bounded time.
    public var reasonAgainst: String? {
        if isPrimary { return nil }
        guard let reason = currentReason else { return nil }
        guard waitedSeconds >= Self.patienceSeconds else { return reason }
        return "\(reason) (given up after \(waitedSeconds / 60) min of waiting: see `flowsync status`)"
    }

    private var currentReason: String? {
        if !isLoaded { return "the kernel's table is still being read" }
        if isChangingRole { return "a change of role is under way" }
        if let peer = peersConfiguredDifferently.first {
            return "\(peer.name) is configured differently: \(peer.settings.joined(separator: ", "))"
        }
        if let name = peersNotSynchronised.first { return "the flows of \(name) are not all here yet" }
        guard peersUp.isEmpty else { return nil }
        if let linkProblem {
            guard linkDownSeconds < Self.linkWaitSeconds else { return nil }
            return "no sync link is live: \(linkProblem); waiting for \(Self.linkWaitSeconds) s at most"
        }
        guard uptimeSeconds < Self.peerWaitSeconds else { return nil }
        return "no peer heard yet; waiting until \(Self.peerWaitSeconds) s after the start"
    }
}
