internal import Configuration
internal import Conntrack
internal import Control
internal import Flow
internal import FlowTable
internal import Link
internal import Replication
internal import SystemIO

extension Engine {
    /// Everything `flowsync stats` shows.
    func statistics(_ now: Instant) -> Statistics {
        var statistics = Statistics(
            node: configuration.nodeName,
            uptimeSeconds: now.milliseconds(since: startedAt) / 1000
        )
        statistics.kernel = kernel
        for group in groups {
            Self.add(group.core.internalCache.counters, group.core.internalCache.table, to: &statistics.internalCache)
            Self.add(group.core.externalCache.counters, group.core.externalCache.table, to: &statistics.externalCache)
            statistics.externalCache.expiredCount += group.core.expiredCount
            statistics.kernel.reconciledFlowCount += group.core.reconciledFlowCount
        }
        let active = groups[0].core.node.activeLink(liveMask: links.liveMask, now: now)
        statistics.links = (0..<links.count).map { linkStatistics($0, isActive: $0 == active) }
        statistics.replication = replicationStatistics()
        statistics.kernel.eventCount = intake.eventCount
        statistics.kernel.filteredEventCount = intake.filteredEventCount
        statistics.kernel.ownEventCount = intake.ownEventCount
        statistics.kernel.eventBufferByteCount = UInt64(events.bufferByteCount)
        let queuedCount = groups.reduce(0) { $0 + $1.core.node.queuedCount }
        let inFlightCount = groups.reduce(0) { $0 + $1.core.node.inFlightCount }
        statistics.queues = [
            QueueStatistics(
                name: "txqueue",
                elementCount: UInt64(queuedCount),
                elementCountMax: UInt64(Int32.max)
            ),
            QueueStatistics(
                name: "errorq",
                elementCount: UInt64(action?.jobs.count ?? 0),
                elementCountMax: UInt64(ActionRun.jobCountMax)
            ),
            QueueStatistics(
                name: "rsqueue",
                elementCount: UInt64(inFlightCount),
                elementCountMax: UInt64(ReplicationNode.inFlightCountMax)
            ),
        ]
        statistics.queueNodeCount = UInt64(queuedCount + inFlightCount)
        return statistics
    }

    private static func add(
        _ counters: CacheCounters,
        _ table: borrowing FlowTable,
        to statistics: inout CacheStatistics
    ) {
        statistics.activeFlowCount += UInt64(table.liveCount)
        statistics.objectCount += UInt64(table.occupiedCount)
        statistics.entryCount += UInt64(table.occupiedCount)
        statistics.byteCount += UInt64(table.allocatedByteCount)
        statistics.createdCount += counters.created
        statistics.createFailedNoSpaceCount += counters.createFailed
        statistics.updatedCount += counters.updated
        statistics.updateFailedNotFoundCount += counters.updateFailed
        statistics.destroyedCount += counters.destroyed
        statistics.destroyFailedNotFoundCount += counters.destroyFailed
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
        var sent = SendCounters()
        var received = ReceiveCounters()
        for group in groups {
            sent += group.core.node.sent
            received += group.core.node.received
        }
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
            "other traffic group": received.otherGroup,
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
        statistics.corruptedRecordCount = groups.reduce(0) { sum, group in
            sum + group.core.internalCache.counters.damaged + group.core.externalCache.counters.damaged
        }
        return statistics
    }

    /// Flows in the internal caches of all groups.
    var internalFlowCount: Int { groups.reduce(0) { $0 + $1.core.internalCache.count } }

    /// What happened to the flows of the internal caches of all groups.
    var internalCounters: CacheCounters {
        var sum = CacheCounters()
        for group in groups { sum += group.core.internalCache.counters }
        return sum
    }
}
