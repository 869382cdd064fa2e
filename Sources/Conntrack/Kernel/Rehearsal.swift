internal import Glibc
internal import Synchronization
public import SystemIO

/// Commits records into a network namespace made for that, on a thread of its own, and compares them with the live one.
///
/// In the live namespace, that of the thread that starts it, it only reads. Its own one goes with the thread. Hand over
/// the records as jobs while `submit` takes them, `finish`, and `takeReport` once it is there: none of them blocks.
public final class Rehearsal: Sendable {
    /// Jobs that may wait; a full queue refuses more.
    public static let queuedJobCountMax = 64

    private struct State {
        var jobs: [WriteJob] = []
        var report: RehearsalReport?
        var isFinishing = false
        var isStopping = false
        /// Whether the thread takes no more jobs.
        var isOver = false
    }

    private let state = Mutex(State())
    private let workWaits: Wakeup
    private let progressWaits: Wakeup
    private let thread = Mutex<SystemThread?>(nil)

    /// Starts a rehearsal for the calling thread's network namespace.
    ///
    /// - Parameter wakeup: signalled whenever a job is done, and when the report is there.
    public init(wakeup: Wakeup) throws(SystemError) {
        workWaits = try Wakeup()
        progressWaits = wakeup
        let started = try SystemThread.start(name: "rehearsal") { [self] in run() }
        thread.withLock { $0 = started }
    }

    /// Hands over records to rehearse; the job's kind must be `create`.
    ///
    /// - Returns: false if the queue is full; submit again after the next wake-up. Once there is a report, jobs are
    ///   accepted and dropped.
    public func submit(_ job: WriteJob) -> Bool {
        precondition(job.kind == .create, "a rehearsal creates flows")
        let isAccepted = state.withLock { state in
            if state.isOver || state.isFinishing { return true }
            guard state.jobs.count < Self.queuedJobCountMax else { return false }
            state.jobs.append(job)
            return true
        }
        if isAccepted { workWaits.signal() }
        return isAccepted
    }

    /// Says that all records are handed over.
    public func finish() {
        state.withLock { $0.isFinishing = true }
        workWaits.signal()
    }

    /// The report, once: nil until it is there.
    public func takeReport() -> RehearsalReport? {
        state.withLock { $0.report.take() }
    }

    /// Ends the thread, after the job at hand if there is no report yet.
    ///
    /// Call it once, before letting go of the rehearsal: the thread keeps it alive.
    public func stop() {
        state.withLock { $0.isStopping = true }
        workWaits.signal()
        let running = thread.withLock { $0.take() }
        running?.join()
    }

    private func run() {
        let report = rehearse()
        state.withLock { state in
            state.isOver = true
            state.jobs = []
            state.report = report
        }
        progressWaits.signal()
    }

    private func rehearse() -> RehearsalReport? {
        do throws(SystemError) {
            return rehearse(try RehearsalRun.begin())
        } catch {
            var report = RehearsalReport()
            report.problem = "\(error)"
            if error.call == "unshare", error.errno == EPERM {
                report.problem =
                    "\(error): a rehearsal needs CAP_SYS_ADMIN: add it to the service's CapabilityBoundingSet and set "
                    + "RestrictNamespaces=net"
            }
            return report
        }
    }

    private func rehearse(_ run: consuming RehearsalRun) -> RehearsalReport? {
        var run = run
        while true {
            let (job, isFinishing, isStopping) = state.withLock { state in
                (state.jobs.isEmpty ? nil : state.jobs.removeFirst(), state.isFinishing, state.isStopping)
            }
            if isStopping { return nil }
            if let job {
                run.perform(job)
                progressWaits.signal()
            } else if isFinishing {
                return run.finish { self.state.withLock { $0.isStopping } }
            } else {
                waitForWork()
            }
        }
    }

    private func waitForWork() {
        var waiting = pollfd(fd: workWaits.descriptor, events: Int16(POLLIN), revents: 0)
        // SAFETY: one local structure. An error (EINTR) only means that the queue is looked at once more.
        _ = unsafe poll(&waiting, 1, -1)
        workWaits.drain()
    }
}
