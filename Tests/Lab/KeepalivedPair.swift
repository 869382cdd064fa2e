internal import Control
internal import Glibc

/// keepalived on both routers, with the shipped files but for names, addresses and paths.
public final class KeepalivedPair {
    /// What keepalived calls and asks.
    public enum Companion: Sendable {
        /// The shipped notify script and `flowsync`, against the lab's daemons.
        case flowsync
        /// A program that is called as the notify script is, by a path per router; readiness is not asked for.
        case program(@Sendable (LabNode) -> String)
    }

    private let lab: Lab
    private let companion: Companion
    private var processes: [LabNode: ChildProcess] = [:]

    /// The floating addresses as the lab's keepalived files have them.
    private static let floating = [
        (dev: "wan", "\(LabAddress.floatingWAN)/32"), (dev: "wan", "\(LabAddress.floatingWANIPv6)/128"),
        (dev: "lan", "\(LabAddress.floatingLAN)/32"), (dev: "lan", "\(LabAddress.floatingLANIPv6)/128"),
    ]

    /// Writes the files and takes the floating addresses, which the lab gave to r1, from it.
    public init(_ lab: Lab, _ companion: Companion = .flowsync) throws(LabError) {
        self.lab = lab
        self.companion = companion
        for router in [LabNode.r1, .r2] {
            try writeFiles(for: router)
            // The other router's adverts: flows that nobody replicates, and that the lab's comparison would miss.
            for chain in ["sync_in", "sync_out"] {
                try lab.nft(on: router, "add rule inet lab \(chain) ip protocol vrrp notrack")
            }
        }
        try removeFloatingAddresses(from: .r1)
    }

    private func path(_ router: LabNode, _ name: String) -> String { "\(lab.directory)/\(router)-\(name)" }

    private func writeFiles(for router: LabNode) throws(LabError) {
        let (command, logger) = (path(router, "flowsync"), path(router, "logger"))
        let socketPath = lab.socketPath(of: router)
        let program = try LabPrograms.command()
        try writeTextFile(command, "#!/bin/sh\nexec \(program) \"$@\" --socket \(socketPath)\n", mode: 0o700)
        try writeTextFile(logger, "#!/bin/sh\nexec cat >>\(path(router, "notify.log"))\n", mode: 0o700)
        let script = try adapt(
            "flowsync-notify",
            ["$(flowsync role": "$(\(command) role", "    logger -t": "    \(logger) -t"]
        )
        try writeTextFile(path(router, "flowsync-notify"), script, mode: 0o700)
        let (notify, ready) =
            switch companion {
            case .flowsync: (path(router, "flowsync-notify"), "\(command) ready")
            case .program(let program): (program(router), "/bin/true")
            }
        let configuration = try adapt(
            "\(router).conf",
            [
                "interface eth0": "interface wan", "192.0.2.1/24": Self.floating[0].1,
                "2001:db8:1::1/64": Self.floating[1].1,
                "interface eth1": "interface lan", "10.0.0.1/24": Self.floating[2].1,
                "2001:db8:2::1/64": Self.floating[3].1,
                "/usr/bin/flowsync ready": ready,
                "/usr/lib/flowsync/flowsync-notify": notify,
            ]
        )
        try writeTextFile(path(router, "keepalived.conf"), configuration)
    }

    /// A shipped file with replacements, each of which has to occur exactly once.
    private func adapt(_ name: String, _ replacements: [String: String]) throws(LabError) -> String {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let source = "/\(root)/Config/keepalived/\(name)"
        var text = try readTextFile(source)
        for (old, new) in replacements {
            let ranges = text.ranges(of: old)
            guard ranges.count == 1 else { throw LabError("\(source) has \"\(old)\" \(ranges.count) times, not once") }
            text.replaceSubrange(ranges[0], with: new)
        }
        return text
    }

    // MARK: Processes

    /// Starts a router's keepalived.
    public func start(on router: LabNode) throws(LabError) {
        let log = ChildProcess.Stream.file(path(router, "keepalived.log"))
        processes[router] = try lab.start(
            on: router,
            [
                "keepalived", "--vrrp", "--dont-fork", "--log-console", "--log-detail",
                "--use-file=\(path(router, "keepalived.conf"))", "--pid=\(path(router, "keepalived.pid"))",
                "--vrrp_pid=\(path(router, "vrrp.pid"))",
            ],
            output: log,
            errors: log
        )
    }

