internal import Conntrack
internal import Control
internal import Flow
internal import FlowTable
internal import Logging
internal import Replication
internal import SystemIO
internal import Takeover

extension Engine {
    /// How long `role backup` waits for a primary to be heard with its whole state; the purge then comes later.
    static let awaitPrimaryMilliseconds: UInt64 = 3_000
    /// How long a takeover waits for the kernel's account of its commit.
    static let followEventsMilliseconds: UInt64 = 10_000
    /// How long a node that steps back goes on taking in events.
    static let handOverMilliseconds: UInt64 = 200
    /// How long `resync peer` and `push` wait.
    static let awaitPeersMilliseconds: UInt64 = 60_000
    /// What `takeIn` is called.
    private static let takeInName = "take in"

    /// Answers a request, or lets it wait for its turn.
    func receive(_ letter: Mailbox.Letter) {
        switch letter.request {
        case .status: letter.answer.resume(returning: .status(status(now)))
        case .statistics: letter.answer.resume(returning: .statistics(statistics(now)))
        case .ready(let name):
            if let refusal = refusal(ofGroup: name) {
                letter.answer.resume(returning: refusal)
                return
            }
            let asked = groups.filter { name == nil || $0.name == name }
            letter.answer.resume(returning: .ready(readiness(of: asked, now)))
        case .history: letter.answer.resume(returning: .history(history))
        case .dumpChunk(let cache, let cursor, let limit):
            letter.answer.resume(returning: .dumpChunk(dumpChunk(cache, after: cursor, limit: limit, now: now)))
        case .harm(let harm):
            let isDone = groups.contains { $0.core.harm(harm) }
            letter.answer.resume(returning: .action(ActionReport(action: "debug \(harm.rawValue)", succeeded: isDone)))
        case .role(_, let group):
            if let refusal = refusal(ofGroup: group) {
                letter.answer.resume(returning: refusal)
                return
            }
            waiting.append(letter)
            noticeNewerRole()
        case .commit, .flush, .resync, .push:
            waiting.append(letter)
        }
    }

    private func refusal(ofGroup name: String?) -> EngineReply? {
        guard let name, !groups.contains(where: { $0.name == name }) else { return nil }
        let known = groups.map(\.name).joined(separator: ", ")
        return .refused("there is no traffic group \"\(name)\": this router has \(known)")
    }

    /// Lets the action at hand end early if a role command waits that wants another role of its group; what changes no
    /// role gives way to those of all groups.
    private func noticeNewerRole() {
        guard let run = action else { return }
        for letter in waiting {
            guard case .role(let role, let group) = letter.request else { continue }
            let isOfItsGroup = group == nil || group == run.group.name
            if run.role == nil || (isOfItsGroup && run.role != NodeRole(role)) { action?.isSuperseded = true }
        }
    }

    /// Whether a change of role comes next, of whatever group, or its flows are to be taken in: neither should wait for
    /// what can be done later.
    ///
    /// The role at hand once more is none.
    var isRoleCommandWaiting: Bool {
        guard let run = action else { return false }
        let isPrepared = prepared.contains { next in
            next.name == Self.takeInName
                || (next.role != nil && !(next.group === run.group && next.role == run.role))
        }
        return isPrepared
            || waiting.contains { letter in
                guard case .role(let role, let name) = letter.request else { return false }
                let isForItsGroupAlone = name == run.group.name || (name == nil && groups.count == 1)
                return !(isForItsGroupAlone && NodeRole(role) == run.role)
            }
    }

