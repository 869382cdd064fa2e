/// Counters of one cache since the daemon started.
public struct CacheStatistics: Codable, Sendable, Equatable {
    /// Flows that are alive.
    public var activeFlowCount: UInt64 = 0
    /// Records allocated.
    public var objectCount: UInt64 = 0
    /// Records in the table, those that wait for an acknowledgement of their end among them.
    public var entryCount: UInt64 = 0
    /// Memory held by records and index.
    public var byteCount: UInt64 = 0
    /// Flows added.
    public var createdCount: UInt64 = 0
    /// Flows not added for want of memory.
    public var createFailedNoMemoryCount: UInt64 = 0
    /// Flows not added because the cache had reached its limit.
    public var createFailedNoSpaceCount: UInt64 = 0
    /// Flows changed.
    public var updatedCount: UInt64 = 0
    /// Changes of flows that the cache does not hold.
    public var updateFailedNotFoundCount: UInt64 = 0
    /// Flows removed because they ended.
    public var destroyedCount: UInt64 = 0
    /// Ends of flows that the cache does not hold.
    public var destroyFailedNotFoundCount: UInt64 = 0
    /// Flows removed because their time ran out.
    public var expiredCount: UInt64 = 0

    /// A cache that nothing has happened to.
    public init() {}

    /// Flows not added, whatever the cause.
    public var createFailedCount: UInt64 { createFailedNoMemoryCount &+ createFailedNoSpaceCount }
}

/// Counters of one sync link.
public struct LinkStatistics: Codable, Sendable, Equatable {
    /// "UDP" or "multicast".
    public var transport: String
    /// The interface's name.
    public var interface: String
    /// Whether the interface exists and is up.
    public var isUp: Bool
    /// Whether the interface has a carrier.
    public var isRunning: Bool
    /// Whether this link carries the load.
    public var isActive: Bool
    /// Payload bytes sent.
    public var sentByteCount: UInt64 = 0
    /// Payload bytes received.
    public var receivedByteCount: UInt64 = 0
    /// Datagrams sent.
    public var sentDatagramCount: UInt64 = 0
    /// Datagrams received.
    public var receivedDatagramCount: UInt64 = 0
    /// Datagrams the kernel refused to send, by errno name; the protocol sends their content again.
    public var sendErrors: [String: UInt64] = [:]
    /// Failed receive calls.
    public var receiveErrorCount: UInt64 = 0
    /// Datagrams that arrived and were dropped, by cause: "foreign interface", "foreign address", "truncated".
    public var dropped: [String: UInt64] = [:]

    /// A link that nothing has been sent on.
    public init(transport: String, interface: String, isUp: Bool, isRunning: Bool, isActive: Bool) {
        self.transport = transport
        self.interface = interface
        self.isUp = isUp
        self.isRunning = isRunning
        self.isActive = isActive
    }

    /// Datagrams the kernel refused to send, whatever the cause.
    public var sendErrorCount: UInt64 { sendErrors.values.reduce(0, &+) }
}

/// Counters of the replication protocol.
public struct ReplicationStatistics: Codable, Sendable, Equatable {
    /// Datagrams of another protocol version.
    public var wrongVersionCount: UInt64 = 0
    /// Datagrams whose header is malformed.
    public var malformedHeaderCount: UInt64 = 0
    /// Messages whose content is malformed, records that fail validation among them.
    public var malformedPayloadCount: UInt64 = 0
    /// Messages of a type this version does not know.
    public var unknownTypeCount: UInt64 = 0
    /// Datagrams or messages that end too early.
    public var truncatedCount: UInt64 = 0
    /// Messages whose size cannot be.
    public var wrongSizeCount: UInt64 = 0
    /// Messages not sent because they could not be encoded.
    public var unsendableCount: UInt64 = 0
    /// Datagrams missing from a peer's sequence.
    public var lostDatagramCount: UInt64 = 0
    /// Datagrams that arrived after later ones, or twice.
    public var lateDatagramCount: UInt64 = 0
    /// Other datagrams and messages that were dropped, by cause: "own datagram", "old epoch".
    public var dropped: [String: UInt64] = [:]

