/// The last repair of this node's copy of a peer's flows.
public struct RepairStatus: Codable, Sendable, Equatable {
    /// Flows that were sent again or removed.
    public var flowCount: Int
    /// Bytes it took, both ways: sums, lists and flows.
    public var byteCount: Int
    /// How long it took.
    public var milliseconds: UInt64
    /// Time since it ended.
    public var secondsAgo: UInt64

    /// A repair that ended `secondsAgo`.
    public init(flowCount: Int, byteCount: Int, milliseconds: UInt64, secondsAgo: UInt64) {
        self.flowCount = flowCount
        self.byteCount = byteCount
        self.milliseconds = milliseconds
        self.secondsAgo = secondsAgo
    }
}

/// What this node knows of one peer.
public struct PeerStatus: Codable, Sendable, Equatable {
    /// The peer's name, as it says itself.
    public var name: String
    /// The peer's stable id, 16 hexadecimal digits.
    public var nodeID: String
    /// The id of the peer's current run, 16 hexadecimal digits; it changes when its daemon restarts.
    public var epoch: String
    /// Whether the peer was heard lately enough to count on it.
    public var isUp: Bool
    /// The role it claims.
    public var role: Role
    /// Time since its last datagram; nil if it was never heard.
    public var lastHeardMilliseconds: UInt64?
    /// Whether this node holds everything the peer has to give, and the peer everything of ours.
    public var isSynchronised: Bool
    /// How long that has held; nil when it does not.
    public var synchronisedSinceSeconds: UInt64?
    /// Why the two are not in sync, for example "bulk transfer: 12000 of 100000 flows".
    public var reason: String?
    /// Our latest sequence number towards this peer.
    public var sentSequence: UInt64
    /// The latest one that the peer acknowledged.
    public var acknowledgedSequence: UInt64
    /// Changed flows sent and not yet acknowledged.
    public var inFlightMessageCount: Int
    /// The peer's flows in our external cache.
    public var externalFlowCount: Int
    /// The sum of their digests, 16 hexadecimal digits.
    public var externalDigest: String
    /// Time since our copy of its flows was last compared with its digest and found equal; nil if it never was.
    public var verifiedMilliseconds: UInt64?
    /// Its flows that are known to differ in our copy, at least.
    public var differingFlowCount: Int
    /// The last repair of our copy; nil if there was none.
    public var lastRepair: RepairStatus?
    /// Repairs of our copy.
    public var repairCount: UInt64
    /// Our flows that differ in its copy, as it last said; nil if it has not said, or does not know how many.
    public var peerDifferingFlowCount: Int?
    /// Settings that should be alike and are not, as they are called in the configuration.
    public var mismatchedSettings: [String]

    /// A peer that was never heard.
    public init(name: String) {
        self.name = name
        nodeID = ""
        epoch = ""
        isUp = false
        role = .unset
        isSynchronised = false
        sentSequence = 0
        acknowledgedSequence = 0
        inFlightMessageCount = 0
        externalFlowCount = 0
        externalDigest = ""
        differingFlowCount = 0
        repairCount = 0
        mismatchedSettings = []
    }
}

/// The state of one sync link.
public struct LinkStatus: Codable, Sendable, Equatable {
    /// Transport, address and interface, as configured: "multicast 225.0.0.50:3780 on eth2".
    public var description: String
    /// Whether datagrams can be sent and received.
    public var isLive: Bool
    /// "live", or why it is not: "interface eth2 does not exist".
    public var stateText: String
    /// Whether it carries the load; the others carry heartbeats.
    public var isActive: Bool

    /// The state of a link.
    public init(description: String, isLive: Bool, stateText: String, isActive: Bool = false) {
        self.isActive = isActive
        self.description = description
        self.isLive = isLive
        self.stateText = stateText
    }
}

/// How many flows the two caches hold.
public struct CacheStatus: Codable, Sendable, Equatable {
    /// Flows this node handles.
    public var internalFlowCount: Int
    /// Flows its peers handle.
    public var externalFlowCount: Int
    /// Of these, how many are in the kernel already; nil where flows are not preloaded.
    public var preloadedFlowCount: Int?

    /// The sizes of both caches.
    public init(internalFlowCount: Int = 0, externalFlowCount: Int = 0, preloadedFlowCount: Int? = nil) {
        self.preloadedFlowCount = preloadedFlowCount
        self.internalFlowCount = internalFlowCount
        self.externalFlowCount = externalFlowCount
    }
}