    /// The actions that a request asks for: one for each group that it is about, in their order.
    private func begin(_ letter: Mailbox.Letter) -> [ActionRun] {
        var about = groups
        var changesTo: NodeRole?
        if case .role(let role, let name) = letter.request {
            changesTo = NodeRole(role)
            if let name { about = groups.filter { $0.name == name } }
        }
        switch letter.request {
        // There is one kernel's table for all of them.
        case .resync(.kernel): about = [groups[0]]
        // The others announce nothing; where none does, that is what is wrong.
        case .push where groups.contains { $0.core.node.role.claimsFlows }:
            about = groups.filter { $0.core.node.role.claimsFlows }
        default: break
        }
        let (name, phases): (String, [ActionRun.Phase]) =
            switch letter.request {
            case .role(.primary, _): ("role primary", ActionRun.takingOver)
            case .role(let role, _): ("role \(role.rawValue)", ActionRun.steppingBack(to: NodeRole(role)))
            case .commit: ("commit", [.commit(takesOver: false), .followEvents])
            case .flush(.internal): ("flush internal", [.flushInternal])
            case .flush(.external): ("flush external", [.flushExternal])
            case .flush(.kernel): ("flush kernel", [.delete(onlyReleased: false), .followEvents])
            case .resync(.kernel): ("resync kernel", [.reconcile])
            case .resync(.peer): ("resync peer", [.resyncPeers])
            case .push: ("push", [.push])
            case .status, .statistics, .ready, .history, .dumpChunk, .harm: ("", [])
            }
        let answer = JointAnswer(action: name, count: about.count) { letter.answer.resume(returning: $0) }
        return about.map { group in
            ActionRun(
                name: changesTo == nil ? name : self.name(name, group),
                group: group,
                role: changesTo,
                phases: phases
            ) { answer.add($0, of: about.count > 1 ? group.name : nil) }
        }
    }

    /// A role command as it would be given for the group alone.
    private func name(_ action: String, _ group: GroupState) -> String {
        groups.count > 1 ? "\(action) --group \(group.name)" : action
    }

    /// Takes the next action, without the phases that there is nothing to do in; nil if it has become pointless.
    private func takePrepared() -> ActionRun? {
        var run = prepared.removeFirst()
        let group = run.group
        // A peer's flows are taken in by a primary only, and this node may have stepped back meanwhile.
        if run.name == Self.takeInName, group.core.node.role != .primary { return nil }
        run.phases.removeAll { phase in
            switch phase {
            // A primary that is told so again has an open gate, and new connections that must not wait.
            case .closeGate: group.gate == nil || (run.role == .primary && group.core.node.role == .primary)
            case .openGate: group.gate == nil
            default: false
            }
        }
        return run
    }

    /// Whether a request waits that changes a role, while what is prepared does not: those before it are prepared, too,
    /// and done after it.
    private var isRoleCommandFirst: Bool {
        guard prepared.first?.role == nil else { return false }
        return waiting.contains { if case .role = $0.request { true } else { false } }
    }

    /// Goes on with the action under way, or takes the next one that waits.
    func stepAction(_ now: Instant) {
        while true {
            if action == nil {
                // Before the kernel's table is known, an action would work on half a picture.
                guard isReady else { return }
                if isRoleCommandFirst || (prepared.isEmpty && !waiting.isEmpty) {
                    prepared.insert(contentsOf: begin(waiting.removeFirst()), at: 0)
                    continue
                } else if !prepared.isEmpty {
                    action = takePrepared()
                    noticeNewerRole()
                    if action == nil { continue }
                } else if let group = groups.first(where: { $0.purgeWaits && isPrimaryHere($0) }) {
                    action = ActionRun(name: "purge", group: group, phases: [.delete(onlyReleased: true)])
                } else {
                    return
                }
            }
            guard let group = action?.group else { return }
            guard let phase = action?.phases.first else {
                finishAction(now)
                continue
            }
            if action?.startedAt == nil {
                action?.beginPhase(phase, now: self.now, finishedDumpCount: reconciliation.finishedCount)
                start(phase, group, now)
            }
            guard advance(phase, group, now) else { return }
            action?.endPhase(now: self.now)
        }
    }