    /// Changed flows sent for the first time.
    public var sentUpsertCount: UInt64 = 0
    /// Ended flows sent for the first time.
    public var sentDeleteCount: UInt64 = 0
    /// Changed flows received.
    public var receivedUpsertCount: UInt64 = 0
    /// Ended flows received.
    public var receivedDeleteCount: UInt64 = 0
    /// Flows sent again because a peer missed them.
    public var resentCount: UInt64 = 0
    /// Acknowledgements sent.
    public var sentAcknowledgementCount: UInt64 = 0
    /// Acknowledgements received.
    public var receivedAcknowledgementCount: UInt64 = 0
    /// Heartbeats sent.
    public var sentHeartbeatCount: UInt64 = 0
    /// Heartbeats received.
    public var receivedHeartbeatCount: UInt64 = 0
    /// Bulk transfers started towards a peer.
    public var sentBulkTransferCount: UInt64 = 0
    /// Flows sent in bulk transfers.
    public var sentBulkFlowCount: UInt64 = 0
    /// Bulk transfers received to their end.
    public var receivedBulkTransferCount: UInt64 = 0
    /// Requests for everything sent to a peer.
    public var sentResyncRequestCount: UInt64 = 0
    /// Requests for everything received from a peer.
    public var receivedResyncRequestCount: UInt64 = 0
    /// Restarts of peers that were noticed.
    public var peerRestartCount: UInt64 = 0
    /// Changes ignored because the flow has an owner with a higher takeover number.
    public var outrankedCount: UInt64 = 0
    /// Digests of peers that agreed with the copy here.
    public var agreementCount: UInt64 = 0
    /// Digests of peers that did not.
    public var differenceCount: UInt64 = 0
    /// Repairs of the copies here.
    public var repairCount: UInt64 = 0
    /// Flows that those sent again or removed.
    public var repairedFlowCount: UInt64 = 0
    /// Flows sent for repairs of peers' copies.
    public var sentRepairFlowCount: UInt64 = 0
    /// Records in either cache that were found to be no longer what was written.
    public var corruptedRecordCount: UInt64 = 0

    /// A protocol that has sent and received nothing.
    public init() {}

    /// Everything malformed that arrived.
    public var malformedCount: UInt64 {
        wrongVersionCount &+ malformedHeaderCount &+ malformedPayloadCount &+ unknownTypeCount &+ truncatedCount
            &+ wrongSizeCount
    }
}

