import Control
import Glibc
import Lab
import Testing

/// A router with what we ship for Pacemaker and for keepalived's fifo, but for names, addresses and paths.
///
/// Unlike the lab's daemons this one has a folder of its own for what it keeps under /run.
final class HookedRouter {
    let router: LabNode
    private let lab: Lab
    /// What stands for /etc and /usr.
    private let folder: String
    /// What stands for /run/flowsync.
    private let run: String
    private var keepalived: ChildProcess?

    private static let floating = [
        (dev: "wan", "\(LabAddress.floatingWAN)/32"), (dev: "wan", "\(LabAddress.floatingWANIPv6)/128"),
        (dev: "lan", "\(LabAddress.floatingLAN)/32"), (dev: "lan", "\(LabAddress.floatingLANIPv6)/128"),
    ]

    /// Writes the files, and takes the floating addresses from the router.
    init(_ router: LabNode, _ lab: Lab, _ settings: DaemonSettings = DaemonSettings()) throws {
        self.router = router
        self.lab = lab
        (folder, run) = ("\(lab.directory)/\(router)-files", "\(lab.directory)/\(router)-run")
        // ocf-tester runs the agent as a user who is not root.
        try runChecked(["chmod", "711", lab.directory])
        try runChecked(["mkdir", "-m", "755", folder, "\(folder)/sbin", run])
        try lab.setKeys([lab.key], of: router)
        try writeTextFile(
            configuration,
            settings.configuration(for: router, socketPath: socket, keyFilePath: lab.keyFilePath(of: router))
        )
        try writePrograms()
        try writeFile(
            "keepalived/r1-fifo.conf",
            "keepalived.conf",
            [
                "router_id r1": "router_id \(router)", "priority 150": router == .r1 ? "priority 150" : "priority 100",
                "interface eth0": "interface wan", "192.0.2.1/24": Self.floating[0].1,
                "2001:db8:1::1/64": Self.floating[1].1, "interface eth1": "interface lan",
                "10.0.0.1/24": Self.floating[2].1, "2001:db8:2::1/64": Self.floating[3].1,
                "/run/flowsync": run, "/usr/lib/flowsync": folder,
            ]
        )
        try removeFloatingAddresses()
    }

    private func writePrograms() throws {
        let program = try LabPrograms.command()
        // Writes down each role command and its exit status.
        try writeTextFile(
            "\(folder)/flowsync",
            """
            #!/bin/sh
            [ "$1" = role ] || exec \(program) "$@" --socket \(socket)
            \(program) "$@" --socket \(socket)
            status=$?
            echo "$2 $status" >>\(folder)/calls
            exit $status

            """,
            mode: 0o755
        )
        try writeTextFile("\(folder)/logger", "#!/bin/sh\nexec cat >>\(folder)/notify.log\n", mode: 0o755)
        try writeTextFile("\(folder)/calls", "")
        for name in ["flowsync-notify", "flowsync-notify-fifo"] {
            try writeFile("keepalived/\(name)", name, ["PATH=$PATH": "PATH=\(folder):$PATH"])
        }
        let daemon = try LabPrograms.daemon()
        try writeFile("ocf/flowsync", "agent", ["/usr/sbin/flowsyncd": daemon, "=/usr/bin/flowsync": "=\(program)"])
        // Pacemaker's memory for promotion scores.
        try writeTextFile(
            "\(folder)/sbin/crm_attribute",
            """
            #!/bin/sh
            [ "$1" = -p ] || exit 1
            score=\(folder)/score-$OCF_RESOURCE_INSTANCE
            case $2 in -v) echo "$3" >$score ;; -D) rm -f $score ;; esac

            """,
            mode: 0o755
        )
    }

    /// Writes a shipped file with replacements, each of which has to occur.
    private func writeFile(_ source: String, _ name: String, _ replacements: [String: String]) throws {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        var text = try readTextFile("/\(root)/Config/\(source)")
        for (old, new) in replacements {
            guard text.contains(old) else { throw LabError("\(source) does not have \"\(old)\"") }
            text = text.replacing(old, with: new)
        }
        try writeTextFile("\(folder)/\(name)", text, mode: name.hasSuffix(".conf") ? 0o644 : 0o755)
    }

    // MARK: The daemon

    var configuration: String { "\(folder)/flowsyncd.toml" }
    private var socket: String { "\(run)/control.sock" }

    /// Starts the daemon as a service manager does.
    func startDaemon() throws {
        let output = ChildProcess.Stream.file("\(folder)/daemon.log")
        let command = [try LabPrograms.daemon(), "--config", configuration]
        _ = try lab.start(on: router, command, output: output, errors: output)
        try lab.wait(until: "the daemon of \(router) answers", within: 10) { (try? status()) != nil }
    }

    /// The daemon's process, whoever started it.
    var processID: Int32? {
        processes.first { (try? readTextFile("/proc/\($0)/comm")) == "flowsyncd\n" }
    }

    private var processes: [Int32] {
        let text = (try? runChecked(["ip", "netns", "pids", lab.namespace(router)]).text) ?? ""
        return text.split(separator: "\n").compactMap { Int32($0) }
    }

    func status() throws -> NodeStatus {
        let result = try lab.run(on: router, [try LabPrograms.command(), "status", "--json", "--socket", socket])
        guard result.exit == 0 else { throw LabError("no status of \(router): \(result.summary)") }
        return try APICoder.decode(NodeStatus.self, from: result.output)
    }

