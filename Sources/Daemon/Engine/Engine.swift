internal import Configuration
internal import Conntrack
internal import Control
internal import Flow
internal import Gate
internal import Link
internal import Logging
internal import Policy
internal import Replication
internal import SystemIO
internal import Takeover

/// The daemon's one thread: an epoll loop that owns the caches, the protocol and every descriptor but the writer's.
///
/// One turn of the loop: wait; take in signals, requests and the writer's outcomes; drain the event socket; read a
/// slice of a dump; receive from the sync link; let the protocol and a running action do what is due; transmit.
///
/// Events are coalesced (DESIGN §3): while they come, the event socket is parked, so that the kernel wakes nobody,
/// and drained every 2 ms; when a drain finds nothing, the loop sleeps in epoll again.
final class Engine {
    enum Token {
        static let signals: UInt64 = 1
        static let mailbox: UInt64 = 2
        static let writer: UInt64 = 3
        static let events: UInt64 = 4
        static let interfaces: UInt64 = 5
        /// Link 0; the others follow.
        static let link: UInt64 = 16
    }

    /// How long the event socket rests while events keep coming.
    ///
    /// 2 ms instead of 1 take a fifth off the cost per event at 10,000 a second: half as many turns and datagrams.
    static let coalescingMilliseconds: UInt64 = 2
    /// Events taken in per turn; more wait for the next turn, so that the link is never starved.
    static let eventCountMaxPerTurn = 8_192
    /// Places looked at per second for what has run out or is damaged, of all groups' internal caches together and of
    /// all external ones: a million in a minute, for 0.2 % of a core.
    static let inspectedSlotCountMax = 16_384

    let logger: Logger
    let path: String
    var configuration: Configuration
    let startedAt: Instant
    let signals: SignalDescriptor
    let mailbox: Mailbox
    let mailboxWakeup: Wakeup
    let writer: KernelWriter
    let writerWakeup: Wakeup
    let notifier: ServiceNotifier
    var loop: EventLoop
    /// The traffic groups, in the order of their indices; the first is the default one.
    let groups: [GroupState]
    var intake: FlowIntake
    var events: EventStream
    var interfaces: InterfaceMonitor
    var links: LinkGroup
    var security: LinkSecurity
    var keyRing: KeyRing?
    var receiveBatch = ReceiveBatch()
    var sendBatch = SendBatch()
    /// A heartbeat, of which a copy goes over every link.
    var heartbeatBatch = SendBatch()
    var heartbeat = [UInt8](repeating: 0, count: 1_024)

    // Events and dumps.
    var isParked = false
    var drainAt = Instant.distantFuture
    var reconciliation = Reconciliation()
    var kernel = KernelStatistics()

    // Actions.
    var action: ActionRun?
    var waiting: [Mailbox.Letter] = []
    /// Actions that come next: what the engine itself wants done, and what is left of a request for several groups.
    var prepared: [ActionRun] = []
    var nextJobID: UInt64 = 1
    let historyFile: HistoryFile
    /// What role commands did, oldest first.
    var history: TakeoverHistory
    /// Since when no sync link is live; nil if one is.
    var linkLostAt: Instant?
    /// What the track file says that speaks for all groups.
    var trackedReadiness: Bool?

    var gateAddresses: OwnAddresses<HostAddress>

    let flowPrinter = FlowPrinter()

    // Housekeeping.
    var isStopping = false
    var isReady = false
    var housekeepingAt: Instant
    var watchdogAt: Instant
    var statusText = ""
    var refusals = LogLimiter()
    var warnings: [String] = []
    var synchronisedTransferCount: UInt64 = 0
    var peerRestartCount: UInt64 = 0
    var resyncRequestCount: UInt64 = 0

    var now: Instant { Instant(nanoseconds: MonotonicClock.nanoseconds()) }

    /// Opens everything the engine needs from the kernel.
    ///
    /// - Throws: `StartError` with what is missing and how to mend it.
    init(
        configuration: Configuration,
        path: String,
        signals: consuming SignalDescriptor,
        logger: Logger
    ) throws(StartError) {
        do {
            let now = Instant(nanoseconds: MonotonicClock.nanoseconds())
            self.logger = logger
            self.path = path
            self.configuration = configuration
            self.signals = signals
            startedAt = now
            housekeepingAt = now
            watchdogAt = now
            notifier = try ServiceNotifier()
            mailboxWakeup = try Wakeup()
            writerWakeup = try Wakeup()
            mailbox = Mailbox(wakeup: mailboxWakeup)
            try Self.checkPrivilege()
            interfaces = try InterfaceMonitor.open()
            var policy = configuration.replicate.policy
            let snapshot = try interfaces.snapshot()
            policy.setOwnAddresses(Self.ownAddresses(snapshot))
            gateAddresses = Self.ownAddresses(startingWith: snapshot)
            let filter = Self.kernelFilter(policy)
            if let warning = filter.warning { logger.warning("\(warning)") }
            events = try EventStream.open(bufferByteCount: configuration.kernel.eventBufferByteCount, filter: filter)
            writer = try KernelWriter(wakeup: writerWakeup)
            links = LinkGroup(try configuration.sync.links.map(Self.linkSettings))
            let ring = try LinkSecurity.ring(configuration.sync)
            keyRing = ring
            security = LinkSecurity(ring)
            loop = try EventLoop.open()
            historyFile = HistoryFile(socketPath: configuration.controlSocketPath)
            history = historyFile.read()
            let settings = NodeSettings(
                name: configuration.nodeName,
                epoch: WallClock.nanoseconds(),
                isReliable: configuration.sync.mode == .reliable,
                shared: Self.sharedSettings(configuration)
            )
            groups = try configuration.groups.names.enumerated().map { index, name in
                try GroupState(
                    index: index,
                    name: name,
                    settings: settings,
                    socketPath: configuration.controlSocketPath,
                    preloads: configuration.takeover.commit == .preload,
                    now: now
                )
            }
            intake = FlowIntake(policy: policy, trafficGroups: configuration.groups, writerPortID: writer.portID)
            try watchDescriptors()
        } catch let error as SystemError {
            throw StartError(error)
        } catch {
            throw StartError(text: "\(error)")
        }
    }