    private func finishAction(_ now: Instant) {
        guard let done = action else { return }
        action = nil
        for step in done.report.steps {
            let failed = step.failed.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
            logger.info(
                """
                \(done.name): \(step.name): \(step.count) in \(Int(step.milliseconds.rounded())) ms\
                \(failed.isEmpty ? "" : ", failed: \(failed)")\(step.note.map { "; \($0)" } ?? "")
                """
            )
        }
        if done.name.hasPrefix("role ") { remember(done.report) }
        // Another group's role command has cut it short; nothing else would ever take the rest in.
        if done.name == Self.takeInName, done.isSuperseded { takeIn(done.group) }
        done.answer?(.action(done.report))
    }

    private func remember(_ report: ActionReport) {
        history.append(TakeoverRecord(endedAt: WallClock.nanoseconds() / 1_000_000_000, report: report))
        if let problem = historyFile.write(history) { logLimited("history", problem) }
    }

    /// Steps back because a peer took over while this node's daemon was down: keepalived has told it in vain.
    func stepBack(_ group: GroupState) {
        // What somebody has said meanwhile counts, also if it is still to be done.
        guard group.isRoleRemembered, !prepared.contains(where: { $0.group === group && $0.role != nil }) else {
            return
        }
        group.isRoleRemembered = false
        logger.notice(
            "\(label(group))this node was primary before the daemon's restart; another one is now: stepping back"
        )
        prepared.append(
            ActionRun(
                name: name("role backup", group),
                group: group,
                role: .backup,
                phases: ActionRun.steppingBack(to: .backup)
            )
        )
    }

    /// Puts into the kernel what a peer had handled that was primary beside this node and has stepped back (a healed
    /// split brain): its connections come through this router again, and the kernel's own entries of them are old.
    func takeIn(_ group: GroupState) {
        guard group.core.externalCache.count > 0,
            !prepared.contains(where: { $0.name == Self.takeInName && $0.group === group })
        else { return }
        let phases: [ActionRun.Phase] = [.commit(takesOver: true), .verify, .followEvents]
        prepared.append(ActionRun(name: Self.takeInName, group: group, phases: phases))
    }

    /// What a phase does once, at its start.
    private func start(_ phase: ActionRun.Phase, _ group: GroupState, _ now: Instant) {
        switch phase {
        case .changeRole(let role): changeRole(role, of: group, now)
        case .reconcile:
            kernel.resyncCount += 1
            wantDump(.command, at: now)
        case .resyncPeers: group.core.node.requestResync(now: now)
        case .push: group.core.node.push(now: now)
        case .flushInternal:
            action?.step.count = group.core.internalCache.count
            group.core.flushInternal(now: now)
        case .flushExternal:
            action?.step.count = group.core.externalCache.count
            group.core.externalCache.removeAll()
        case .announce:
            group.core.node.finishTakeover(now: now)
            releasePreloaded(group)
            action?.step.count = group.core.internalCache.count
            action?.step.note = group.core.node.peerStatus.contains(where: \.isUp) ? nil : "no peer is up"
        case .delete(let onlyReleased):
            // Owed until it is done: it may be cut short, and the daemon may end.
            if onlyReleased { group.purgeWaits = true } else { kernel.flushCount += 1 }
        case .closeGate: closeGate(group)
        case .verify: verifyCommit(group)
        case .openGate: openGate(group)
        case .commit:
            let preloaded = group.core.externalCache.mirroredCount
            if preloaded > 0 { action?.step.note = "\(preloaded) more were preloaded" }
        case .handOver, .followEvents, .awaitPrimary: break
        }
    }

