internal import Glibc
internal import SystemIO

/// The one thread that starts every child process of the lab.
///
/// Children ask the kernel to be killed when their parent dies (`PR_SET_PDEATHSIG`), and to the kernel the parent is
/// the *thread* that made them. Threads of Swift's pool come and go, so a child started there could be killed in the
/// middle of a test. This thread lives as long as the process.
final class SpawnThread: @unchecked Sendable {
    static let shared = SpawnThread()

    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    /// Guarded by `mutex`.
    private var jobs: [() -> Void] = []
    private var thread: SystemThread?

    private init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(changed, nil)
        do {
            thread = try SystemThread.start(name: "lab-spawn") { self.loop() }
        } catch {
            preconditionFailure("the lab cannot start its spawn thread: \(error)")
        }
    }

    /// Runs `body` in the thread and waits for its result.
    func run<Value>(_ body: @escaping () -> Value) -> Value {
        var result: Value?
        pthread_mutex_lock(mutex)
        jobs.append { result = body() }
        pthread_cond_broadcast(changed)
        while result == nil { pthread_cond_wait(changed, mutex) }
        pthread_mutex_unlock(mutex)
        guard let result else { preconditionFailure("a spawn job ended without a result") }
        return result
    }

    private func loop() {
        pthread_mutex_lock(mutex)
        while true {
            while jobs.isEmpty { pthread_cond_wait(changed, mutex) }
            // The mutex stays locked while a job runs: starting a process takes a millisecond, and nobody else has
            // anything to do with this lock than to start one too.
            for job in jobs { job() }
            jobs.removeAll()
            pthread_cond_broadcast(changed)
        }
    }
}