    /// Refuses to start where the kernel's table cannot be used at all.
    private static func checkPrivilege() throws {
        _ = try KernelTable.read()
        try KernelTable.checkPrivilege()
    }

    private func watchDescriptors() throws(SystemError) {
        try loop.add(signals.descriptor, token: Token.signals, interest: .readable)
        try loop.add(mailboxWakeup.descriptor, token: Token.mailbox, interest: .readable)
        try loop.add(writerWakeup.descriptor, token: Token.writer, interest: .readable)
        try loop.add(events.descriptor, token: Token.events, interest: .readable)
        try loop.add(interfaces.descriptor, token: Token.interfaces, interest: .readable)
    }

    /// Runs until SIGTERM or SIGINT, or until the kernel's sockets fail.
    func run() throws(SystemError) {
        logger.info(
            """
            flowsyncd \(Version.text) on \(configuration.nodeName): \(roleText), \
            \(configuration.sync.mode.rawValue), \(links.count == 1 ? "one sync link" : "\(links.count) sync links")
            """
        )
        if configuration.sync.security == .insecure { logger.warning("\(Self.insecureWarning)") }
        trackReadiness(now)
        settleGates()
        refreshLinks()
        checkKernel()
        startDump(.start)
        while !isStopping {
            let count = try loop.wait(timeoutMilliseconds: timeout())
            for index in 0..<count { try handle(loop.ready(at: index).token) }
            try turn(now)
        }
        logger.info("stopping")
        notifier.stopping()
        mailbox.close()
        let refusal = EngineReply.refused("flowsyncd is stopping")
        action?.answer?(refusal)
        for run in prepared { run.answer?(refusal) }
        for letter in waiting { letter.answer.resume(returning: refusal) }
        writer.stop()
        writeTrackFiles { _ in false }
    }

    private func handle(_ token: UInt64) throws(SystemError) {
        switch token {
        case Token.signals: try handleSignals()
        case Token.mailbox:
            mailboxWakeup.drain()
            for letter in mailbox.takeLetters() { receive(letter) }
        case Token.writer:
            writerWakeup.drain()
            for outcome in writer.takeOutcomes() { receive(outcome) }
        case Token.events: drainAt = now
        case Token.interfaces:
            if try interfaces.drain() { refreshLinks() }
        case Token.link..<Token.link + UInt64(LinkGroup.linkCountMax):
            receive(fromLink: Int(token - Token.link))
        default: break
        }
    }

    private func turn(_ now: Instant) throws(SystemError) {
        if drainAt <= now { try drainEvents(now) }
        try stepDump(now)
        links.step(now: now.nanoseconds)
        for group in groups {
            group.core.timeOut(now: now)
            logProtocolEvents(group)
        }
        stepAction(now)
        for group in groups {
            stepPreload(group, now)
            transmit(group, now)
        }
        if housekeepingAt <= now { keepHouse(now) }
        if let interval = notifier.watchdogIntervalNanoseconds, watchdogAt <= now {
            notifier.watchdog()
            watchdogAt = Instant(nanoseconds: now.nanoseconds + interval / 3)
        }
    }

    /// Milliseconds until something is due.
    private func timeout() -> Int {
        let now = now
        if reconciliation.isReading || action?.isBusy == true { return 0 }
        var deadline = min(drainAt, housekeepingAt)
        if notifier.watchdogIntervalNanoseconds != nil { deadline = min(deadline, watchdogAt) }
        if let due = reconciliation.dueAt { deadline = min(deadline, due) }
        let canSend = links.liveMask != 0 && isReady
        for group in groups {
            if let due = preloadDeadline(group) { deadline = min(deadline, due) }
            // What cannot be sent would be due for ever.
            if canSend { deadline = min(deadline, group.core.node.nextDeadline(now: now)) }
        }
        if let due = links.nextDeadline() { deadline = min(deadline, Instant(nanoseconds: due)) }
        guard deadline > now else { return 0 }
        return Int(min((deadline.nanoseconds - now.nanoseconds + 999_999) / 1_000_000, 1_000))
    }

    private func handleSignals() throws(SystemError) {
        while let signal = try signals.next() {
            switch signal {
            case SignalNumber.hangup: reload()
            default: isStopping = true
            }
        }
    }

    /// Once per second: what nobody signals.
    private func keepHouse(_ now: Instant) {
        housekeepingAt = now.advanced(byMilliseconds: 1_000)
        if (0..<links.count).contains(where: { !links.isLive($0) }) { refreshLinks() }
        for group in groups {
            group.core.expire(now: now, slotCountMax: Self.inspectedSlotCountMax / groups.count)
            rememberRole(group)
            settlePreload(group)
            refreshPreload(group, now)
        }
        inspect(now)
        startAuditIfDue(now)
        settleGates()
        if now.milliseconds(since: startedAt) % 30_000 < 1_000 { checkKernel() }
        trackReadiness(now)
        let text = statusLine(now)
        if text != statusText, isReady {
            statusText = text
            notifier.status(text)
        }
    }
}
