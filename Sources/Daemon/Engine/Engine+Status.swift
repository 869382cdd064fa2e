internal import Configuration
internal import Conntrack
internal import Control
internal import Flow
internal import FlowTable
internal import Gate
internal import Link
internal import Replication
internal import SystemIO
internal import Takeover

extension Engine {
    /// How long ago a copy must have been proved equal so that a difference found since does not make a node unfit.
    private static let repairPatienceMilliseconds: UInt64 = 30_000
    /// How long another node with this node's name is remembered.
    private static let duplicateMilliseconds: UInt64 = 10_000

    var duplicateText: String {
        "another node on the sync link is called \(configuration.nodeName) too: give each its own [node] name"
    }

    /// Whether this node may become primary for all of these groups.
    func readiness(of asked: [GroupState], _ now: Instant) -> ReadyReport {
        for group in asked {
            if let reason = readiness(group, now).reasonAgainst { return ReadyReport(reason: label(group) + reason) }
        }
        return ReadyReport()
    }

    private func readiness(_ group: GroupState, _ now: Instant) -> Readiness {
        var readiness = Readiness()
        let actsOnIt = action?.group === group
        readiness.isPrimary = group.core.node.role == .primary || (actsOnIt && action?.role == .primary)
        readiness.isLoaded = isReady
        readiness.linkProblem = linkProblem
        readiness.linkDownSeconds = now.milliseconds(since: linkLostAt ?? now) / 1000
        readiness.waitedSeconds = now.milliseconds(since: group.unreadySince ?? now) / 1000
        readiness.uptimeSeconds = now.milliseconds(since: startedAt) / 1000
        readiness.isChangingRole = actsOnIt && action?.role != nil && action?.phases.first?.givesWay == false
        for peer in group.core.node.peerStatus where peer.isUp {
            readiness.peersUp.append(peer.name)
            if !peer.mismatchedSettings.isEmpty {
                readiness.peersConfiguredDifferently.append((peer.name, peer.mismatchedSettings))
            }
            // A difference that was not there a moment ago is being repaired: no reason to lose every other flow.
            let verifiedAgo = peer.verifiedAt.map { now.milliseconds(since: $0) } ?? .max
            if peer.isClaiming, peer.synchronisedSince == nil, verifiedAgo > Self.repairPatienceMilliseconds {
                readiness.peersNotSynchronised.append(peer.name)
            }
        }
        return readiness
    }

    /// Writes into the track files whether this node may become primary, where that has changed.
    func trackReadiness(_ now: Instant) {
        linkLostAt = linkProblem == nil ? nil : linkLostAt ?? now
        for group in groups {
            let isReady = readiness(group, now).reasonAgainst == nil
            group.unreadySince = isReady ? nil : group.unreadySince ?? now
        }
        writeTrackFiles { $0.unreadySince == nil }
    }

    /// Writes the track files that say something else: `0` if the node may become primary, else `1`.
    ///
    /// One speaks for all groups; where groups are configured, each has its own beside it.
    func writeTrackFiles(isReady: (GroupState) -> Bool) {
        let areAllReady = groups.allSatisfy(isReady)
        if areAllReady != trackedReadiness, writeTrackFile("ready.track", isReady: areAllReady) {
            trackedReadiness = areAllReady
        }
        guard groups.count > 1 else { return }
        for group in groups where isReady(group) != group.trackedReadiness {
            if writeTrackFile("ready-\(group.name).track", isReady: isReady(group)) {
                group.trackedReadiness = isReady(group)
            }
        }
    }

    /// Writes a track file beside the control socket, where keepalived's `track_file` looks; whether it could.
    private func writeTrackFile(_ name: String, isReady: Bool) -> Bool {
        let socket = configuration.controlSocketPath
        let folder = socket[..<(socket.lastIndex(of: "/") ?? socket.startIndex)]
        do {
            try SystemFile.writeAtomically(
                Array(isReady ? "0\n".utf8 : "1\n".utf8),
                to: "\(folder)/\(name)",
                mode: 0o644
            )
            return true
        } catch {
            logLimited("track file", "keepalived's track file cannot be written: \(error)")
            return false
        }
    }

