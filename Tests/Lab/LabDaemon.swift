public import Control
internal import Glibc

/// A running `flowsyncd` of the lab.
public final class LabDaemon: Sendable {
    /// Where it runs.
    public let router: LabNode
    /// Its process.
    public let process: ChildProcess
    /// Its configuration file.
    public let configurationPath: String
    /// Its control socket.
    public let socketPath: String
    /// What it wrote to standard error.
    public let logPath: String

    init(router: LabNode, process: ChildProcess, configurationPath: String, socketPath: String, logPath: String) {
        self.router = router
        self.process = process
        self.configurationPath = configurationPath
        self.socketPath = socketPath
        self.logPath = logPath
    }

    /// The last lines of the log, for messages.
    public var logTail: String {
        let lines = ((try? readTextFile(logPath)) ?? "").split(separator: "\n")
        return lines.suffix(25).joined(separator: "\n")
    }
}

/// Daemons and the command.
extension Lab {
    /// Starts a router's daemon and waits until its control socket answers.
    ///
    /// - Parameter environment: added to the daemon's, for example `NOTIFY_SOCKET`.
    @discardableResult
    public func startDaemon(
        on router: LabNode,
        _ settings: DaemonSettings = DaemonSettings(),
        environment: [String: String] = [:]
    ) throws(LabError) -> LabDaemon {
        let daemon = try launchDaemon(on: router, settings, environment: environment)
        let deadline = Clock.seconds + 20
        while Clock.seconds < deadline {
            if let status = daemon.process.exitStatus {
                throw LabError("flowsyncd on \(router) ended at start with status \(status):\n\(daemon.logTail)")
            }
            if access(daemon.socketPath, F_OK) == 0, try flowsync(on: router, "status").exit == 0 { return daemon }
            Clock.sleep(seconds: 0.02)
        }
        throw LabError("flowsyncd on \(router) does not answer on \(daemon.socketPath):\n\(daemon.logTail)")
    }

    /// Starts a router's daemon and does not wait for it.
    public func launchDaemon(
        on router: LabNode,
        _ settings: DaemonSettings = DaemonSettings(),
        environment: [String: String] = [:]
    ) throws(LabError) -> LabDaemon {
        if let old = daemons[router], old.process.isRunning {
            throw LabError("the lab already runs a daemon on \(router)")
        }
        let configurationPath = "\(directory)/\(router).toml"
        let socketPath = "\(directory)/\(router).sock"
        try writeTextFile(configurationPath, settings.configuration(for: router, socketPath: socketPath))
        let logPath = "\(directory)/\(router).log"
        let process = try start(
            on: router,
            [try LabPrograms.daemon(), "--config", configurationPath],
            environment: environment,
            output: .file(logPath),
            errors: .file(logPath)
        )
        let daemon = LabDaemon(
            router: router,
            process: process,
            configurationPath: configurationPath,
            socketPath: socketPath,
            logPath: logPath
        )
        daemons[router] = daemon
        return daemon
    }

    /// Starts both daemons and waits until each says that it is in sync with the other.
    public func startPair(_ settings: DaemonSettings = DaemonSettings()) throws(LabError) {
        try startDaemon(on: .r1, settings)
        try startDaemon(on: .r2, settings)
        try waitUntilSynchronised(within: 15)
    }

    /// Waits until both daemons say that they are in sync.
    public func waitUntilSynchronised(within seconds: Double) throws(LabError) {
        let deadline = Clock.seconds + seconds
        while true {
            let states = [try status(of: .r1), try status(of: .r2)]
            if states.allSatisfy(\.isSynchronised) { return }
            guard Clock.seconds < deadline else {
                throw LabError(
                    "the pair is not in sync after \(seconds) s:\n\(states[0])\n\(states[1])\n\(daemonLogs)"
                )
            }
            Clock.sleep(seconds: 0.05)
        }
    }

    /// Kills a daemon as a crash would.
    public func kill9(_ router: LabNode) throws(LabError) {
        try stop(router, SIGKILL, within: 5)
    }

    /// Asks a daemon to stop and returns its exit status.
    @discardableResult
    public func terminate(_ router: LabNode, within seconds: Double = 10) throws(LabError) -> Int32 {
        try stop(router, SIGTERM, within: seconds)
    }

    @discardableResult
    private func stop(_ router: LabNode, _ signal: Int32, within seconds: Double) throws(LabError) -> Int32 {
        guard let daemon = daemons[router] else { throw LabError("no daemon runs on \(router)") }
        daemon.process.signal(signal)
        guard let status = daemon.process.wait(timeoutSeconds: seconds) else {
            throw LabError("flowsyncd on \(router) still runs \(seconds) s after signal \(signal):\n\(daemon.logTail)")
        }
        daemons[router] = nil
        return status
    }

    /// Runs `flowsync` against a router's daemon.
    public func flowsync(on router: LabNode, _ arguments: String...) throws(LabError) -> CommandResult {
        try flowsync(on: router, arguments: arguments)
    }

    /// Runs `flowsync` against a router's daemon; whether or not one answers.
    public func flowsync(
        on router: LabNode,
        arguments: [String],
        timeoutSeconds: Double = 60
    ) throws(LabError) -> CommandResult {
        try run(on: router, try flowsyncCommand(on: router, arguments), timeoutSeconds: timeoutSeconds)
    }

    /// The command line of `flowsync` for a router's daemon, for `start`.
    public func flowsyncCommand(on router: LabNode, _ arguments: [String]) throws(LabError) -> [String] {
        [try LabPrograms.command()] + arguments + ["--socket", "\(directory)/\(router).sock"]
    }

    /// What `flowsync status --json` says.
    public func status(of router: LabNode) throws(LabError) -> NodeStatus {
        try decode(NodeStatus.self, try flowsync(on: router, "status", "--json"), "status", router)
    }

    /// What `flowsync stats --json` says.
    public func statistics(of router: LabNode) throws(LabError) -> Statistics {
        try decode(Statistics.self, try flowsync(on: router, "stats", "--json"), "stats", router)
    }

    /// Changes a router's role; fails unless the command says that it succeeded.
    @discardableResult
    public func setRole(_ role: Role, of router: LabNode, timeoutSeconds: Double = 60) throws(LabError) -> ActionReport
    {
        let result = try flowsync(
            on: router,
            arguments: ["role", role.rawValue, "--json"],
            timeoutSeconds: timeoutSeconds
        )
        let report = try decode(ActionReport.self, result, "role \(role.rawValue)", router)
        guard report.succeeded else {
            throw LabError("role \(role.rawValue) on \(router) failed: \(report)\n\(daemonLogs)")
        }
        return report
    }

    private func decode<Value: Decodable>(
        _ type: Value.Type,
        _ result: CommandResult,
        _ command: String,
        _ router: LabNode
    ) throws(LabError) -> Value {
        guard result.exit == 0 else {
            throw LabError("flowsync \(command) on \(router): \(result.summary)\n\(daemonLogs)")
        }
        do {
            return try APICoder.decode(type, from: result.output)
        } catch {
            throw LabError("flowsync \(command) on \(router) gave unreadable JSON: \(error): \(result.summary)")
        }
    }

    /// The last lines of both daemons' logs, for messages.
    public var daemonLogs: String {
        [LabNode.r1, .r2].map { router in
            let lines = ((try? readTextFile("\(directory)/\(router).log")) ?? "").split(separator: "\n")
            return "--- log of \(router) ---\n" + lines.suffix(25).joined(separator: "\n")
        }.joined(separator: "\n")
    }
}