/// Counters of what was asked of and heard from the kernel.
public struct KernelStatistics: Codable, Sendable, Equatable {
    /// Events received.
    public var eventCount: UInt64 = 0
    /// Events that the replication policy does not admit.
    public var filteredEventCount: UInt64 = 0
    /// Events that echo our own writes.
    public var ownEventCount: UInt64 = 0
    /// Events of a type we do not know.
    public var unknownEventCount: UInt64 = 0
    /// Events and dump messages that could not be decoded, by cause.
    public var malformed: [String: UInt64] = [:]
    /// Dump messages of a type we do not know.
    public var unknownDumpMessageCount: UInt64 = 0
    /// Times the event buffer overflowed.
    public var overrunCount: UInt64 = 0
    /// The event buffer's current size.
    public var eventBufferByteCount: UInt64 = 0
    /// Times the event buffer was grown.
    public var eventBufferGrowthCount: UInt64 = 0
    /// Dumps of the kernel's table, whatever for.
    public var dumpCount: UInt64 = 0
    /// Dumps that the kernel said were inconsistent (`NLM_F_DUMP_INTR`).
    public var interruptedDumpCount: UInt64 = 0
    /// Comparisons of internal cache and kernel table after an overrun.
    public var reconciliationCount: UInt64 = 0
    /// Flows that such a comparison added, changed or removed.
    public var reconciledFlowCount: UInt64 = 0
    /// Comparisons of internal cache and kernel table at regular intervals.
    public var auditCount: UInt64 = 0
    /// Flows that such an audit found in the kernel, though no event had told of them.
    public var auditAppearedFlowCount: UInt64 = 0
    /// Flows that an audit no longer found in the kernel, though no event had told of their end.
    public var auditVanishedFlowCount: UInt64 = 0
    /// Flows that an audit found changed, though no event had told of it.
    public var auditChangedFlowCount: UInt64 = 0
    /// Times the operator flushed the kernel's table.
    public var flushCount: UInt64 = 0
    /// Times the operator asked for a resync with the kernel's table.
    public var resyncCount: UInt64 = 0
    /// Flows created in the kernel.
    public var createdCount: UInt64 = 0
    /// Flows that the kernel already had and that were updated.
    public var updatedCount: UInt64 = 0
    /// Flows deleted in the kernel.
    public var deletedCount: UInt64 = 0
    /// Flows to be deleted that the kernel no longer had.
    public var missingCount: UInt64 = 0
    /// Flows that met another one of the same original or translated tuple in the kernel, by kind and which was kept.
    public var clashes: [String: UInt64] = [:]
    /// Writes that the kernel refused, by errno name.
    public var refused: [String: UInt64] = [:]

    /// A kernel that nothing was asked of.
    public init() {}

    /// Messages that could not be decoded, whatever the cause.
    public var malformedCount: UInt64 { malformed.values.reduce(0, &+) }
}

/// One queue's fill.
public struct QueueStatistics: Codable, Sendable, Equatable {
    /// The queue's name.
    ///
    /// "txqueue" (to be sent), "errorq" (to be written to the kernel) or "rsqueue" (sent, not yet acknowledged). The
    /// names are conntrackd's, since scripts look for them.
    public var name: String
    /// Elements in it.
    public var elementCount: UInt64
    /// How many it may hold.
    public var elementCountMax: UInt64
    /// Elements that found it full.
    public var notEnoughSpaceCount: UInt64

    /// The fill of a queue.
    public init(name: String, elementCount: UInt64, elementCountMax: UInt64, notEnoughSpaceCount: UInt64 = 0) {
        self.name = name
        self.elementCount = elementCount
        self.elementCountMax = elementCountMax
        self.notEnoughSpaceCount = notEnoughSpaceCount
    }
}

/// Counters of the daemon itself.
public struct RuntimeStatistics: Codable, Sendable, Equatable {
    /// Failed waits of the event loop.
    public var waitFailedCount: UInt64 = 0
    /// Control requests that could not be read.
    public var requestFailedCount: UInt64 = 0
    /// Control requests for a route that does not exist.
    public var unknownRequestCount: UInt64 = 0

    /// A daemon that nothing has happened to.
    public init() {}
}

/// Everything `flowsync stats` shows.
public struct Statistics: Codable, Sendable, Equatable {
    /// The node's name.
    public var node: String
    /// Time since the daemon started.
    public var uptimeSeconds: UInt64
    /// Flows this node handles.
    public var internalCache = CacheStatistics()
    /// Flows its peers handle.
    public var externalCache = CacheStatistics()
    /// The sync links, in the order of the configuration.
    public var links: [LinkStatistics] = []
    /// The replication protocol.
    public var replication = ReplicationStatistics()
    /// The kernel's events, dumps and writes.
    public var kernel = KernelStatistics()
    /// The queues: txqueue, errorq, rsqueue.
    public var queues: [QueueStatistics] = []
    /// Queue nodes allocated at the moment.
    public var queueNodeCount: UInt64 = 0
    /// The daemon itself.
    public var runtime = RuntimeStatistics()

    /// The counters of a node that has just started.
    public init(node: String, uptimeSeconds: UInt64 = 0) {
        self.node = node
        self.uptimeSeconds = uptimeSeconds
    }
}