    // MARK: Pacemaker

    var agent: String { "\(folder)/agent" }
    func agentParameters(_ group: String? = nil) -> [String: String] {
        let parameters = ["config": configuration, "socket": socket]
        return group.map { parameters.merging(["group": $0]) { $1 } } ?? parameters
    }
    var log: String { "\(folder)/agent.log" }
    /// Where the agent finds the stand-in for Pacemaker's tool, and how new Pacemaker is.
    var pacemaker: [String] { ["HA_SBIN_DIR=\(folder)/sbin", "OCF_RESKEY_crm_feature_set=3.16.0"] }

    /// Runs the agent as Pacemaker does and returns its exit status.
    func act(_ action: String, _ group: String? = nil) throws -> Int32 {
        let result = try lab.run(on: router, command(action, group))
        try writeTextFile(log, "\(action): \(result.summary)\n")
        return result.exit
    }

    /// Begins to run the agent.
    func begin(_ action: String, _ group: String) throws -> ChildProcess {
        try lab.start(on: router, command(action, group), errors: .null)
    }

    private func command(_ action: String, _ group: String?) -> [String] {
        ["env", "OCF_ROOT=/usr/lib/ocf", "OCF_RESOURCE_INSTANCE=\(instance(group))"] + pacemaker
            + agentParameters(group).map { "OCF_RESKEY_\($0.key)=\($0.value)" } + [agent, action]
    }

    private func instance(_ group: String?) -> String { group.map { "flowsync-\($0)" } ?? "flowsync" }

    /// The promotion score that Pacemaker was given last.
    var score: String? { score(nil) }

    /// The promotion score that Pacemaker was given last for a traffic group's resource.
    func score(_ group: String?) -> String? {
        (try? readTextFile("\(folder)/score-\(instance(group))")).map { String($0.dropLast()) }
    }

    // MARK: keepalived

    func startKeepalived() throws {
        let output = ChildProcess.Stream.file("\(folder)/keepalived.log")
        keepalived = try lab.start(
            on: router,
            [
                "keepalived", "--vrrp", "--dont-fork", "--log-console", "--log-detail",
                "--use-file=\(folder)/keepalived.conf", "--pid=\(run)/keepalived.pid", "--vrrp_pid=\(run)/vrrp.pid",
            ],
            output: output,
            errors: output
        )
    }

    /// Ends keepalived as systemd does.
    func stopKeepalived() throws {
        keepalived?.signal(SIGTERM)
        #expect(keepalived?.wait(timeoutSeconds: 10) == 0)
    }

    /// The role commands that were given, each with its exit status.
    func calls() throws -> [String] { try readTextFile("\(folder)/calls").split(separator: "\n").map(String.init) }

    /// What keepalived says it made of the router, as roles.
    func transitions() throws -> [Role] {
        try readTextFile("\(folder)/keepalived.log").split(separator: "\n").compactMap { line in
            if line.contains("(outside) Entering MASTER STATE") { return .primary }
            // It gives its addresses away when it stops.
            if line.contains("(outside) Entering BACKUP STATE") || line.hasSuffix(" Stopping") { return .backup }
            return line.contains("(outside) Entering FAULT STATE") ? .fault : nil
        }
    }

    func floatingAddresses() throws -> Set<String> {
        try lab.ownAddresses(of: router).intersection([
            LabAddress.floatingLAN, LabAddress.floatingLANIPv6, LabAddress.floatingWAN, LabAddress.floatingWANIPv6,
        ])
    }

    /// Waits until the router has the addresses that go with a role, and the role.
    func waitUntil(_ role: Role, within seconds: Double) throws {
        let addressCount = role == .primary ? Self.floating.count : 0
        try lab.wait(until: "\(router) is \(role) with \(addressCount) floating addresses", within: seconds) {
            try floatingAddresses().count == addressCount && status().role == role
        } else: {
            logs
        }
    }

    /// Kills everything that runs on the router, and forgets what a machine without power forgets.
    func powerOff() throws {
        let victims = processes
        // Stopped first: what sees its parent or child die would tidy up and say good-bye.
        for process in victims { kill(process, SIGSTOP) }
        for process in victims { kill(process, SIGKILL) }
        keepalived?.wait(timeoutSeconds: 5)
        try lab.cutLinks(of: router)
        try removeFloatingAddresses()
        try lab.check(on: router, ["conntrack", "-F"])
        try runChecked(["rm", "-r", run])
        try runChecked(["mkdir", "-m", "755", run])
    }

    func powerOn() throws { try lab.restoreLinks(of: router) }

    private func removeFloatingAddresses() throws {
        let held = try floatingAddresses()
        for (dev, address) in Self.floating where held.contains(String(address.prefix { $0 != "/" })) {
            try lab.check(on: router, ["ip", "addr", "del", address, "dev", dev])
        }
    }

    /// What was said, for messages.
    var logs: String {
        ["keepalived.log", "notify.log", "daemon.log"].map { name in
            let lines = ((try? readTextFile("\(folder)/\(name)")) ?? "").split(separator: "\n")
            let shown = lines.filter { !$0.contains("ratuitous ARP") && !$0.contains("eighbour Adv") }.suffix(30)
            return "--- \(name) of \(router) ---\n" + shown.joined(separator: "\n")
        }.joined(separator: "\n")
    }
}
