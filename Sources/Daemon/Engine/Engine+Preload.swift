internal import Configuration
internal import Conntrack
internal import Flow
internal import FlowTable
internal import Logging
internal import Replication
internal import SystemIO
internal import Takeover

/// How far the kernel's copy of a group's external cache has come, on a standby that preloads.
struct Preload: ~Copyable {
    /// Changes are gathered this long, so that a connection's handshake is written once.
    static let gatheringMilliseconds: UInt64 = 50
    /// A copy stays at least this long in the kernel without being written again: traffic passes by the owner, so that
    /// nothing else refreshes it.
    static let timeoutSecondsMin: UInt32 = 180
    /// With fewer seconds left it is written again.
    static let refreshSecondsLeft: UInt32 = 90
    /// Places looked at per second for copies that are about to run out: four million before the first of them does.
    static let refreshedSlotCountMax = 65_536
    /// Jobs handed to the writer ahead: with sixteen groups, an action's among them, well below what its queue holds.
    static let jobCountMax = 4

    /// Jobs that the writer has.
    var jobs: [UInt64: WriteJob] = [:]
    /// When what has changed is written.
    var dueAt: Instant?
    /// Where the release of flows goes on that were taken over with their copies.
    var releasePosition: Slot?
    var isReleasing = false
}

extension Engine {
    /// Whether this node keeps the peers' flows of a group in its kernel now.
    private func wantsPreload(_ group: GroupState) -> Bool {
        configuration.takeover.commit == .preload && group.core.node.role == .backup && isReady
    }

    /// Begins or ends the copy in the kernel, as role and configuration want it.
    ///
    /// A primary keeps what it holds: it is its own now. Any other role, and a changed configuration, cleans up.
    func settlePreload(_ group: GroupState) {
        // What a primary has taken over it may let go of; any other node needs what the peers own.
        if group.core.node.role != .primary { group.preload.isReleasing = false }
        if wantsPreload(group) {
            guard !group.core.externalCache.isMirrored else { return }
            group.core.externalCache.beginMirroring()
            logger.info(
                "\(label(group))preloading \(group.core.externalCache.count) flows of the peers into the kernel"
            )
        } else if group.core.externalCache.isMirrored {
            forgetDoubtfulCopy(group)
            group.core.externalCache.endMirroring(deletesCopy: group.core.node.role != .primary)
            // Before a takeover's commit, which may bring back what the owner had ended.
            if let job = nextGoneJob(group) { submitPreload(job, of: group) }
        }
    }

    /// A takeover counts on the copy only if no event about it was lost: otherwise its commit writes all flows.
    private func forgetDoubtfulCopy(_ group: GroupState) {
        guard group.core.node.role == .primary else { return }
        do {
            try drainEvents(now)
        } catch {
            logLimited("events", "the event socket failed: \(error)")
        }
        guard reconciliation.isOwed else { return }
        logger.notice("\(label(group))events were lost: what was preloaded is committed all the same")
        group.core.externalCache.forgetMirrored()
    }

    /// Lets go, little by little, of the flows that were in the kernel already when this node took over.
    func releasePreloaded(_ group: GroupState) {
        group.preload.releasePosition = nil
        group.preload.isReleasing = group.core.externalCache.mirroredCount > 0
    }

    /// Writes what has changed since the last time, some jobs at a time.
    func stepPreload(_ group: GroupState, _ now: Instant) {
        if group.preload.isReleasing, action?.role == nil {
            group.preload.releasePosition = group.core.externalCache.releaseMirrored(
                after: group.preload.releasePosition,
                slotCountMax: 16_384
            )
            group.preload.isReleasing = group.preload.releasePosition != nil
        }
        guard group.core.externalCache.hasMirrorBacklog else { return }
        let due = group.preload.dueAt ?? now.advanced(byMilliseconds: Preload.gatheringMilliseconds)
        group.preload.dueAt = due
        guard due <= now else { return }
        while group.preload.jobs.count < Preload.jobCountMax,
            let job = nextGoneJob(group) ?? nextChangedJob(group, now)
        {
            submitPreload(job, of: group)
        }
        if !group.core.externalCache.hasMirrorBacklog { group.preload.dueAt = nil }
    }

    /// When `stepPreload` has something to do; nil if nothing.
    func preloadDeadline(_ group: GroupState) -> Instant? {
        if group.preload.isReleasing, action?.role == nil { return Instant(nanoseconds: 0) }
        guard group.core.externalCache.hasMirrorBacklog, group.preload.jobs.count < Preload.jobCountMax else {
            return nil
        }
        return group.preload.dueAt
    }

    /// Has copies that are about to run out written again.
    func refreshPreload(_ group: GroupState, _ now: Instant) {
        group.core.externalCache.refreshMirrored(
            now: now,
            slotCountMax: Preload.refreshedSlotCountMax,
            whenSecondsLeft: Preload.refreshSecondsLeft
        )
    }

    private func submitPreload(_ job: WriteJob, of group: GroupState) {
        nextJobID += 1
        group.preload.jobs[job.id] = job
        precondition(writer.submit(job), "the kernel writer refused job \(job.id)")
    }

    private func nextGoneJob(_ group: GroupState) -> WriteJob? {
        let (gone, count) = group.core.externalCache.takeGone()
        return count > 0 ? WriteJob(id: nextJobID, kind: .delete, records: gone, count: count) : nil
    }

    private func nextChangedJob(_ group: GroupState, _ now: Instant) -> WriteJob? {
        var job = WriteJob(id: nextJobID, kind: .create, records: [], count: 0)
        for slot in group.core.externalCache.takeChanged(countMax: ActionRun.recordCountMaxPerJob) {
            let left = group.core.externalCache.table[slot].deadline.secondsLeft(at: now)
            let seconds = max(left, Preload.timeoutSecondsMin)
            group.core.externalCache.table.appendRecord(at: slot, timeoutSeconds: seconds, to: &job.records)
            job.count += 1
        }
        return job.count > 0 ? job : nil
    }

    /// Takes in what the writer did for the copy; false if the job was another's.
    func receivePreload(_ outcome: WriteOutcome) -> Bool {
        guard let group = groups.first(where: { $0.preload.jobs[outcome.id] != nil }),
            let job = group.preload.jobs.removeValue(forKey: outcome.id)
        else { return false }
        guard case .create = job.kind else { return true }
        var refused = Set(outcome.failures.map(\.index))
        refused.formUnion(outcome.clashes.lazy.filter { !$0.isOursKept }.map(\.index))
        let now = now
        job.forEachRecord { index, record in
            guard !refused.contains(index) else { return }
            group.core.externalCache.confirmMirrored(record, timeoutSeconds: record.timeoutSeconds, now: now)
        }
        if let failure = outcome.failures.first {
            logLimited(
                "preload",
                """
                preload: the kernel refused \(outcome.failures.count) of \(job.count) flows: \
                \(SystemError.name(of: failure.errno)); they are tried again
                """
            )
        }
        return true
    }
}
