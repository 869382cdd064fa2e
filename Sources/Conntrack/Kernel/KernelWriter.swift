internal import Glibc
internal import Synchronization
public import SystemIO

/// Puts flows into the kernel's table and removes them, on a thread and a netlink socket of its own.
///
/// The engine goes on draining events meanwhile: what the writer does comes back as events that carry its `portID`.
/// A second writer would gain nothing, since the kernel takes one request for conntrack at a time.
public final class KernelWriter: Sendable {
    /// Jobs that may wait; a full queue refuses more.
    public static let queuedJobCountMax = 256

    private struct State {
        var jobs: [WriteJob] = []
        var outcomes: [WriteOutcome] = []
        var isStopping = false
    }

    /// The port ID of the writer's socket, by which its own events are recognised.
    public let portID: UInt32

    private let state = Mutex(State())
    private let workWaits: Wakeup
    private let outcomeWaits: Wakeup
    private let thread = Mutex<SystemThread?>(nil)

    /// Starts the writer in the calling thread's network namespace.
    ///
    /// - Parameter wakeup: signalled whenever outcomes wait.
    public init(wakeup: Wakeup) throws(SystemError) {
        let session = try WriteSession.open()
        portID = session.portID
        workWaits = try Wakeup()
        outcomeWaits = wakeup
        let box = SessionBox(session)
        let started = try SystemThread.start(name: "kernel-writer") { [self] in
            guard let session = box.take() else { return }
            run(session)
        }
        thread.withLock { $0 = started }
    }

    /// Hands over a job; jobs are done in order.
    ///
    /// - Returns: false if the queue is full; submit again after the next outcome.
    public func submit(_ job: WriteJob) -> Bool {
        let isAccepted = state.withLock { state in
            guard state.jobs.count < Self.queuedJobCountMax else { return false }
            state.jobs.append(job)
            return true
        }
        if isAccepted { workWaits.signal() }
        return isAccepted
    }

    /// What has been done since the last call, in order.
    public func takeOutcomes() -> [WriteOutcome] {
        state.withLock { state in
            defer { state.outcomes.removeAll() }
            return state.outcomes
        }
    }

    /// Ends the thread after the job at hand; jobs that wait are dropped.
    ///
    /// Call it once, before letting go of the writer: the thread keeps it alive.
    public func stop() {
        state.withLock { $0.isStopping = true }
        workWaits.signal()
        let running = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        running?.join()
    }

    private func run(_ session: consuming WriteSession) {
        var session = session
        while true {
            var job: WriteJob?
            let isStopping = state.withLock { state in
                if !state.jobs.isEmpty { job = state.jobs.removeFirst() }
                return state.isStopping
            }
            if isStopping { return }
            guard let job else {
                waitForWork()
                continue
            }
            let outcome = session.perform(job)
            state.withLock { $0.outcomes.append(outcome) }
            outcomeWaits.signal()
        }
    }

    private func waitForWork() {
        var waiting = pollfd(fd: workWaits.descriptor, events: Int16(POLLIN), revents: 0)
        // SAFETY: one local structure. An error (EINTR) only means that the queue is looked at once more.
        _ = unsafe poll(&waiting, 1, -1)
        workWaits.drain()
    }
}

/// Carries the session, which cannot be copied, into the thread's closure.
private final class SessionBox: Sendable {
    private let session: Mutex<WriteSession?>

    init(_ session: consuming WriteSession) {
        self.session = Mutex(consume session)
    }

    func take() -> WriteSession? {
        session.withLock { $0.take() }
    }
}
