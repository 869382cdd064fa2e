/// What decides whether a node may become primary.
public struct Readiness: Sendable {
    /// Seconds after the start during which a node waits for a peer to be heard; then it counts as alone.
    public static let peerWaitSeconds: UInt64 = 10

    /// Whether the kernel's table has been read.
    public var isLoaded = false
    /// Why the sync link is not live; nil if it is.
    public var linkProblem: String?
    /// Names of the peers that are up.
    public var peersUp: [String] = []
    /// Names of the peers that are up, announce flows, and whose whole state is not here yet.
    public var peersNotSynchronised: [String] = []
    /// Seconds since the daemon started.
    public var uptimeSeconds: UInt64 = 0
    /// Whether a role command is under way.
    public var isChangingRole = false

    /// A node of which nothing is known.
    public init() {}

    /// Why the node may not become primary, in one line; nil if it may.
    public var reasonAgainst: String? {
        if !isLoaded { return "the kernel's table is still being read" }
        if isChangingRole { return "a change of role is under way" }
        if let name = peersNotSynchronised.first { return "the flows of \(name) are not all here yet" }
        guard peersUp.isEmpty, uptimeSeconds < Self.peerWaitSeconds else { return nil }
        if let linkProblem { return "no peer heard yet: \(linkProblem)" }
        return "no peer heard yet; waiting until \(Self.peerWaitSeconds) s after the start"
    }
}