    /// One line for `systemctl status`.
    func statusLine(_ now: Instant) -> String {
        let peers = groups[0].core.node.peerStatus
        let up = peers.filter(\.isUp).count
        let peerText = peers.isEmpty ? "no peer heard" : "\(up) of \(peers.count) peers up"
        return "\(roleText), \(peerText), link \(linkProblem ?? "live")"
    }

    /// "role backup", or, where groups are configured, "role default backup, web primary".
    var roleText: String {
        guard groups.count > 1 else { return "role \(groups[0].core.node.role.text)" }
        return "role " + groups.map { "\($0.name) \($0.core.node.role.text)" }.joined(separator: ", ")
    }

    /// Why no link can be used; nil if one can.
    private var linkProblem: String? {
        let texts = (0..<links.count).map { links.isLive($0) ? nil : links.stateText($0) }
        return texts.contains(nil) ? nil : texts.compactMap(\.self).joined(separator: "; ")
    }

    private func linkStatus(_ now: Instant) -> [LinkStatus] {
        let active = groups[0].core.node.activeLink(liveMask: links.liveMask, now: now)
        return (0..<links.count).map { index in
            LinkStatus(
                description: "\(links.settings(index))",
                isLive: links.isLive(index),
                stateText: links.stateText(index),
                isActive: index == active && links.isLive(index)
            )
        }
    }

    /// Everything `flowsync status` shows.
    func status(_ now: Instant) -> NodeStatus {
        var status = NodeStatus(node: configuration.nodeName, version: Version.text)
        status.uptimeSeconds = now.milliseconds(since: startedAt) / 1000
        let group = groups[0]
        status.role = Role(group.core.node.role)
        status.roleSinceSeconds = now.milliseconds(since: group.roleSince) / 1000
        status.takeoverNumber = UInt64(group.core.node.takeoverNumber)
        status.ready = readiness(of: groups, now)
        status.peers = peers(group, now)
        status.links = linkStatus(now)
        status.caches = cacheStatus(groups)
        if groups.count > 1 { status.groups = groups.map { groupStatus($0, now) } }
        status.kernel = kernelStatus()
        status.gate = gateStatus(group)
        status.warnings = syncWarnings(now) + groups.compactMap(\.gateProblem) + warnings
        if let last = history.takeovers.last {
            let secondsAgo = (WallClock.nanoseconds() / 1_000_000_000).subtractingReportingOverflow(last.endedAt)
            status.lastTakeover = TakeoverStatus(
                secondsAgo: secondsAgo.overflow ? 0 : secondsAgo.partialValue,
                report: last.report
            )
        }
        return status
    }

    private func cacheStatus(_ groups: [GroupState]) -> CacheStatus {
        let preloads = configuration.takeover.commit == .preload
        return CacheStatus(
            internalFlowCount: groups.reduce(0) { $0 + $1.core.internalCache.count },
            externalFlowCount: groups.reduce(0) { $0 + $1.core.externalCache.count },
            preloadedFlowCount: preloads ? groups.reduce(0) { $0 + $1.core.externalCache.mirroredCount } : nil
        )
    }

    private func groupStatus(_ group: GroupState, _ now: Instant) -> GroupStatus {
        GroupStatus(
            name: group.name,
            role: Role(group.core.node.role),
            roleSinceSeconds: now.milliseconds(since: group.roleSince) / 1000,
            takeoverNumber: UInt64(group.core.node.takeoverNumber),
            ready: ReadyReport(reason: readiness(group, now).reasonAgainst),
            caches: cacheStatus([group]),
            gate: gateStatus(group),
            peers: peers(group, now)
        )
    }

