internal import Conntrack
internal import Control
internal import Flow
internal import FlowTable
internal import Replication
internal import Takeover

/// An operator's command to one traffic group while it is being done: what is left to do, and what was done so far.
struct ActionRun {
    /// One step, as the operator sees it.
    enum Phase {
        /// Make sure that packets of flows which are not in the kernel yet are dropped rather than answered.
        case closeGate
        /// Compare the kernel's table with what was committed: by count, and some flows by content.
        case verify
        /// Let packets of unknown flows in again.
        case openGate
        /// Take in the latest events before the claim is given up.
        case handOver
        /// Take the role.
        case changeRole(NodeRole)
        /// Put the external cache into the kernel; flows that are there leave the external cache if it takes over.
        case commit(takesOver: Bool)
        /// Take in what the kernel says of the writes, so that the internal cache equals its table.
        case followEvents
        /// Say how many flows go to the peers.
        case announce
        /// Wait until a peer is primary and its whole state is here.
        case awaitPrimary
        /// Delete flows in the kernel: those released, or all.
        case delete(onlyReleased: Bool)
        /// Read the kernel's table.
        case reconcile
        /// Ask the peers for their state and wait for it.
        case resyncPeers
        /// Send the internal cache to the peers and wait for it.
        case push
        /// Empty the internal cache.
        case flushInternal
        /// Empty the external cache.
        case flushExternal

        var name: String {
            switch self {
            case .closeGate: "gate"
            case .verify: "verify"
            case .openGate: "open"
            case .changeRole(let role): role.claimsFlows ? "claim" : "release"
            case .handOver: "hand over"
            case .commit: "commit"
            case .followEvents: "follow"
            case .announce: "announce"
            case .awaitPrimary: "ask primary"
            case .delete(let onlyReleased): onlyReleased ? "purge" : "delete"
            case .reconcile: "read kernel"
            case .resyncPeers: "ask peers"
            case .push: "send"
            case .flushInternal, .flushExternal: "flush"
            }
        }

        /// Whether a newer role command may cut it short; until one comes, the node is ready for it.
        var givesWay: Bool {
            switch self {
            case .handOver, .commit, .followEvents, .awaitPrimary, .delete(onlyReleased: true), .reconcile,
                .resyncPeers, .push:
                true
            default: false
            }
        }
    }

    /// Records per job for the writer: enough to keep it busy, few enough to hear from it every few milliseconds.
    static let recordCountMaxPerJob = 512
    /// Rounds of a takeover's commit: each takes what arrived during the one before.
    static let commitRoundCountMax = 3
    /// Jobs handed to the writer ahead.
    static let jobCountMax = 8

    let name: String
    let group: GroupState
    /// Takes the report when all is done; nil if nobody waits for it.
    let answer: ((EngineReply) -> Void)?
    var phases: [Phase]
    var report: ActionReport
    /// A newer role command waits: phases that give way end now.
    var isSuperseded = false
    /// The role it leads to, if it changes the role.
    var role: NodeRole?
    /// Clashes met so far.
    var clashCount = 0
    /// Flows put into the kernel so far.
    var committedCount = 0
    /// Some of them, to be looked at in the kernel.
    var committed = CommitSample()

    // Of the phase at hand.
    var startedAt: Instant?
    var step = StepReport(name: "")
    var order = CommitOrder()
    var round = 1
    var position: Slot?
    var isHandedOut = false
    /// A purge has left the rest for later, because a change of role comes next.
    var hasGivenWay = false
    var expiredCount = 0
    var jobs: [UInt64: WriteJob] = [:]
    var dumpCountBefore: UInt64 = 0

    /// What a node does that takes over: one transaction, at whose end no packet meets a kernel without its flow.
    static let takingOver: [Phase] = [
        .closeGate, .changeRole(.primary), .commit(takesOver: true), .verify, .openGate, .followEvents, .announce,
    ]

    /// What a node does that gives its role up: to `backup` or `fault`.
    static func steppingBack(to role: NodeRole) -> [Phase] {
        [.handOver, .changeRole(role), .closeGate, .awaitPrimary, .delete(onlyReleased: true)]
    }

    init(
        name: String,
        group: GroupState,
        role: NodeRole? = nil,
        phases: [Phase],
        answer: ((EngineReply) -> Void)? = nil
    ) {
        self.name = name
        self.group = group
        self.role = role
        self.phases = phases
        self.answer = answer
        report = ActionReport(action: name, succeeded: true)
    }

    /// Whether the loop should come round at once because there is more to hand out or to drain.
    var isBusy: Bool {
        guard let phase = phases.first else { return true }
        switch phase {
        case .commit, .delete: return !isHandedOut && jobs.count < Self.jobCountMax
        case .awaitPrimary, .reconcile, .resyncPeers, .push, .followEvents, .handOver: return startedAt == nil
        case .closeGate, .verify, .openGate, .changeRole, .announce, .flushInternal, .flushExternal: return true
        }
    }

    /// Gets ready for the phase that is now the first.
    mutating func beginPhase(_ phase: Phase, now: Instant, finishedDumpCount: UInt64) {
        startedAt = now
        step = StepReport(name: phase.name)
        position = nil
        isHandedOut = false
        hasGivenWay = false
        expiredCount = 0
        dumpCountBefore = finishedDumpCount
        order = CommitOrder()
        round = 1
    }

    /// Begins another walk over the external cache; what failed is tried again.
    mutating func beginCommitRound() {
        order = CommitOrder()
        round += 1
        isHandedOut = false
        expiredCount = 0
        step.failed = [:]
    }

    /// Leaves out what is still to be done, because a newer role command waits.
    ///
    /// A change of role that was not done yet, or not to its end, has failed; the rest of a stepping back only tidies.
    mutating func cutShort() {
        let isUnfinished = phases.contains { phase in
            switch phase {
            case .changeRole, .openGate, .announce: true
            default: false
            }
        }
        step.note = "cut short by a newer role command"
        // A command that changes no role has promised all of it.
        if role == nil ? answer != nil : isUnfinished {
            report.succeeded = false
            report.message = "cut short by a newer role command"
        }
        phases.removeSubrange(1...)
    }

    /// Closes the phase at hand.
    mutating func endPhase(now: Instant) {
        if let startedAt { step.milliseconds = Double(now.nanoseconds - startedAt.nanoseconds) / 1e6 }
        report.steps.append(step)
        if step.failedCount > 0 { report.succeeded = false }
        phases.removeFirst()
        startedAt = nil
    }
}