    /// Goes on with a phase; true when it is over.
    private func advance(_ phase: ActionRun.Phase, _ group: GroupState, _ now: Instant) -> Bool {
        if phase.givesWay, action?.isSuperseded == true, action?.jobs.isEmpty == true {
            action?.cutShort()
            return true
        }
        switch phase {
        case .closeGate, .verify, .openGate, .changeRole, .announce, .flushInternal, .flushExternal:
            return true
        case .commit(let takesOver):
            handOutCommit(group, now)
            return isCommitDone(group, takesOver: takesOver)
        case .delete(let onlyReleased):
            handOutDeletes(group, onlyReleased: onlyReleased)
            guard action?.isHandedOut == true, action?.jobs.isEmpty == true else { return false }
            if onlyReleased, action?.hasGivenWay != true { group.purgeWaits = false }
            return true
        case .handOver: return handOver(group, now)
        case .followEvents: return followEvents(group, now)
        case .awaitPrimary: return awaitPrimary(group, now)
        case .reconcile:
            action?.step.count = internalFlowCount
            if hasWaited(Self.awaitPeersMilliseconds, now, note: "events are being lost faster than dumps mend it") {
                return fail("the internal cache does not yet equal the kernel's table: see `flowsync stats runtime`")
            }
            return reconciliation.finishedCount > (action?.dumpCountBefore ?? 0) && !reconciliation.isOwed
        case .resyncPeers: return awaitPeers(group, now)
        case .push: return awaitPush(group, now)
        }
    }

    private func changeRole(_ role: NodeRole, of group: GroupState, _ now: Instant) {
        group.isRoleRemembered = false
        // Without a gate, because it could not be made, no step says what is wanted of one that is made later, perhaps
        // while this node hands over, when the step that closes it has been left out already.
        if group.gate == nil || role != .primary { group.isGateWanted = role != .primary }
        if role != group.core.node.role { group.roleSince = now }
        group.core.setRole(role, now: now)
        settlePreload(group)
        group.purgeWaits =
            !role.claimsFlows
            && action?.phases.contains { if case .delete(onlyReleased: true) = $0 { true } else { false } } == true
        if let problem = rememberRole(group) { action?.step.note = problem }
        if role == .primary, action?.step.note == nil {
            action?.step.note = "takeover number \(group.core.node.takeoverNumber)"
        }
        action?.step.count = group.core.internalCache.count
    }

    /// Writes a group's role file if it says something else; returns what is wrong if it cannot be written.
    @discardableResult
    func rememberRole(_ group: GroupState) -> String? {
        let fresh = RoleFile.Memory(
            role: group.core.node.role,
            takeoverNumber: group.core.node.takeoverNumber,
            highestTakeoverNumber: group.core.node.highestTakeoverNumber,
            owesPurge: group.purgeWaits
        )
        guard fresh != group.memory else { return nil }
        do {
            try group.roleFile.write(fresh)
            group.memory = fresh
            return nil
        } catch {
            let problem = "the role will not outlive a restart of the daemon: \(error)"
            logLimited("role file", problem)
            return problem
        }
    }

    // MARK: Writes

    private func handOutCommit(_ group: GroupState, _ now: Instant) {
        while let run = action, !run.isHandedOut, !run.isSuperseded, run.jobs.count < ActionRun.jobCountMax {
            let batch = action?.order.next(
                from: group.core.externalCache,
                countMax: ActionRun.recordCountMaxPerJob,
                now: now
            ) { group.core.node.ownedUntil($0) }
            guard let batch else {
                action?.isHandedOut = true
                return
            }
            if batch.expiredCount > 0 {
                let expiredCount = (action?.expiredCount ?? 0) + batch.expiredCount
                action?.expiredCount = expiredCount
                action?.step.note = "\(expiredCount) whose time had run out were left out"
            }
            guard batch.count > 0 else { continue }
            submit(WriteJob(id: nextJobID, kind: .create, records: batch.records, count: batch.count))
        }
    }

    /// Whether nothing is left to commit.
    ///
    /// A takeover leaves in the external cache what failed or had run out; anything beyond that arrived meanwhile and
    /// wants a further round.
    private func isCommitDone(_ group: GroupState, takesOver: Bool) -> Bool {
        guard let run = action, run.isHandedOut, run.jobs.isEmpty else { return false }
        let uncommitted = group.core.externalCache.count - group.core.externalCache.mirroredCount
        let left = uncommitted - run.step.failedCount - run.expiredCount
        guard takesOver, left > 0, run.round < ActionRun.commitRoundCountMax else { return true }
        action?.beginCommitRound()
        return false
    }

