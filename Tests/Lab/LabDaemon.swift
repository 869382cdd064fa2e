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
        let socketPath = socketPath(of: router)
        try writeConfiguration(settings, of: router)
        if settings.security == .sealed, access(keyFilePath(of: router), F_OK) != 0 { try setKeys([key], of: router) }
        var environment = environment
        if settings.hasDebugHooks { environment["FLOWSYNC_DEBUG"] = "1" }
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

    /// Writes a router's configuration file; a running daemon uses it after `reload`.
    public func writeConfiguration(_ settings: DaemonSettings, of router: LabNode) throws(LabError) {
        let text = settings.configuration(
            for: router,
            socketPath: socketPath(of: router),
            keyFilePath: keyFilePath(of: router),
            among: routers
        )
        try writeTextFile("\(directory)/\(router).toml", text)
    }

    /// Makes a daemon read its configuration and its key file again, and waits until it says that it has.
    public func reload(_ router: LabNode) throws(LabError) {
        guard let daemon = daemons[router] else { throw LabError("no daemon runs on \(router)") }
        func reloadCount() throws(LabError) -> Int { try readTextFile(daemon.logPath).ranges(of: "reload: ").count }
        let before = try reloadCount()
        daemon.process.signal(SIGHUP)
        let deadline = Clock.seconds + 5
        while try reloadCount() == before {
            guard Clock.seconds < deadline else {
                throw LabError("flowsyncd on \(router) logs no reload 5 s after SIGHUP:\n\(daemon.logTail)")
            }
            Clock.sleep(seconds: 0.02)
        }
    }

    /// Starts the first two daemons and waits until each says that it is in sync with the other.
    public func startPair(_ settings: DaemonSettings = DaemonSettings()) throws(LabError) {
        try startDaemons(on: [.r1, .r2], settings)
    }

    /// Starts the daemons of these routers and waits until each says that it is in sync with all others.
    public func startDaemons(on routers: [LabNode], _ settings: DaemonSettings = DaemonSettings()) throws(LabError) {
        for router in routers { try startDaemon(on: router, settings) }
        try waitUntilSynchronised(within: 15)
    }

    /// Waits until all running daemons say that they are in sync with each other.
    public func waitUntilSynchronised(within seconds: Double) throws(LabError) {
        let deadline = Clock.seconds + seconds
        let running = runningRouters
        while true {
            var states: [NodeStatus] = []
            for router in running { states.append(try status(of: router)) }
            if states.allSatisfy({ $0.isSynchronised && $0.peers.count >= running.count - 1 }) { return }
            guard Clock.seconds < deadline else {
                let texts = states.map { "\($0)" }.joined(separator: "\n")
                throw LabError("\(running) are not in sync after \(seconds) s:\n\(texts)\n\(daemonLogs)")
            }
            Clock.sleep(seconds: 0.05)
        }
    }

    /// The routers whose daemon was started and not stopped, in order.
    public var runningRouters: [LabNode] { routers.filter { daemons[$0] != nil } }

    /// Kills a daemon as a crash would.
    public func kill9(_ router: LabNode) throws(LabError) {
        try stop(router, SIGKILL, within: 5)
    }

    /// Kills everything that runs on a router at once, without a last word, and takes its links down: no power.
    ///
    /// Its addresses and its kernel's flows stay, where nobody sees them; what `/run` would hold is lost.
    public func powerOff(_ router: LabNode) throws(LabError) {
        let text = try runChecked(["ip", "netns", "pids", namespace(router)]).text
        let processes = text.split(separator: "\n").compactMap { Int32($0) }
        // Stopped first: what sees its parent or child die would tidy up and say good-bye.
        for process in processes { kill(process, SIGSTOP) }
        for process in processes { kill(process, SIGKILL) }
        try cutLinks(of: router)
        daemons[router]?.process.wait(timeoutSeconds: 5)
        daemons[router] = nil
        try runChecked(["rm", "-r", runDirectory(of: router)])
        try makeRunDirectory(of: router)
    }

    /// What stands for a router's `/run/flowsync`: the control socket and what lies beside it.
    public func runDirectory(of router: LabNode) -> String { "\(directory)/run-\(router)" }

    func makeRunDirectory(of router: LabNode) throws(LabError) {
        try runChecked(["mkdir", "-m", "755", runDirectory(of: router)])
    }

    /// Where a router's daemon listens for commands.
    public func socketPath(of router: LabNode) -> String { "\(runDirectory(of: router))/control.sock" }

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
        [try LabPrograms.command()] + arguments + ["--socket", socketPath(of: router)]
    }

    /// What `flowsync status --json` says.
    public func status(of router: LabNode) throws(LabError) -> NodeStatus {
        try decode(NodeStatus.self, try flowsync(on: router, "status", "--json"), "status", router)
    }

    /// What a router's daemon says of another router's.
    public func peer(_ peer: LabNode, of router: LabNode) throws(LabError) -> PeerStatus {
        let status = try status(of: router)
        guard let found = status.peers.first(where: { $0.name == peer.rawValue }) else {
            throw LabError("\(router) knows no peer \(peer): \(status)\n\(daemonLogs)")
        }
        return found
    }

    /// Waits until something is so; an error that says what it was and why not.
    public func wait(
        until statement: String,
        within seconds: Double,
        _ isSo: () throws -> Bool,
        else explanation: () -> String = { "" }
    ) throws {
        let deadline = Clock.seconds + seconds
        while try !isSo() {
            guard Clock.seconds < deadline else {
                let summaries = runningRouters.map { summary(of: $0) }.joined(separator: "\n")
                throw LabError(
                    "not so within \(seconds) s: \(statement)\n\(explanation())\n\(summaries)\n\(daemonLogs)"
                )
            }
            Clock.sleep(seconds: 0.02)
        }
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

    /// A daemon's log.
    public func log(of router: LabNode) -> String { (try? readTextFile("\(directory)/\(router).log")) ?? "" }

    /// The last lines of all daemons' logs, for messages.
    public var daemonLogs: String {
        routers.map { router in
            let lines = log(of: router).split(separator: "\n")
            return "--- log of \(router) ---\n" + lines.suffix(25).joined(separator: "\n")
        }.joined(separator: "\n")
    }
}
