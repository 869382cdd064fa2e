/// The plain form of `flowsync stats`.
///
/// Operators' scripts and monitoring plug-ins parse what conntrackd 1.4.7 prints. So each page begins with that layout
/// to the last tab and space: 32-bit counters right-aligned in 12 columns, 64-bit ones in 20. Counters of things that
/// only conntrackd has (child processes, accounting) stand there as 0. What only FlowSync counts follows below, so that
/// a script that looks for a line by its name finds the one it knew; the summary page carries nothing of ours at all.
public enum StatisticsText {
    /// One page, ending in a newline.
    public static func render(_ statistics: Statistics, topic: StatisticsTopic) -> String {
        switch topic {
        case .summary: summary(statistics)
        case .cache: cachePage(statistics)
        case .network: network(statistics) + replication(statistics.replication)
        case .runtime: runtime(statistics) + kernel(statistics.kernel)
        case .link: statistics.links.map(linkBlock).joined() + statistics.links.map(linkCauses).joined()
        case .queue: queues(statistics)
        }
    }

    // MARK: conntrackd's pages

    private static func summary(_ statistics: Statistics) -> String {
        """
        \(cacheBlock("internal", statistics.internalCache))
        \(cacheBlock("external", statistics.externalCache))
        traffic processed:
        \(wide(0)) Bytes      \(wide(0)) Pckts

        \(activeLinkBlock(statistics))message tracking:
        \(wide(statistics.replication.malformedCount)) Malformed msgs \
        \(wide(statistics.replication.lostDatagramCount)) Lost msgs


        """
    }

    private static func cacheBlock(_ name: String, _ cache: CacheStatistics) -> String {
        """
        cache \(name):
        current active connections:\t\(narrow(cache.activeFlowCount))
        connections created:\t\t\(narrow(cache.createdCount))\tfailed:\t\(narrow(cache.createFailedCount))
        connections updated:\t\t\(narrow(cache.updatedCount))\tfailed:\t\(narrow(cache.updateFailedNotFoundCount))
        connections destroyed:\t\t\(narrow(cache.destroyedCount))\tfailed:\t\
        \(narrow(cache.destroyFailedNotFoundCount))

        """
    }

    private static func cachePage(_ statistics: Statistics) -> String {
        [("internal", statistics.internalCache), ("external", statistics.externalCache)].map { name, cache in
            """
            cache:\(name)\tactive objects:\t\t\(narrow(cache.objectCount))
            \tactive/total entries:\t\t\(narrow(cache.activeFlowCount))/\(narrow(cache.entryCount))
            \tcreation OK/failed:\t\t\(narrow(cache.createdCount))/\(narrow(cache.createFailedCount))
            \t\tno memory available:\t\(narrow(cache.createFailedNoMemoryCount))
            \t\tno space left in cache:\t\(narrow(cache.createFailedNoSpaceCount))
            \tupdate OK/failed:\t\t\(narrow(cache.updatedCount))/\(narrow(cache.updateFailedNotFoundCount))
            \t\tentry not found:\t\(narrow(cache.updateFailedNotFoundCount))
            \tdeletion created/failed:\t\(narrow(cache.destroyedCount))/\(narrow(cache.destroyFailedNotFoundCount))
            \t\tentry not found:\t\(narrow(cache.destroyFailedNotFoundCount))


            """
        }.joined()
    }

    private static func network(_ statistics: Statistics) -> String {
        let counters = statistics.replication
        return """
            network statistics:
            \trecv:
            \t\tMalformed messages:\t\(wide(counters.malformedCount))
            \t\tWrong protocol version:\t\(wide(counters.wrongVersionCount))
            \t\tMalformed header:\t\(wide(counters.malformedHeaderCount))
            \t\tMalformed payload:\t\(wide(counters.malformedPayloadCount))
            \t\tBad message type:\t\(wide(counters.unknownTypeCount))
            \t\tTruncated message:\t\(wide(counters.truncatedCount))
            \t\tBad message size:\t\(wide(counters.wrongSizeCount))
            \tsend:
            \t\tMalformed messages:\t\(wide(counters.unsendableCount))

            sequence tracking statistics:
            \trecv:
            \t\tPackets lost:\t\t\(wide(counters.lostDatagramCount))
            \t\tPackets before:\t\t\(wide(counters.lateDatagramCount))

            \(activeLinkBlock(statistics))
            """
    }