    private func gateStatus(_ group: GroupState) -> GateStatus? {
        let interfaces = configuration.takeover.gateInterfaces
        guard !interfaces.isEmpty else { return nil }
        var status = GateStatus(interfaces: interfaces, isClosed: group.gate?.isClosed == true)
        if status.isClosed { status.droppedPacketCount = try? group.gate?.count().packets }
        return status
    }

    private func syncWarnings(_ now: Instant) -> [String] {
        var warnings: [String] = []
        if configuration.sync.security == .insecure { warnings.append(Self.insecureWarning) }
        for peer in groups[0].core.node.peerStatus where peer.isUp && !peer.mismatchedSettings.isEmpty {
            warnings.append(
                "\(peer.name) is configured differently: \(peer.mismatchedSettings.joined(separator: ", "))"
            )
        }
        if let heardAt = groups[0].core.node.duplicateHeardAt,
            now.milliseconds(since: heardAt) < Self.duplicateMilliseconds
        {
            warnings.append(duplicateText)
        }
        return warnings
    }

    private func peers(_ group: GroupState, _ now: Instant) -> [Control.PeerStatus] {
        return group.core.node.peerStatus.enumerated().map { index, peer in
            var status = Control.PeerStatus(name: peer.name)
            status.nodeID = Self.hexadecimal(UInt64(peer.nodeID))
            status.epoch = Self.hexadecimal(peer.epoch)
            status.isUp = peer.isUp
            status.role = Role(peer.role)
            status.lastHeardMilliseconds = now.milliseconds(since: peer.lastHeard)
            status.reason =
                if !peer.isUp {
                    "not heard for \(now.milliseconds(since: peer.lastHeard) / 1000) s"
                } else if peer.mismatchedSettings.contains(SharedSettings.groupsName) {
                    "its \(SharedSettings.groupsName) sections differ from this node's: flows are in the wrong groups"
                } else if peer.synchronisedSince == nil {
                    "its flows are not all here yet"
                } else if !peer.isMember {
                    "it has not asked for this node's flows yet"
                } else if group.core.node.isTransferring {
                    "this node's flows are on their way to it"
                } else if group.core.node.role.claimsFlows, peer.peerVerifiedAt == nil {
                    "it has not proved its copy of this node's flows yet"
                } else {
                    nil
                }
            status.isSynchronised = status.reason == nil
            if status.isSynchronised, let since = peer.synchronisedSince {
                status.synchronisedSinceSeconds = now.milliseconds(since: since) / 1000
            }
            status.sentSequence = group.core.node.sentSequence
            status.acknowledgedSequence = peer.acknowledgedSequence
            status.inFlightMessageCount = group.core.node.inFlightCount
            let total = group.core.externalCache.table.total(owner: UInt16(index))
            status.externalFlowCount = total.flowCount
            status.externalDigest = Self.hexadecimal(total.digest)
            status.verifiedMilliseconds = peer.verifiedAt.map { now.milliseconds(since: $0) }
            status.differingFlowCount = peer.differingFlowCount
            status.peerDifferingFlowCount = peer.peerDifferingFlowCount.flatMap { $0 < UInt32.max ? $0 : nil }
            status.mismatchedSettings = peer.mismatchedSettings
            status.repairCount = peer.repairCount
            status.lastRepair = peer.lastRepair.map { repair in
                RepairStatus(
                    flowCount: repair.flowCount,
                    byteCount: repair.byteCount,
                    milliseconds: repair.milliseconds,
                    secondsAgo: now.milliseconds(since: repair.at) / 1000
                )
            }
            return status
        }
    }

    private static func hexadecimal(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

extension NodeRole {
    /// The role that a command asks for.
    init(_ role: Role) { self = Self.allCases.first { Role($0) == role } ?? .unset }
}

extension Role {
    /// The role as the local API says it.
    init(_ role: NodeRole) {
        self =
            switch role {
            case .unset: .unset
            case .primary: .primary
            case .backup: .backup
            case .fault: .fault
            }
    }
}
