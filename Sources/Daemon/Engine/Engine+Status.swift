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

    /// Whether this node may become primary.
    func readiness(_ now: Instant) -> ReadyReport {
        var readiness = Readiness()
        readiness.isPrimary = core.node.role == .primary || action?.role == .primary
        readiness.isLoaded = isReady
        readiness.linkProblem = linkProblem
        readiness.linkDownSeconds = now.milliseconds(since: linkLostAt ?? now) / 1000
        readiness.waitedSeconds = now.milliseconds(since: unreadySince ?? now) / 1000
        readiness.uptimeSeconds = now.milliseconds(since: startedAt) / 1000
        readiness.isChangingRole = action?.role != nil && action?.phases.first?.givesWay == false
        for peer in core.node.peerStatus where peer.isUp {
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
        return ReadyReport(reason: readiness.reasonAgainst)
    }

    /// Writes into the track file whether this node may become primary, when that has changed.
    func trackReadiness(_ now: Instant) {
        linkLostAt = linkProblem == nil ? nil : linkLostAt ?? now
        let isReady = readiness(now).isReady
        unreadySince = isReady ? nil : unreadySince ?? now
        if isReady != trackedReadiness { writeTrackFile(isReady: isReady) }
    }

    /// Writes the track file: `0` if the node may become primary, else `1`.
    func writeTrackFile(isReady: Bool) {
        let path = Self.trackFilePath(socketPath: configuration.controlSocketPath)
        do {
            try SystemFile.writeAtomically(Array(isReady ? "0\n".utf8 : "1\n".utf8), to: path, mode: 0o644)
            trackedReadiness = isReady
        } catch {
            logLimited("track file", "keepalived's track file cannot be written: \(error)")
        }
    }

    /// Where keepalived's `track_file` looks: `ready.track` beside the control socket.
    private static func trackFilePath(socketPath: String) -> String {
        socketPath[..<(socketPath.lastIndex(of: "/") ?? socketPath.startIndex)] + "/ready.track"
    }

    /// One line for `systemctl status`.
    func statusLine(_ now: Instant) -> String {
        let peers = core.node.peerStatus
        let up = peers.filter(\.isUp).count
        let peerText = peers.isEmpty ? "no peer heard" : "\(up) of \(peers.count) peers up"
        return "role \(core.node.role.text), \(peerText), link \(linkProblem ?? "live")"
    }

    /// Why no link can be used; nil if one can.
    private var linkProblem: String? {
        let texts = (0..<links.count).map { links.isLive($0) ? nil : links.stateText($0) }
        return texts.contains(nil) ? nil : texts.compactMap(\.self).joined(separator: "; ")
    }

    private func linkStatus(_ now: Instant) -> [LinkStatus] {
        let active = core.node.activeLink(liveMask: links.liveMask, now: now)
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
        status.role = Role(core.node.role)
        status.roleSinceSeconds = now.milliseconds(since: roleSince) / 1000
        status.takeoverNumber = UInt64(core.node.takeoverNumber)
        status.ready = readiness(now)
        status.peers = peers(now)
        status.links = linkStatus(now)
        status.caches = CacheStatus(
            internalFlowCount: core.internalCache.count,
            externalFlowCount: core.externalCache.count,
            preloadedFlowCount: configuration.takeover.commit == .preload ? core.externalCache.mirroredCount : nil
        )
        status.kernel = kernelStatus()
        status.gate = gateStatus()
        status.warnings = syncWarnings(now) + (gateProblem.map { [$0] } ?? []) + warnings
        if let last = history.takeovers.last {
            let secondsAgo = (WallClock.nanoseconds() / 1_000_000_000).subtractingReportingOverflow(last.endedAt)
            status.lastTakeover = TakeoverStatus(
                secondsAgo: secondsAgo.overflow ? 0 : secondsAgo.partialValue,
                report: last.report
            )
        }
        return status
    }

    private func gateStatus() -> GateStatus? {
        let interfaces = configuration.takeover.gateInterfaces
        guard !interfaces.isEmpty else { return nil }
        var status = GateStatus(interfaces: interfaces, isClosed: gate?.isClosed == true)
        if status.isClosed { status.droppedPacketCount = try? gate?.count().packets }
        return status
    }

    private func syncWarnings(_ now: Instant) -> [String] {
        var warnings: [String] = []
        if configuration.sync.security == .insecure { warnings.append(Self.insecureWarning) }
        for peer in core.node.peerStatus where peer.isUp && !peer.mismatchedSettings.isEmpty {
            warnings.append(
                "\(peer.name) is configured differently: \(peer.mismatchedSettings.joined(separator: ", "))"
            )
        }
        if let heardAt = core.node.duplicateHeardAt, now.milliseconds(since: heardAt) < Self.duplicateMilliseconds {
            warnings.append(duplicateText)
        }
        return warnings
    }

    private func peers(_ now: Instant) -> [Control.PeerStatus] {
        return core.node.peerStatus.enumerated().map { index, peer in
            var status = Control.PeerStatus(name: peer.name)
            status.nodeID = Self.hexadecimal(UInt64(peer.nodeID))
            status.epoch = Self.hexadecimal(peer.epoch)
            status.isUp = peer.isUp
            status.role = Role(peer.role)
            status.lastHeardMilliseconds = now.milliseconds(since: peer.lastHeard)
            status.reason =
                if !peer.isUp {
                    "not heard for \(now.milliseconds(since: peer.lastHeard) / 1000) s"
                } else if peer.synchronisedSince == nil {
                    "its flows are not all here yet"
                } else if !peer.isMember {
                    "it has not asked for this node's flows yet"
                } else if core.node.isTransferring {
                    "this node's flows are on their way to it"
                } else if core.node.role.claimsFlows, peer.peerVerifiedAt == nil {
                    "it has not proved its copy of this node's flows yet"
                } else {
                    nil
                }
            status.isSynchronised = status.reason == nil
            if status.isSynchronised, let since = peer.synchronisedSince {
                status.synchronisedSinceSeconds = now.milliseconds(since: since) / 1000
            }
            status.sentSequence = core.node.sentSequence
            status.acknowledgedSequence = peer.acknowledgedSequence
            status.inFlightMessageCount = core.node.inFlightCount
            let total = core.externalCache.table.total(owner: UInt16(index))
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

    // MARK: Statistics

    /// Everything `flowsync stats` shows.
    func statistics(_ now: Instant) -> Statistics {
        var statistics = Statistics(
            node: configuration.nodeName,
            uptimeSeconds: now.milliseconds(since: startedAt) / 1000
        )
        statistics.internalCache = Self.cacheStatistics(core.internalCache.counters, core.internalCache.table)
        statistics.externalCache = Self.cacheStatistics(core.externalCache.counters, core.externalCache.table)
        statistics.externalCache.expiredCount = core.expiredCount
        let active = core.node.activeLink(liveMask: links.liveMask, now: now)
        statistics.links = (0..<links.count).map { linkStatistics($0, isActive: $0 == active) }
        statistics.replication = replicationStatistics()
        statistics.kernel = kernel
        statistics.kernel.eventCount = core.eventCount
        statistics.kernel.filteredEventCount = core.filteredEventCount
        statistics.kernel.ownEventCount = core.ownEventCount
        statistics.kernel.reconciledFlowCount = core.reconciledFlowCount
        statistics.kernel.eventBufferByteCount = UInt64(events.bufferByteCount)
        statistics.queues = [
            QueueStatistics(
                name: "txqueue",
                elementCount: UInt64(core.node.queuedCount),
                elementCountMax: UInt64(Int32.max)
            ),
            QueueStatistics(
                name: "errorq",
                elementCount: UInt64(action?.jobs.count ?? 0),
                elementCountMax: UInt64(ActionRun.jobCountMax)
            ),
            QueueStatistics(
                name: "rsqueue",
                elementCount: UInt64(core.node.inFlightCount),
                elementCountMax: UInt64(ReplicationNode.inFlightCountMax)
            ),
        ]
        statistics.queueNodeCount = UInt64(core.node.queuedCount + core.node.inFlightCount)
        return statistics
    }

    private static func cacheStatistics(
        _ counters: CacheCounters,
        _ table: borrowing FlowTable
    ) -> CacheStatistics {
        var statistics = CacheStatistics()
        statistics.activeFlowCount = UInt64(table.liveCount)
        statistics.objectCount = UInt64(table.occupiedCount)
        statistics.entryCount = UInt64(table.occupiedCount)
        statistics.byteCount = UInt64(table.allocatedByteCount)
        statistics.createdCount = counters.created
        statistics.createFailedNoSpaceCount = counters.createFailed
        statistics.updatedCount = counters.updated
        statistics.updateFailedNotFoundCount = counters.updateFailed
        statistics.destroyedCount = counters.destroyed
        statistics.destroyFailedNotFoundCount = counters.destroyFailed
        return statistics
    }

    private func linkStatistics(_ index: Int, isActive: Bool) -> LinkStatistics {
        let settings = links.settings(index)
        let transport =
            switch settings.transport {
            case .multicast: "multicast"
            case .udp: "UDP"
            case .tcp: "TCP"
            }
        let interface = (try? interfaces.snapshot())?.first { $0.name == settings.interface }
        var statistics = LinkStatistics(
            transport: transport,
            interface: settings.interface,
            isUp: interface?.isUp ?? false,
            isRunning: interface?.isRunning ?? false,
            isActive: isActive && links.isLive(index)
        )
        let counters = links.counters(index)
        statistics.sentByteCount = counters.bytesSent
        statistics.receivedByteCount = counters.bytesReceived
        statistics.sentDatagramCount = counters.datagramsSent
        statistics.receivedDatagramCount = counters.datagramsReceived
        for (errno, count) in counters.sendErrors { statistics.sendErrors[SystemError.name(of: errno)] = count }
        statistics.receiveErrorCount = counters.receiveErrors
        statistics.dropped = [
            "foreign interface": counters.droppedForeignInterface,
            "foreign address": counters.droppedForeignAddress,
            "truncated": counters.droppedTruncated,
            "receive buffer full": counters.droppedByKernel,
            "link not live": counters.droppedNotLive,
        ].filter { $0.value > 0 }
        return statistics
    }

    private func replicationStatistics() -> ReplicationStatistics {
        let (sent, received) = (core.node.sent, core.node.received)
        var statistics = ReplicationStatistics()
        statistics.wrongVersionCount = received.unknownVersion
        statistics.malformedHeaderCount = received.foreign
        statistics.malformedPayloadCount = received.malformedMessage + received.malformedRecord
        statistics.unknownTypeCount = received.unknownMessage
        statistics.truncatedCount = received.truncated
        statistics.lostDatagramCount = sent.lostDatagrams
        statistics.lateDatagramCount = received.duplicate
        let seal = security.counters ?? SealCounters()
        statistics.dropped = [
            "not sealed": seal.notSealed,
            "malformed envelope": seal.malformed,
            "unknown key": seal.unknownKey,
            "failed authentication": seal.forged,
            "replayed": seal.replayed,
            "too old": seal.tooOld,
            "own datagram": received.own,
            "node id used twice": received.duplicateNodeID,
            "unproven epoch": received.unproven,
            "old epoch": received.staleEpoch,
            "beyond window": received.beyondWindow,
            "too many peers": received.tooManyPeers,
            "older state": received.stale,
            "invalid acknowledgement": sent.invalidAcks,
        ].filter { $0.value > 0 }
        statistics.sentUpsertCount = sent.upserts - min(sent.resends, sent.upserts)
        statistics.sentDeleteCount = sent.deletes
        statistics.receivedUpsertCount = received.upserts
        statistics.receivedDeleteCount = received.deletes
        statistics.resentCount = sent.resends
        statistics.sentAcknowledgementCount = sent.acksSent
        statistics.receivedAcknowledgementCount = sent.acks
        statistics.sentHeartbeatCount = sent.heartbeats
        statistics.receivedHeartbeatCount = received.heartbeats
        statistics.sentBulkFlowCount = sent.transferredFlows
        statistics.sentResyncRequestCount = sent.resyncRequests
        statistics.sentBulkTransferCount = sent.transfers
        statistics.receivedBulkTransferCount = synchronisedTransferCount
        statistics.receivedResyncRequestCount = resyncRequestCount
        statistics.peerRestartCount = peerRestartCount
        statistics.outrankedCount = received.refused
        statistics.agreementCount = received.agreements
        statistics.differenceCount = received.differences
        statistics.repairCount = received.repairs
        statistics.repairedFlowCount = received.repairedFlows
        statistics.sentRepairFlowCount = sent.repairedFlows
        statistics.corruptedRecordCount =
            core.internalCache.counters.damaged + core.externalCache.counters.damaged
        return statistics
    }

    // MARK: Dumps

    /// The next records of a cache.
    func dumpChunk(_ cache: CacheSelection, after cursor: UInt64?, limit: Int, now: Instant) -> DumpChunk {
        var chunk = DumpChunk(records: [], activeSeconds: [], nextCursor: nil)
        var slot = cursor.map { Slot(rawValue: UInt32(truncatingIfNeeded: $0)) }
        while chunk.activeSeconds.count < limit {
            let next: Slot? =
                switch cache {
                case .internal: core.internalCache.table.next(after: slot)
                case .external: core.externalCache.table.next(after: slot)
                }
            guard let next else { return chunk }
            slot = next
            switch cache {
            case .internal:
                Self.append(
                    next,
                    of: core.internalCache.table,
                    core.internalCache.activeSeconds(next, now: now),
                    now,
                    &chunk
                )
            case .external:
                Self.append(
                    next,
                    of: core.externalCache.table,
                    core.externalCache.activeSeconds(next, now: now),
                    now,
                    &chunk
                )
            }
        }
        chunk.nextCursor = slot.map { UInt64($0.rawValue) }
        return chunk
    }

    private static func append(
        _ slot: Slot,
        of table: borrowing FlowTable,
        _ activeSeconds: UInt32,
        _ now: Instant,
        _ chunk: inout DumpChunk
    ) {
        guard !table[slot].flags.contains(.dead) else { return }
        let timeoutSeconds = table[slot].deadline.secondsLeft(at: now)
        table.appendRecord(at: slot, timeoutSeconds: timeoutSeconds, to: &chunk.records)
        chunk.activeSeconds.append(activeSeconds)
    }
}

extension NodeRole {
    /// The role that a command asks for.
    init(_ role: Role) {
        self =
            switch role {
            case .unset: .unset
            case .primary: .primary
            case .backup: .backup
            case .fault: .fault
            }
    }
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
