internal import CLinux
internal import Glibc

/// Tells the service manager how the daemon is doing (the sd_notify protocol, without libsystemd).
///
/// Without a service manager every call does nothing. A manager that does not listen is no reason to fail either:
/// errors of single messages are ignored.
public struct ServiceNotifier: ~Copyable, Sendable {
    /// Nanoseconds within which the manager wants to hear `watchdog()`; nil if it does not watch.
    ///
    /// Call it twice as often.
    public let watchdogIntervalNanoseconds: UInt64?
    private let path: String?
    private let socket: OwnedDescriptor?

    /// A notifier as the environment asks for it: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    public init() throws(SystemError) {
        try self.init(
            socketPath: ProcessEnvironment["NOTIFY_SOCKET"],
            watchdogMicroseconds: ProcessEnvironment["WATCHDOG_USEC"],
            watchdogProcess: ProcessEnvironment["WATCHDOG_PID"]
        )
    }

    /// A notifier for given values of the three environment variables.
    init(
        socketPath: String?,
        watchdogMicroseconds: String?,
        watchdogProcess: String?
    ) throws(SystemError) {
        let isForUs = watchdogProcess.map { Int32($0) == getpid() } ?? true
        let microseconds = watchdogMicroseconds.flatMap { UInt64($0) } ?? 0
        let (nanoseconds, overflow) = microseconds.multipliedReportingOverflow(by: 1_000)
        watchdogIntervalNanoseconds = isForUs && nanoseconds > 0 && !overflow ? nanoseconds : nil
        // An address of another kind (vsock) is for virtual machines' init processes.
        if let socketPath, socketPath.hasPrefix("/") || socketPath.hasPrefix("@") {
            path = socketPath
            socket = OwnedDescriptor(adopting: try check(clinux_unix_datagram_open(), "socket", "AF_UNIX"))
        } else {
            path = nil
            socket = nil
        }
    }

    /// The daemon is up, or is done with a reload.
    public func ready(status: String) {
        send("READY=1\nSTATUS=\(oneLine(status))")
    }

    /// What the daemon is doing, in one line, for `systemctl status`.
    public func status(_ text: String) {
        send("STATUS=\(oneLine(text))")
    }

    /// The daemon is on its way down.
    public func stopping() {
        send("STOPPING=1")
    }

    /// The daemon begins to reload its configuration; `ready` ends it.
    public func reloading() {
        // Type=notify-reload wants the time, so that it can tell this reload from an older one.
        send("RELOADING=1\nMONOTONIC_USEC=\(MonotonicClock.nanoseconds() / 1_000)")
    }

    /// The daemon's loop is alive.
    public func watchdog() {
        send("WATCHDOG=1")
    }

    private func send(_ message: String) {
        guard let path else { return }
        switch socket {
        case .some(let socket):
            let bytes = Array(message.utf8)
            // SAFETY: path and bytes live until the call returns.
            _ = unsafe bytes.withUnsafeBufferPointer { buffer in
                unsafe clinux_send_to_path(socket.rawValue, path, buffer.baseAddress, buffer.count)
            }
        case .none:
            return
        }
    }

    /// A line feed would begin a variable of its own.
    private func oneLine(_ text: String) -> String {
        String(text.map { $0.isNewline ? " " : $0 })
    }
}