    /// Starts both and waits until r1 is elected.
    ///
    /// - Returns: how long that took, in seconds.
    @discardableResult
    public func startBoth() throws(LabError) -> Double {
        for router in [LabNode.r2, .r1] { try start(on: router) }
        let seconds = try waitUntilMaster(.r1, within: 15)
        try waitUntilBackup(.r2, within: 5)
        return seconds
    }

    /// Ends a router's keepalived as systemd does and returns its exit status.
    public func stop(on router: LabNode) throws(LabError) -> Int32? {
        processes[router]?.signal(SIGTERM)
        return processes[router]?.wait(timeoutSeconds: 10)
    }

    /// Gives a router another priority, as an operator does: edits the file, and has keepalived read it again.
    public func setPriority(_ priority: Int, of router: LabNode) throws(LabError) {
        let file = path(router, "keepalived.conf")
        let lines = try readTextFile(file).split(separator: "\n", omittingEmptySubsequences: false)
        let text = lines.map { line in
            let words = line.split(separator: " ")
            return words.count == 2 && words[0] == "priority" ? "    priority \(priority)" : String(line)
        }
        try writeTextFile(file, text.joined(separator: "\n"))
        processes[router]?.signal(SIGHUP)
    }

    /// A router without power: nobody says good-bye, and neither addresses nor flows are there when it comes back.
    public func powerOff(_ router: LabNode) throws(LabError) {
        try lab.powerOff(router)
        // Reaped: a next keepalived takes the id of one that is not for a running one.
        processes[router]?.wait(timeoutSeconds: 5)
        processes[router] = nil
        try forget(router)
    }

    /// Takes from a router that is off what a restart would take: addresses and flows.
    private func forget(_ router: LabNode) throws(LabError) {
        try removeFloatingAddresses(from: router)
        try lab.check(on: router, ["conntrack", "-F"])
    }

    private func removeFloatingAddresses(from router: LabNode) throws(LabError) {
        for (dev, address) in Self.floating { try lab.check(on: router, ["ip", "addr", "del", address, "dev", dev]) }
    }

    // MARK: Who has the addresses

    /// The floating addresses that a router has now.
    public func floatingAddresses(on router: LabNode) throws(LabError) -> Set<String> {
        try lab.ownAddresses(of: router).intersection([
            LabAddress.floatingLAN, LabAddress.floatingLANIPv6, LabAddress.floatingWAN, LabAddress.floatingWANIPv6,
        ])
    }

    /// Waits until a router has all floating addresses and its daemon is primary.
    ///
    /// - Returns: the seconds since a moment, by default this one.
    @discardableResult
    public func waitUntilMaster(
        _ router: LabNode,
        within seconds: Double,
        since start: Double = Clock.seconds
    ) throws(LabError) -> Double {
        try wait(for: router, addressCount: Self.floating.count, .primary, until: start + seconds)
        return ((Clock.seconds - start) * 100).rounded() / 100
    }

    /// Waits until a router has no floating address and its daemon is backup.
    public func waitUntilBackup(_ router: LabNode, within seconds: Double) throws(LabError) {
        try wait(for: router, addressCount: 0, .backup, until: Clock.seconds + seconds)
    }

    private func wait(
        for router: LabNode,
        addressCount: Int,
        _ role: Role,
        until deadline: Double
    ) throws(LabError) {
        while true {
            let held = try floatingAddresses(on: router)
            // Another companion's role is not asked for: its report says when it is done.
            let actual: Role =
                if case .flowsync = companion { try lab.status(of: router).role } else { role }
            if held.count == addressCount, actual == role { return }
            guard Clock.seconds < deadline else {
                throw LabError("\(router) holds \(held) and is \(actual); it has to become \(role)\n\(logs)")
            }
            Clock.sleep(seconds: 0.05)
        }
    }

    // MARK: Logs

    /// What a router's notify script reported last.
    public func notifyLog(of router: LabNode) -> String {
        ((try? readTextFile(path(router, "notify.log"))) ?? "").split(separator: "\n").suffix(8).joined(separator: "\n")
    }

    /// Everything that keepalived and the notify script said, for messages.
    public var logs: String {
        [LabNode.r1, .r2].map { router in
            let log = (try? readTextFile(path(router, "keepalived.log"))) ?? ""
            let lines = log.split(separator: "\n").filter {
                !$0.contains("ratuitous ARP") && !$0.contains("eighbour Adv")
            }
            .suffix(40).joined(separator: "\n")
            return "--- keepalived of \(router) ---\n\(lines)\n--- its notify script ---\n\(notifyLog(of: router))"
        }.joined(separator: "\n") + "\n" + lab.daemonLogs
    }
}
