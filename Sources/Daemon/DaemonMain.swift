public import Configuration
internal import Glibc
internal import Logging
internal import Synchronization
internal import SystemIO

enum SignalNumber {
    static let hangup = SIGHUP
    static let all = [SIGTERM, SIGINT, SIGHUP]
}

/// The daemon as a whole: engine on the calling thread, local API beside it.
public enum FlowSyncDaemon {
    /// Runs until SIGTERM or SIGINT and returns the process's exit status: 0 after a clean stop, 1 if it could not
    /// start or the kernel's sockets failed.
    ///
    /// - Parameters:
    ///   - configuration: as loaded from `configurationPath`.
    ///   - configurationPath: read again at SIGHUP.
    public static func run(configuration: Configuration, configurationPath: String) -> Int32 {
        let logger = Logger(label: "flowsyncd") { _ in JournalLogHandler() }
        // A log program at the other end of standard error that is gone is no reason to end.
        _ = signal(SIGPIPE, SIG_IGN)
        do {
            // Before any other thread starts, so that none of them takes the signals.
            let signals = try SignalDescriptor.open(SignalNumber.all)
            let server = try ControlServer.open(path: configuration.controlSocketPath, logger: logger)
            let engine = try Engine(
                configuration: configuration,
                path: configurationPath,
                signals: signals,
                logger: logger
            )
            let mailbox = engine.mailbox
            try wait { try await server.start(engine: mailbox) }
            defer { try? wait { await server.stop() } }
            try engine.run()
            return 0
        } catch {
            logger.error("\(error)")
            return 1
        }
    }

    /// Checks what a valid configuration names beside itself: the key file.
    ///
    /// - Throws: what is wrong with it and how to mend it.
    public static func check(_ configuration: Configuration) throws {
        _ = try LinkSecurity.ring(configuration.sync)
    }

    /// Runs asynchronous work from this thread, which has nothing else to do meanwhile.
    private static func wait(_ work: @escaping @Sendable () async throws -> Void) throws {
        let done = try Wakeup()
        let failure = Mutex<(any Error)?>(nil)
        Task.detached {
            do { try await work() } catch { failure.withLock { $0 = error } }
            done.signal()
        }
        var descriptor = pollfd(fd: done.descriptor, events: Int16(POLLIN), revents: 0)
        // Interrupted or not, the loop ends only when the work is done.
        while unsafe poll(&descriptor, 1, -1) <= 0 {}
        if let error = failure.withLock({ $0 }) { throw error }
    }
}
