internal import Configuration
internal import Conntrack
internal import Control
internal import Flow
internal import FlowTable
internal import Link
internal import Replication
internal import SystemIO
internal import Takeover

extension Engine {
    /// Whether this node may become primary.
    func readiness(_ now: Instant) -> ReadyReport {
        var readiness = Readiness()
        readiness.isLoaded = isReady
        readiness.linkProblem = link.isLive ? nil : link.stateText
        readiness.uptimeSeconds = now.milliseconds(since: startedAt) / 1000
        readiness.isChangingRole = action?.name.hasPrefix("role ") == true && action?.phases.first?.givesWay == false
        for peer in core.node.peerStatus where peer.isUp {
            readiness.peersUp.append(peer.name)
            if peer.isClaiming, peer.synchronisedSince == nil { readiness.peersNotSynchronised.append(peer.name) }
        }
        return ReadyReport(reason: readiness.reasonAgainst)
    }

    /// One line for `systemctl status`.
    func statusLine(_ now: Instant) -> String {
        let peers = core.node.peerStatus
        let up = peers.filter(\.isUp).count
        let peerText = peers.isEmpty ? "no peer heard" : "\(up) of \(peers.count) peers up"
        return "role \(core.node.role.text), \(peerText), link \(link.stateText)"
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
        status.links = [
            LinkStatus(description: "\(link.settings)", isLive: link.isLive, stateText: link.stateText)
        ]
        status.caches = CacheStatus(
            internalFlowCount: core.internalCache.count,
            externalFlowCount: core.externalCache.count
        )
        status.kernel = kernelStatus()
        status.warnings = ["the sync link is not encrypted (insecure = true)"] + warnings
        if let (at, report) = lastTakeover {
            status.lastTakeover = TakeoverStatus(secondsAgo: now.milliseconds(since: at) / 1000, report: report)
        }
        return status
    }

    private func peers(_ now: Instant) -> [Control.PeerStatus] {
        let flowCounts = externalFlowCounts()
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
            status.externalFlowCount = flowCounts[index]
            return status
        }
    }

    private func externalFlowCounts() -> [Int] {
        let peerCount = core.node.peerStatus.count
        if peerCount == 1 { return [core.externalCache.count] }
        var counts = [Int](repeating: 0, count: peerCount)
        _ = core.externalCache.table.walk(after: nil, slotCountMax: .max) { _, header in
            if !header.flags.contains(.dead), Int(header.owner) < peerCount { counts[Int(header.owner)] += 1 }
        }
        return counts
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
        statistics.links = [linkStatistics()]
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

    private func linkStatistics() -> LinkStatistics {
        let isMulticast = if case .multicast = link.settings.transport { true } else { false }
        let interface = (try? interfaces.snapshot())?.first { $0.name == link.settings.interface }
        var statistics = LinkStatistics(
            transport: isMulticast ? "multicast" : "UDP",
            interface: link.settings.interface,
            isUp: interface?.isUp ?? false,
            isRunning: interface?.isRunning ?? false,
            isActive: link.isLive
        )
        let counters = link.counters
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
        statistics.dropped = [
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
