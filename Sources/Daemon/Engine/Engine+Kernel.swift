internal import Configuration
internal import Conntrack
internal import Control
internal import Flow
internal import FlowTable
internal import Link
internal import Logging
internal import Policy
internal import Replication
internal import SystemIO

/// How the internal cache is brought in line with the kernel's table by a dump.
struct Reconciliation: ~Copyable {
    enum Cause: String {
        case start = "start"
        case overrun = "event overrun"
        case audit = "audit"
        case command = "command"
        case policy = "policy change"
    }

    /// After an overrun the burst gets this long to end, so that the dump is not overrun in turn.
    static let overrunDelayMilliseconds: UInt64 = 100
    /// Between two audits; more where a dump takes long, so that audits cost no more than 0.2 % of a core.
    static let auditMillisecondsMin: UInt64 = 30_000
    static let auditPauseFactor: UInt64 = 500
    /// Entries read per turn.
    static let entryCountMaxPerTurn = 4_096

    var dump: TableDump?
    var isSweeping = false
    var cause = Cause.start
    var startedAt = Instant(nanoseconds: 0)
    var finishedAt = Instant(nanoseconds: 0)
    var lastMilliseconds: UInt64 = 0
    /// When a dump that is wanted may begin.
    var dueAt: Instant?
    var dueCause = Cause.overrun
    /// Dumps finished since the start.
    var finishedCount: UInt64 = 0

    var isReading: Bool { dump != nil || isSweeping }

    /// Whether the cache may differ from the table until a dump is done.
    ///
    /// A dump that only a change of policy wants later says nothing about events; nor does an audit, which looks for
    /// what nobody knows of yet.
    var isOwed: Bool { (isReading && cause != .audit) || (dueAt != nil && dueCause != .policy && dueCause != .audit) }
}

extension Engine {
    // MARK: Events

    /// Takes in what waits at the event socket, and parks it while more is to be expected.
    func drainEvents(_ now: Instant) throws(SystemError) {
        let result =
            if groups.count == 1 {
                try Self.drain(&events, &intake, into: &groups[0].core, now)
            } else {
                try Self.drain(&events, &intake, into: groups, now)
            }
        if result.defects.total > 0 { kernel.count(result.defects) }
        if result.overrunCount > 0 { handleOverrun(result.overrunCount, now) }
        if result.messageCount > 0 || !result.isEmpty {
            if !isParked {
                try loop.modify(events.descriptor, token: Token.events, interest: [])
                isParked = true
            }
            drainAt = result.isEmpty ? now.advanced(byMilliseconds: Self.coalescingMilliseconds) : now
        } else {
            if isParked {
                try loop.modify(events.descriptor, token: Token.events, interest: .readable)
                isParked = false
            }
            drainAt = .distantFuture
        }
    }

    /// Takes both in place: reached through the engine, each event would pay for two checks of exclusive access.
    private static func drain(
        _ events: inout EventStream,
        _ intake: inout FlowIntake,
        into groups: [GroupState],
        _ now: Instant
    ) throws(SystemError) -> EventStream.DrainResult {
        try events.drain(limitMessages: eventCountMaxPerTurn) { event in
            intake.receive(event, into: groups, now: now)
        }
    }

    /// The same where there is but one group: found once instead of for each event, 7 % less per event of a saturated
    /// daemon.
    private static func drain(
        _ events: inout EventStream,
        _ intake: inout FlowIntake,
        into core: inout SyncCore,
        _ now: Instant
    ) throws(SystemError) -> EventStream.DrainResult {
        try events.drain(limitMessages: eventCountMaxPerTurn) { event in
            if intake.admits(event) { core.receive(event, now: now) }
        }
    }

    private func handleOverrun(_ count: Int, _ now: Instant) {
        kernel.overrunCount += UInt64(count)
        let limit = configuration.kernel.eventBufferByteCountMax
        let before = events.bufferByteCount
        if before < limit {
            do {
                try events.growBuffer(to: min(before * 2, limit))
                kernel.eventBufferGrowthCount += 1
            } catch {
                logLimited("grow", "the event buffer cannot grow: \(error)")
            }
        }
        logLimited(
            "overrun",
            "the kernel dropped events: the event buffer (\(before >> 10) KiB) was full; "
                + (events.bufferByteCount > before ? "it is now \(events.bufferByteCount >> 10) KiB; " : "")
                + "reading the kernel's table"
        )
        wantDump(.overrun, at: now.advanced(byMilliseconds: Reconciliation.overrunDelayMilliseconds))
    }

    // MARK: Dumps

    /// Asks for a dump; one that is under way is followed by another.
    func wantDump(_ cause: Reconciliation.Cause, at due: Instant) {
        // Never later than what was asked for before, or a lasting burst would put it off for ever.
        if let earlier = reconciliation.dueAt, earlier <= due {
            if cause != .policy, cause != .audit { reconciliation.dueCause = cause }
            return
        }
        reconciliation.dueCause = cause
        reconciliation.dueAt = due
    }

    func startDump(_ cause: Reconciliation.Cause) {
        reconciliation.dueAt = nil
        do {
            // The kernel looks for the first entries before this call is over.
            reconciliation.startedAt = now
            reconciliation.dump = try TableDump.start()
            reconciliation.isSweeping = false
            reconciliation.cause = cause
            for group in groups { group.core.beginReconcile() }
            kernel.dumpCount += 1
        } catch {
            logLimited("dump", "the kernel's table cannot be read: \(error); trying again in 1 s")
            wantDump(cause, at: now.advanced(byMilliseconds: 1_000))
        }
    }

