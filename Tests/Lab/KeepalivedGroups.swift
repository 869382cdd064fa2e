internal import Glibc

/// keepalived on both routers with the shipped file for two traffic groups, but for names, addresses and paths.
public final class KeepalivedGroups {
    /// How the daemon is told.
    public enum Teller: String, CaseIterable, Sendable {
        /// By the fifo's reader, as shipped: `default` goes with web.
        case fifo
        /// By a notify script in each sync group: nobody tells `default` anything.
        case script
    }

    private let lab: Lab
    private let teller: Teller
    private var processes: [LabNode: ChildProcess] = [:]

    /// Writes the files, and takes the floating addresses, which the lab gave to r1, from it.
    public init(_ lab: Lab, _ teller: Teller) throws(LabError) {
        self.lab = lab
        self.teller = teller
        for router in [LabNode.r1, .r2] {
            try runChecked(["mkdir", "-m", "755", folder(router)])
            try writePrograms(for: router)
            try writeConfiguration(for: router, priorities: Self.priorities(of: router))
            // The other router's adverts: flows that nobody replicates.
            for chain in ["sync_in", "sync_out"] {
                try lab.nft(on: router, "add rule inet lab \(chain) ip protocol vrrp notrack")
            }
        }
        try removeFloatingAddresses(from: .r1)
    }

    /// What stands for /etc and /usr.
    private func folder(_ router: LabNode) -> String { "\(lab.directory)/\(router)-files" }

    private static func priorities(of router: LabNode) -> [StageGroup: Int] {
        Dictionary(uniqueKeysWithValues: StageGroup.allCases.map { ($0, $0.preferredRouter == router ? 150 : 100) })
    }

    private func writePrograms(for router: LabNode) throws(LabError) {
        let (folder, program) = (folder(router), try LabPrograms.command())
        // Writes down each role command and its exit status.
        try writeTextFile(
            "\(folder)/flowsync",
            """
            #!/bin/sh
            \(program) "$@" --socket \(lab.socketPath(of: router))
            status=$?
            [ "$1" != role ] || { shift; echo "$* $status" >>\(folder)/calls; }
            exit $status

            """,
            mode: 0o755
        )
        try writeTextFile("\(folder)/logger", "#!/bin/sh\nexec cat >>\(folder)/notify.log\n", mode: 0o755)
        try writeTextFile("\(folder)/calls", "")
        for name in ["flowsync-notify", "flowsync-notify-fifo"] {
            let text = try adapt(name, ["PATH=$PATH": "PATH=\(folder):$PATH"])
            try writeTextFile("\(folder)/\(name)", text, mode: 0o755)
        }
    }