    private func handOutDeletes(_ group: GroupState, onlyReleased: Bool) {
        while let run = action, !run.isHandedOut, run.jobs.count < ActionRun.jobCountMax {
            if onlyReleased, isRoleCommandWaiting {
                action?.hasGivenWay = true
                action?.isHandedOut = true
                return
            }
            var job = WriteJob(id: nextJobID, kind: .delete, records: [], count: 0)
            while job.count < ActionRun.recordCountMaxPerJob {
                guard let slot = group.core.internalCache.table.next(after: action?.position) else {
                    action?.isHandedOut = true
                    break
                }
                action?.position = slot
                guard !group.core.internalCache.table[slot].flags.contains(.dead),
                    !onlyReleased || (group.core.internalCache.isReleased(slot) && !isPreloaded(slot, group))
                else { continue }
                group.core.internalCache.table.appendRecord(at: slot, timeoutSeconds: 0, to: &job.records)
                job.count += 1
            }
            if job.count > 0 { submit(job) }
        }
    }

    /// Whether a flow in the kernel is a peer's, and is to stay there as its copy.
    private func isPreloaded(_ slot: Slot, _ group: GroupState) -> Bool {
        guard group.core.externalCache.isMirrored else { return false }
        let identity = group.core.internalCache.table.record(at: slot).identity
        guard let found = group.core.externalCache.table.find(identity) else { return false }
        return !group.core.externalCache.table[found].flags.contains(.dead)
    }

    private func submit(_ job: WriteJob) {
        nextJobID += 1
        action?.jobs[job.id] = job
        // No more than `jobCountMax` jobs are ever out, and the writer's queue holds more than that.
        precondition(writer.submit(job), "the kernel writer refused job \(job.id)")
    }

    /// Takes in what the writer did.
    func receive(_ outcome: WriteOutcome) {
        kernel.createdCount += UInt64(outcome.created)
        kernel.updatedCount += UInt64(outcome.updated + outcome.replaced)
        kernel.deletedCount += UInt64(outcome.deleted)
        kernel.missingCount += UInt64(outcome.missing)
        if receivePreload(outcome) {
            count(outcome)
            return
        }
        report(outcome)
        guard let job = action?.jobs.removeValue(forKey: outcome.id) else { return }
        action?.step.count += job.count - outcome.failures.count
        for failure in outcome.failures {
            let name = SystemError.name(of: failure.errno)
            action?.step.failed[name, default: 0] += 1
            kernel.refused[name, default: 0] += 1
            logLimited(
                "refused \(name) \(failure.stage.rawValue)",
                "the kernel refused to \(failure.stage.rawValue) a flow: \(name) "
                    + "(\(SystemError.text(of: failure.errno)))" + remedy(failure.errno)
            )
        }
        if case .commit(takesOver: true) = action?.phases.first, let group = action?.group {
            takeOver(job, outcome, group)
        }
    }

    private func remedy(_ errno: Int32) -> String {
        switch SystemError.name(of: errno) {
        case "ENOMEM", "ENFILE", "ENOSPC":
            "; is the table full? compare net.netfilter.nf_conntrack_count with nf_conntrack_max"
        case "EPERM": "; flowsyncd needs CAP_NET_ADMIN"
        default: ""
        }
    }

    /// Flows that are in the kernel are this node's now: they leave the external cache.
    ///
    /// The kernel's echo of the write brings them into the internal one, as the kernel sees them.
    private func takeOver(_ job: WriteJob, _ outcome: WriteOutcome, _ group: GroupState) {
        let failed = Set(outcome.failures.map(\.index))
        // The kernel's entry stayed: it is another flow, or the same one further on.
        let lost = Set(outcome.clashes.lazy.filter { !$0.isOursKept }.map(\.index))
        job.forEachRecord { index, record in
            guard !failed.contains(index) else { return }
            action?.committedCount += 1
            if !lost.contains(index) { action?.committed.add(record) }
            if let slot = group.core.externalCache.table.find(record.identity) { group.core.externalCache.remove(slot) }
        }
    }
}