    /// Reads the next slice of a dump, or starts one that is due.
    func stepDump(_ now: Instant) throws(SystemError) {
        // What an audit finds should be what no event has told, rather than what an event is about to tell.
        if reconciliation.isReading, reconciliation.cause == .audit {
            try drainEvents(now)
            guard drainAt > now else { return }
        }
        if reconciliation.isSweeping {
            sweepVanished(now)
            return
        }
        guard reconciliation.dump != nil else {
            if let due = reconciliation.dueAt, due <= now { startDump(reconciliation.dueCause) }
            return
        }
        for group in groups { group.core.internalCache.beginSlice() }
        do {
            let limit = Reconciliation.entryCountMaxPerTurn
            let before = internalCounters
            let progress = try reconciliation.dump?.read(limitMessages: limit) { flow in
                intake.reconcile(flow, into: groups, now: now)
            }
            if reconciliation.cause == .audit {
                kernel.auditAppearedFlowCount += internalCounters.created - before.created
                kernel.auditChangedFlowCount += internalCounters.updated - before.updated
            }
            switch progress {
            case .more, nil: return
            case .interrupted:
                kernel.interruptedDumpCount += 1
                wantDump(reconciliation.cause, at: now.advanced(byMilliseconds: 100))
            case .done: break
            }
            if let defects = reconciliation.dump?.defects { kernel.count(defects) }
            reconciliation.dump = nil
            // An interrupted dump may have missed entries: what it did not show may still be there. After an overrun,
            // however, a sweep is right: what the dump did not show is gone, and what is new comes with the next dump.
            if case .interrupted = progress { return }
            reconciliation.isSweeping = true
            sweepVanished(now)
        } catch {
            reconciliation.dump = nil
            logLimited("dump", "the dump of the kernel's table failed: \(error); trying again in 1 s")
            wantDump(reconciliation.cause, at: now.advanced(byMilliseconds: 1_000))
        }
    }

    private func sweepVanished(_ now: Instant) {
        let before = internalCounters.destroyed
        var isDone = true
        for group in groups where !group.core.sweepVanished() { isDone = false }
        if reconciliation.cause == .audit { kernel.auditVanishedFlowCount += internalCounters.destroyed - before }
        if isDone { finishDump(now) }
    }

    private func finishDump(_ now: Instant) {
        reconciliation.isSweeping = false
        for group in groups { group.core.node.isWhole = true }
        reconciliation.finishedAt = now
        reconciliation.finishedCount += 1
        reconciliation.lastMilliseconds = now.milliseconds(since: reconciliation.startedAt)
        if reconciliation.cause == .overrun { kernel.reconciliationCount += 1 }
        if reconciliation.cause == .audit { kernel.auditCount += 1 }
        if reconciliation.cause != .audit {
            logger.info(
                """
                kernel's table read (\(reconciliation.cause.rawValue)): \(internalFlowCount) flows \
                in \(reconciliation.lastMilliseconds) ms
                """
            )
        }
        if !isReady {
            isReady = true
            // What a role given up earlier left behind was not all purged when the daemon stopped.
            for group in groups where group.purgeWaits { group.core.internalCache.releaseClaim() }
            // Before a purge, which would take the peers' flows of an earlier life for this node's old ones.
            for group in groups { settlePreload(group) }
            statusText = statusLine(now)
            notifier.ready(status: statusText)
        }
    }

    /// Compares the internal cache with the kernel's table at regular intervals: an event that was lost without a word
    /// would leave a difference for ever.
    func startAuditIfDue(_ now: Instant) {
        guard !reconciliation.isReading, reconciliation.dueAt == nil, isReady else { return }
        let pause = max(
            Reconciliation.auditMillisecondsMin,
            reconciliation.lastMilliseconds * Reconciliation.auditPauseFactor
        )
        guard reconciliation.finishedAt.advanced(byMilliseconds: pause) < now else { return }
        startDump(.audit)
    }

    /// Looks at the next places of both caches for records that are no longer what was written.
    func inspect(_ now: Instant) {
        var (own, external) = (0, 0)
        for group in groups {
            let damaged = group.core.inspect(slotCountMax: Self.inspectedSlotCountMax / groups.count)
            own += damaged.own
            external += damaged.external
        }
        if own + external > 0 {
            logLimited(
                "damage",
                "\(own + external) flows in memory were not what had been written: check this machine's memory; "
                    + "they are read again from \(own > 0 ? "the kernel" : "their owners")"
            )
        }
        if own > 0 { wantDump(.audit, at: now) }
    }

    // MARK: Policy

    static func kernelFilter(_ policy: ReplicationPolicy) -> KernelFilter {
        let own = policy.ownAddresses.map { Network($0) }
        return KernelFilter(
            protocols: policy.protocols.numbers,
            ignoredSources: (policy.ignoredNetworks + own).map {
                KernelFilter.Network(address: $0.base.address, prefixLength: $0.prefixLength, family: $0.base.family)
            }
        )
    }

    /// Puts the policy into the kernel's filter and brings the cache in line with it at `due`.
    func applyPolicy(_ policy: ReplicationPolicy, reconcileAt due: Instant) {
        intake.policy = policy
        let filter = Self.kernelFilter(policy)
        if let warning = filter.warning { logLimited("filter", warning) }
        do {
            try events.attach(filter)
        } catch {
            logLimited("filter", "the kernel's event filter cannot be replaced: \(error); filtering in user space")
        }
        wantDump(.policy, at: due)
    }
}

extension KernelStatistics {
    /// Adds the causes for which messages were passed over.
    mutating func count(_ defects: MessageDefectCounts) {
        for defect in MessageDefect.allCases where defects[defect] > 0 {
            malformed[defect.text, default: 0] += defects[defect]
        }
    }
}