/// The kernel's connection tracking, as far as this node depends on it.
public struct KernelStatus: Codable, Sendable, Equatable {
    /// Whether the kernel sends events at all (`net.netfilter.nf_conntrack_events`).
    public var eventsEnabled = true
    /// Entries in the kernel's table.
    public var tableCount = 0
    /// How many the table may hold (`net.netfilter.nf_conntrack_max`).
    public var tableCountMax = 0
    /// The event socket's receive buffer.
    public var eventBufferByteCount = 0
    /// How often that buffer overflowed and the kernel dropped events.
    public var overrunCount: UInt64 = 0

    /// A kernel that nothing is known of yet.
    public init() {}
}

/// The last change of role and what it did.
public struct TakeoverStatus: Codable, Sendable, Equatable {
    /// Time since it ended.
    public var secondsAgo: UInt64
    /// Its steps.
    public var report: ActionReport

    /// A change of role that ended `secondsAgo`.
    public init(secondsAgo: UInt64, report: ActionReport) {
        self.secondsAgo = secondsAgo
        self.report = report
    }
}

/// The gate: what drops packets of unknown flows while the node is not primary.
public struct GateStatus: Codable, Sendable, Equatable {
    /// The interfaces it watches.
    public var interfaces: [String]
    /// Whether it is closed.
    public var isClosed: Bool
    /// Packets dropped since it was closed; nil while it is open, or if they cannot be counted.
    public var droppedPacketCount: UInt64?

    /// The state of a gate.
    public init(interfaces: [String], isClosed: Bool, droppedPacketCount: UInt64? = nil) {
        self.interfaces = interfaces
        self.isClosed = isClosed
        self.droppedPacketCount = droppedPacketCount
    }
}

/// One traffic group on this node.
public struct GroupStatus: Codable, Sendable, Equatable {
    /// Its name; "default" is the group of all flows that no other group matches.
    public var name: String
    /// This node's role for it.
    public var role: Role
    /// Time since it has that role.
    public var roleSinceSeconds: UInt64
    /// The number that outranks older claims to a flow of the group; each takeover raises it.
    public var takeoverNumber: UInt64
    /// Whether this node may become primary for it, and why not.
    public var ready: ReadyReport
    /// Its flows here.
    public var caches: CacheStatus
    /// Its gate; nil if none is configured.
    public var gate: GateStatus?
    /// What this node knows of each peer's part in it.
    public var peers: [PeerStatus]

    /// The state of a group.
    public init(
        name: String,
        role: Role,
        roleSinceSeconds: UInt64,
        takeoverNumber: UInt64,
        ready: ReadyReport,
        caches: CacheStatus,
        gate: GateStatus?,
        peers: [PeerStatus]
    ) {
        self.name = name
        self.role = role
        self.roleSinceSeconds = roleSinceSeconds
        self.takeoverNumber = takeoverNumber
        self.ready = ready
        self.caches = caches
        self.gate = gate
        self.peers = peers
    }
}

/// Everything `flowsync status` shows.
///
/// Where traffic groups are configured, role, peers and gate at the top are those of the default group.
public struct NodeStatus: Codable, Sendable, Equatable {
    /// The node's name.
    public var node: String
    /// The daemon's version.
    public var version: String
    /// Time since the daemon started.
    public var uptimeSeconds: UInt64
    /// The node's role.
    public var role: Role
    /// Time since it has that role.
    public var roleSinceSeconds: UInt64
    /// The number that outranks older claims to a flow; each takeover raises it.
    public var takeoverNumber: UInt64
    /// Whether this node may become primary, and why not.
    public var ready: ReadyReport
    /// The peers, in the order of their names.
    public var peers: [PeerStatus]
    /// The sync links, in the order of the configuration.
    public var links: [LinkStatus]
    /// The caches' sizes.
    public var caches: CacheStatus
    /// The kernel's connection tracking.
    public var kernel: KernelStatus
    /// What the operator should mend, each with the way to mend it.
    public var warnings: [String]
    /// The gate; nil if none is configured.
    public var gate: GateStatus?
    /// The traffic groups, the default one first; nil if none is configured.
    public var groups: [GroupStatus]?
    /// The last change of role, if there was one.
    public var lastTakeover: TakeoverStatus?

    /// A node that has just started.
    public init(node: String, version: String) {
        self.node = node
        self.version = version
        uptimeSeconds = 0
        role = .unset
        roleSinceSeconds = 0
        takeoverNumber = 0
        ready = ReadyReport()
        peers = []
        links = []
        caches = CacheStatus()
        kernel = KernelStatus()
        warnings = []
    }

    /// Whether there is a peer and every one is up and in sync, in every traffic group.
    public var isSynchronised: Bool {
        let peers = groups?.flatMap(\.peers) ?? peers
        return !peers.isEmpty && peers.allSatisfy { $0.isUp && $0.isSynchronised }
    }
}
