internal import CLinux
internal import Synchronization

/// A thread of the operating system's, for work that blocks or must not share a pool.
///
/// All signals are blocked in it; they belong to whoever reads the `SignalDescriptor`.
public final class SystemThread: Sendable {
    private let thread: UInt
    private let isJoined = Atomic(false)

    private init(_ thread: UInt) {
        self.thread = thread
    }

    /// Starts a thread that runs `body` and then ends.
    ///
    /// The kernel shows the first 15 bytes of its name.
    public static func start(
        name: String,
        _ body: @escaping @Sendable () -> Void
    ) throws(SystemError) -> SystemThread {
        let box = BodyBox(body)
        // SAFETY: the thread takes over this reference (`takeRetainedValue`); if it never starts we release it below.
        let context = unsafe Unmanaged.passRetained(box).toOpaque()
        var thread: UInt = 0
        let result = unsafe clinux_thread_start(
            &thread,
            name,
            { argument in
                guard let argument = unsafe argument else { return }
                unsafe Unmanaged<BodyBox>.fromOpaque(argument).takeRetainedValue().body()
            },
            context
        )
        if result != 0 {
            unsafe Unmanaged<BodyBox>.fromOpaque(context).release()
        }
        try check(result, "pthread_create", name)
        return SystemThread(thread)
    }

    /// Waits until the thread has ended.
    ///
    /// May be called once.
    public func join() {
        precondition(!isJoined.exchange(true, ordering: .relaxed), "a thread is joined once")
        let result = clinux_thread_join(thread)
        precondition(result == 0, "pthread_join: \(SystemError.name(of: -result))")
    }
}

private final class BodyBox: Sendable {
    let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) {
        self.body = body
    }
}
