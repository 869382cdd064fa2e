internal import Flow
internal import Gate
internal import Replication
internal import SystemIO

/// One traffic group on this router: its caches and protocol, its role, its gate.
///
/// Each group is a replication of its own: a takeover of one leaves the others as they are. They share the sync links,
/// the event socket and the kernel writer, which belong to the engine. Without `[[group]]` there is one, the default.
final class GroupState {
    /// Its place in the configuration, as datagrams say it; 0 is the default group.
    let index: Int
    let name: String
    var core: SyncCore

    // The role.
    let roleFile: RoleFile
    /// What the role file says.
    var memory: RoleFile.Memory
    /// The node is primary because it was before a restart; nobody has said so since.
    var isRoleRemembered: Bool
    var roleSince: Instant
    /// Flows of a role that was given up are still to be deleted, once a primary's state is here.
    var purgeWaits: Bool
    /// Since when this node may not become primary; nil if it may.
    var unreadySince: Instant?
    /// What the group's track file says.
    var trackedReadiness: Bool?

    /// The kernel's copy of the external cache, where flows are preloaded.
    var preload = Preload()

    // The gate.
    var gate: Gate?
    /// Whether the gate should be closed.
    var isGateWanted: Bool
    /// Why the gate is not as it should be.
    var gateProblem: String?

    /// A group with the role that its role file says.
    ///
    /// - Parameter preloads: whether the peers' flows are kept in the kernel.
    init(
        index: Int,
        name: String,
        settings: NodeSettings,
        socketPath: String,
        preloads: Bool,
        now: Instant
    ) throws(SystemError) {
        self.index = index
        self.name = name
        let common = RoleFile(socketPath: socketPath)
        roleFile = index == 0 ? common : RoleFile(socketPath: socketPath, group: name)
        var remembered = try roleFile.read()
        if remembered == nil, index > 0 {
            // A group that is new in the configuration was part of the default one until now, and keepalived will not
            // say again whose it is. Only once: from now on the file says what this group was told, if anything.
            remembered = try common.read()
            try roleFile.write(remembered ?? RoleFile.Memory())
        }
        memory = remembered ?? RoleFile.Memory()
        isRoleRemembered = memory.role == .primary
        roleSince = now
        isGateWanted = memory.role != .primary
        // What was preloaded before a restart, and has ended since, nobody else would delete.
        purgeWaits = memory.owesPurge || (memory.role == .backup && preloads)
        var settings = settings
        settings.group = UInt8(index)
        core = SyncCore(
            node: ReplicationNode(
                settings: settings,
                role: memory.role,
                takeoverNumber: memory.takeoverNumber,
                highestTakeoverNumber: memory.highestTakeoverNumber,
                now: now
            ),
            seed: UInt64.random(in: .min ... .max),
            now: now
        )
    }
}