    private static func runtime(_ statistics: Statistics) -> String {
        let kernel = statistics.kernel
        let runtime = statistics.runtime
        return """
            daemon uptime: \(DurationText.uptime(seconds: statistics.uptimeSeconds))

            netlink stats:
            \tevents received:\t\(wide(kernel.eventCount))
            \tevents filtered:\t\(wide(kernel.filteredEventCount))
            \tevents unknown type:\t\t\(narrow(kernel.unknownEventCount))
            \tcatch event failed:\t\t\(narrow(kernel.malformedCount))
            \tdump unknown type:\t\t\(narrow(kernel.unknownDumpMessageCount))
            \tnetlink overrun:\t\t\(narrow(kernel.overrunCount))
            \tflush kernel table:\t\t\(narrow(kernel.flushCount))
            \tresync with kernel table:\t\(narrow(kernel.resyncCount))
            \tcurrent buffer size (in bytes):\t\(narrow(kernel.eventBufferByteCount))

            runtime stats:
            \tchild process failed:\t\t\(narrow(0))
            \t\tchild process segfault:\t\(narrow(0))
            \t\tchild process termsig:\t\(narrow(0))
            \tselect failed:\t\t\t\(narrow(runtime.waitFailedCount))
            \twait failed:\t\t\t\(narrow(0))
            \tlocal read failed:\t\t\(narrow(runtime.requestFailedCount))
            \tlocal unknown request:\t\t\(narrow(runtime.unknownRequestCount))


            """
    }

    private static func queues(_ statistics: Statistics) -> String {
        let blocks = statistics.queues.map { queue in
            """
            queue \(queue.name):
            current elements:\t\t\(narrow(queue.elementCount))
            maximum elements:\t\t\(narrow(queue.elementCountMax))
            not enough space errors:\t\(narrow(queue.notEnoughSpaceCount))


            """
        }
        return "allocated queue nodes:\t\t\(narrow(statistics.queueNodeCount))\n\n" + blocks.joined()
    }

    /// The traffic of the link that carries the load; nothing if no link is configured.
    private static func activeLinkBlock(_ statistics: Statistics) -> String {
        guard let link = statistics.links.first(where: \.isActive) ?? statistics.links.first else { return "" }
        return "\(link.transport) traffic (active device=\(link.interface)):\n" + trafficLines(link)
    }

    private static func linkBlock(_ link: LinkStatistics) -> String {
        let status = !link.isUp ? "DOWN" : link.isRunning ? "RUNNING" : "NO-CARRIER"
        let role = link.isActive ? "ACTIVE" : "BACKUP"
        let heading = "\(link.transport) traffic device=\(link.interface) status=\(status) role=\(role):\n"
        return heading + trafficLines(link)
    }

    private static func trafficLines(_ link: LinkStatistics) -> String {
        """
        \(wide(link.sentByteCount)) Bytes sent \(wide(link.receivedByteCount)) Bytes recv
        \(wide(link.sentDatagramCount)) Pckts sent \(wide(link.receivedDatagramCount)) Pckts recv
        \(wide(link.sendErrorCount)) Error send \(wide(link.receiveErrorCount)) Error recv


        """
    }

    // MARK: what only FlowSync counts