    private func writeConfiguration(for router: LabNode, priorities: [StageGroup: Int]) throws(LabError) {
        var replacements = [
            "router_id r1": "router_id \(router)", "interface eth0": "interface wan", "interface eth1": "interface lan",
            "/run/flowsync": lab.runDirectory(of: router), "/usr/lib/flowsync": folder(router),
        ]
        for (group, old) in [
            (StageGroup.web, ["192.0.2.1/24", "2001:db8:1::1/64", "10.0.0.1/24", "2001:db8:2::1/64"]),
            (.mail, ["192.0.2.2/24", "2001:db8:1::2/64", "10.0.0.129/24", "2001:db8:2::1:1/64"]),
        ] {
            for (old, new) in zip(old, group.floating) { replacements[old] = new.address }
        }
        let text = try adapt("r1-groups.conf", replacements)
        var lines: [Substring] = []
        var instance = ""
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            let words = line.split(separator: " ")
            if words.first == "vrrp_instance" { instance = String(words[1]) }
            if words.count == 2, words[0] == "priority" {
                let group = StageGroup.allCases.first { instance.hasSuffix("_\($0.rawValue)") }
                guard let priority = group.flatMap({ priorities[$0] }) else { throw LabError("whose is \(instance)?") }
                lines.append("    priority \(priority)")
            } else if teller == .script, words.first?.hasPrefix("vrrp_notify_fifo") == true {
                continue
            } else {
                lines.append(line)
            }
            guard teller == .script, words.first == "vrrp_sync_group" else { continue }
            lines.append("    notify \"\(folder(router))/flowsync-notify --group \(words[1])\"")
        }
        try writeTextFile("\(folder(router))/keepalived.conf", lines.joined(separator: "\n"))
    }

    /// A shipped file with replacements, each of which has to occur.
    private func adapt(_ name: String, _ replacements: [String: String]) throws(LabError) -> String {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        var text = try readTextFile("/\(root)/Config/keepalived/\(name)")
        for (old, new) in replacements {
            guard text.contains(old) else { throw LabError("\(name) does not have \"\(old)\"") }
            text = text.replacing(old, with: new)
        }
        return text
    }

    // MARK: Processes

    /// Starts a router's keepalived.
    public func start(on router: LabNode) throws(LabError) {
        let log = ChildProcess.Stream.file("\(folder(router))/keepalived.log")
        processes[router] = try lab.start(
            on: router,
            [
                "keepalived", "--vrrp", "--dont-fork", "--log-console", "--log-detail",
                "--use-file=\(folder(router))/keepalived.conf", "--pid=\(folder(router))/keepalived.pid",
                "--vrrp_pid=\(folder(router))/vrrp.pid",
            ],
            output: log,
            errors: log
        )
    }

    /// Gives a group another priority on a router, or the usual one, as an operator does: edits the file, and has
    /// keepalived read it again.
    public func setPriority(_ priority: Int?, of group: StageGroup, on router: LabNode) throws(LabError) {
        var priorities = Self.priorities(of: router)
        if let priority { priorities[group] = priority }
        try writeConfiguration(for: router, priorities: priorities)
        processes[router]?.signal(SIGHUP)
    }

    /// A router without power: nobody says good-bye, and neither addresses nor flows are there when it comes back.
    public func powerOff(_ router: LabNode) throws(LabError) {
        try lab.powerOff(router)
        processes[router]?.wait(timeoutSeconds: 5)
        processes[router] = nil
        try removeFloatingAddresses(from: router)
        try lab.check(on: router, ["conntrack", "-F"])
    }

    private func removeFloatingAddresses(from router: LabNode) throws(LabError) {
        for group in StageGroup.allCases {
            let held = try floatingAddresses(of: group, on: router)
            for (dev, address) in group.floating where held.contains(String(address.prefix { $0 != "/" })) {
                try lab.check(on: router, ["ip", "addr", "del", address, "dev", dev])
            }
        }
    }

    // MARK: What it did

    /// The group's addresses that a router has now.
    public func floatingAddresses(of group: StageGroup, on router: LabNode) throws(LabError) -> Set<String> {
        try lab.ownAddresses(of: router)
            .intersection([group.outside, group.outsideIPv6, group.inside, group.insideIPv6])
    }

    /// The role commands that were given on a router, each with its exit status: "primary --group web 0".
    public func calls(on router: LabNode) throws(LabError) -> [String] {
        try readTextFile("\(folder(router))/calls").split(separator: "\n").map(String.init)
    }

    /// Everything that keepalived and the notify script said, for messages.
    public var logs: String {
        [LabNode.r1, .r2].map { router in
            ["keepalived.log", "notify.log", "calls"].map { name in
                let lines = ((try? readTextFile("\(folder(router))/\(name)")) ?? "").split(separator: "\n")
                let shown = lines.filter { !$0.contains("ratuitous ARP") && !$0.contains("eighbour Adv") }.suffix(40)
                return "--- \(name) of \(router) ---\n" + shown.joined(separator: "\n")
            }.joined(separator: "\n")
        }.joined(separator: "\n") + "\n" + lab.daemonLogs
    }
}