    private static func replication(_ counters: ReplicationStatistics) -> String {
        """
        replication statistics:
        \tsend:
        \t\tflows changed:\t\t\(wide(counters.sentUpsertCount))
        \t\tflows ended:\t\t\(wide(counters.sentDeleteCount))
        \t\tflows sent again:\t\(wide(counters.resentCount))
        \t\tacknowledgements:\t\(wide(counters.sentAcknowledgementCount))
        \t\theartbeats:\t\t\(wide(counters.sentHeartbeatCount))
        \t\tbulk transfers:\t\t\(wide(counters.sentBulkTransferCount))
        \t\tflows in bulk:\t\t\(wide(counters.sentBulkFlowCount))
        \t\tresync requests:\t\(wide(counters.sentResyncRequestCount))
        \t\tflows for repairs:\t\(wide(counters.sentRepairFlowCount))
        \trecv:
        \t\tflows changed:\t\t\(wide(counters.receivedUpsertCount))
        \t\tflows ended:\t\t\(wide(counters.receivedDeleteCount))
        \t\tacknowledgements:\t\(wide(counters.receivedAcknowledgementCount))
        \t\theartbeats:\t\t\(wide(counters.receivedHeartbeatCount))
        \t\tbulk transfers:\t\t\(wide(counters.receivedBulkTransferCount))
        \t\tresync requests:\t\(wide(counters.receivedResyncRequestCount))
        \t\tpeer restarts:\t\t\(wide(counters.peerRestartCount))
        \t\toutranked changes:\t\(wide(counters.outrankedCount))
        \t\tdigests equal:\t\t\(wide(counters.agreementCount))
        \t\tdigests different:\t\(wide(counters.differenceCount))
        \t\trepairs:\t\t\(wide(counters.repairCount))
        \t\tflows repaired:\t\t\(wide(counters.repairedFlowCount))
        \tdamaged records:\t\t\(wide(counters.corruptedRecordCount))
        \(causes("dropped:", counters.dropped))

        """
    }

    private static func kernel(_ counters: KernelStatistics) -> String {
        """
        kernel statistics:
        \tevents of our own writes:\t\(wide(counters.ownEventCount))
        \tevent buffer grown:\t\t\(wide(counters.eventBufferGrowthCount))
        \tdumps:\t\t\t\t\(wide(counters.dumpCount))
        \tdumps interrupted:\t\t\(wide(counters.interruptedDumpCount))
        \treconciliations:\t\t\(wide(counters.reconciliationCount))
        \tflows reconciled:\t\t\(wide(counters.reconciledFlowCount))
        \taudits:\t\t\t\t\(wide(counters.auditCount))
        \tfound without an event:\t\t\(wide(counters.auditAppearedFlowCount))
        \tgone without an event:\t\t\(wide(counters.auditVanishedFlowCount))
        \tchanged without an event:\t\(wide(counters.auditChangedFlowCount))
        \tflows created:\t\t\t\(wide(counters.createdCount))
        \tflows updated:\t\t\t\(wide(counters.updatedCount))
        \tflows deleted:\t\t\t\(wide(counters.deletedCount))
        \tflows already gone:\t\t\(wide(counters.missingCount))
        \(causes("refused:", counters.refused))\(causes("clashes:", counters.clashes))\
        \(causes("malformed:", counters.malformed))

        """
    }

    private static func linkCauses(_ link: LinkStatistics) -> String {
        let lines = causes("send errors:", link.sendErrors) + causes("dropped:", link.dropped)
        return lines.isEmpty ? "" : "\(link.transport) causes device=\(link.interface):\n\(lines)\n"
    }

    /// A heading and one line per cause; nothing if nothing happened.
    private static func causes(_ heading: String, _ counts: [String: UInt64]) -> String {
        let lines = counts.filter { $0.value > 0 }.sorted { $0.key < $1.key }.map { cause, count in
            "\t\t\(cause):\t\(wide(count))\n"
        }
        return lines.isEmpty ? "" : "\t\(heading)\n" + lines.joined()
    }

    // MARK: columns

    private static func narrow(_ value: UInt64) -> String { rightAligned(value, width: 12) }
    private static func wide(_ value: UInt64) -> String { rightAligned(value, width: 20) }

    private static func rightAligned(_ value: UInt64, width: Int) -> String {
        let digits = String(value)
        return String(repeating: " ", count: max(0, width - digits.utf8.count)) + digits
    }
}
