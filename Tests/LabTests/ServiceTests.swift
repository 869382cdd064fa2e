import Control
import Glibc
import Lab
import Testing

extension LabTests {
    /// The daemon as a service: start, refusal, readiness, stop.
    @Suite("Service")
    struct Service {
        /// Runs the daemon on r1 with a command in front of it until it ends by itself.
        private func runDaemon(
            _ lab: Lab,
            after prefix: [String] = [],
            configuration: String? = nil,
            _ arguments: [String] = []
        ) throws -> CommandResult {
            let path = "\(lab.directory)/single.toml"
            try lab.setKeys([lab.key], of: .r1)
            try writeTextFile(path, configuration ?? goodConfiguration(lab))
            return try lab.run(
                on: .r1,
                prefix + [try LabPrograms.daemon(), "--config", path] + arguments,
                timeoutSeconds: 10
            )
        }

        private func goodConfiguration(_ lab: Lab) -> String {
            DaemonSettings().configuration(
                for: .r1,
                socketPath: lab.socketPath(of: .r1),
                keyFilePath: lab.keyFilePath(of: .r1)
            )
        }

        @Test("READY and WATCHDOG arrive at a real notify socket, STOPPING at the end")
        func notifications() throws {
            let lab = try Lab()
            defer { lab.close() }
            let socket = try NotifySocket(path: "\(lab.directory)/notify")
            try lab.startDaemon(
                on: .r1,
                environment: ["NOTIFY_SOCKET": socket.path, "WATCHDOG_USEC": "1000000"]
            )
            #expect(socket.wait(for: "READY=1", within: 5), "\(socket.lines)")
            #expect(socket.wait(for: "STATUS=", within: 5), "\(socket.lines)")
            let start = Clock.seconds
            #expect(socket.wait(for: "WATCHDOG=1", count: 5, within: 5), "\(socket.lines)")
            note("5 watchdog messages in \(Int((Clock.seconds - start) * 1_000)) ms")
            let times = socket.lines.filter { $0.text == "WATCHDOG=1" }.map(\.seconds)
            for (earlier, later) in zip(times, times.dropFirst()) { #expect(later - earlier < 1) }

            try #require(lab.daemons[.r1]).process.signal(SIGHUP)
            #expect(socket.wait(for: "RELOADING=1", within: 5), "\(socket.lines)")
            #expect(socket.wait(for: "READY=1", count: 2, within: 5), "\(socket.lines)")
            #expect(try lab.terminate(.r1) == 0)
            #expect(socket.wait(for: "STOPPING=1", within: 2), "\(socket.lines)")
        }

        @Test("a notify socket that nobody reads does not stop the daemon")
        func unreadNotifySocket() throws {
            let lab = try Lab()
            defer { lab.close() }
            let socket = try NotifySocket(path: "\(lab.directory)/notify")
            // 20 ms between two messages: the socket's queue is full long before the test looks.
            try lab.startDaemon(on: .r1, environment: ["NOTIFY_SOCKET": socket.path, "WATCHDOG_USEC": "20000"])
            Clock.sleep(seconds: 3)
            try lab.inject(100, into: .r1)
            #expect(try lab.status(of: .r1).caches.internalFlowCount == 100)
            #expect(socket.wait(for: "READY=1", within: 1))
        }

        @Test("the watchdog is fed while 100,000 flows are committed")
        func watchdogDuringCommit() throws {
            let lab = try Lab()
            defer { lab.close() }
            let socket = try NotifySocket(path: "\(lab.directory)/notify")
            try lab.startDaemon(on: .r1)
            try lab.startDaemon(
                on: .r2,
                environment: ["NOTIFY_SOCKET": socket.path, "WATCHDOG_USEC": "1000000"]
            )
            try lab.inject(100_000, into: .r1)
            try lab.waitUntilEqual(within: 20)
            _ = socket.wait(for: "never", within: 1)
            let queued = socket.lines.count
            // The datagrams carry no time, so the test has to read them while the commit runs.
            let commit = try lab.start(
                on: .r2,
                [try LabPrograms.command(), "role", "primary", "--socket", lab.socketPath(of: .r2)]
            )
            while commit.isRunning { _ = socket.wait(for: "never", within: 0.05) }
            #expect(commit.exitStatus == 0)
            _ = socket.wait(for: "never", within: 1)
            let times = socket.lines[queued...].filter { $0.text == "WATCHDOG=1" }.map(\.seconds)
            let longest = zip(times, times.dropFirst()).map { $1 - $0 }.max() ?? .infinity
            note("longest time between two watchdog messages: \(Int(min(longest, 60) * 1_000)) ms")
            #expect(longest < 1)
        }

        @Test("a second instance is refused, a killed one stands in nobody's way")
        func secondInstance() throws {
            let lab = try Lab()
            defer { lab.close() }
            let daemon = try lab.startDaemon(on: .r1)
            let second = try runDaemon(lab)
            #expect(second.exit == 1, "\(second.summary)")
            #expect(second.errorText.contains(daemon.socketPath), "\(second.summary)")
            #expect(try lab.flowsync(on: .r1, "status").exit == 0)

            try lab.kill9(.r1)
            #expect(access(daemon.socketPath, F_OK) == 0, "a killed daemon leaves its socket; that is what is tested")
            try lab.startDaemon(on: .r1)
            #expect(try lab.terminate(.r1) == 0)
            #expect(access(daemon.socketPath, F_OK) != 0, "a stopped daemon takes its socket with it")
            try lab.startDaemon(on: .r1)
        }

        @Test("events switched off: said loudly, with the command that mends it")
        func eventsOff() throws {
            let lab = try Lab()
            defer { lab.close() }
            try lab.sysctl(on: .r1, ["net.netfilter.nf_conntrack_events=0"])
            let daemon = try lab.launchDaemon(on: .r1)
            _ = daemon.process.wait(timeoutSeconds: 1.5)
            let log = try readTextFile(daemon.logPath)
            #expect(log.contains("nf_conntrack_events"), "\(log)")
            #expect(log.contains("sysctl"), "\(log)")
            if daemon.process.isRunning {
                let warnings = try lab.status(of: .r1).warnings
                #expect(warnings.contains { $0.contains("nf_conntrack_events") }, "\(warnings)")
            } else {
                #expect(daemon.process.exitStatus == 1)
            }
        }

        @Test("no rule makes the kernel track connections: said in the status")
        func notHooked() throws {
            let lab = try Lab()
            defer { lab.close() }
            try lab.nft(on: .r1, "flush ruleset")
            try lab.startDaemon(on: .r1)
            let text = try lab.flowsync(on: .r1, "status").text
            #expect(text.contains("track"), "\(text)")
        }

        @Test("without the privilege it says which one is missing")
        func noPrivilege() throws {
            let lab = try Lab()
            defer { lab.close() }
            let result = try runDaemon(
                lab,
                after: ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs", "--"]
            )
            #expect(result.exit == 1, "\(result.summary)")
            #expect(result.errorText.contains("CAP_NET_ADMIN"), "\(result.summary)")
        }

        @Test("wrong options and wrong files are refused with what is wrong and where")
        func wrongOptions() throws {
            let lab = try Lab()
            defer { lab.close() }
            let usage = try runDaemon(lab, ["--frobnicate"])
            #expect(usage.exit == 2 || usage.exit == 64, "\(usage.summary)")
            #expect(usage.errorText.contains("--frobnicate"), "\(usage.summary)")

            let good = goodConfiguration(lab)
            let bad = try runDaemon(lab, configuration: good.replacing("event-buffer ", with: "event-bufer "))
            #expect(bad.exit == 1, "\(bad.summary)")
            #expect(bad.errorText.contains("single.toml:"), "\(bad.summary)")
            #expect(bad.errorText.contains("event-buffer"), "\(bad.summary)")

            let checked = try runDaemon(lab, ["--check"])
            #expect(checked.exit == 0, "\(checked.summary)")

            let absent = try lab.run(on: .r1, [try LabPrograms.daemon(), "--config", "/nonexistent.toml"])
            #expect(absent.exit == 1, "\(absent.summary)")
            #expect(absent.errorText.contains("/nonexistent.toml"), "\(absent.summary)")
        }

        @Test("the programs run in a chroot that holds no Swift")
        func chroot() throws {
            let lab = try Lab()
            defer { lab.close() }
            let root = "\(lab.directory)/root"
            try runChecked(["mkdir", "-p", "\(root)/proc", "\(root)/run", "\(root)/etc", "\(root)/bin", "\(root)/tmp"])
            for program in [try LabPrograms.daemon(), try LabPrograms.command()] {
                try runChecked(["cp", "-L", program, "\(root)/bin/"])
                for line in try runChecked(["ldd", program]).text.split(separator: "\n") {
                    guard let path = line.split(whereSeparator: \.isWhitespace).first(where: { $0.hasPrefix("/") })
                    else { continue }
                    #expect(!path.contains("swift"), "\(program) needs \(line); build with --static-swift-stdlib")
                    try runChecked(["cp", "-L", "--parents", String(path), root])
                }
            }
            try writeTextFile("\(root)/etc/sync.key", lab.key + "\n")
            try writeTextFile(
                "\(root)/etc/flowsyncd.toml",
                DaemonSettings().configuration(
                    for: .r1,
                    socketPath: "/run/control.sock",
                    keyFilePath: "/etc/sync.key"
                )
            )
            // With /proc, as on any machine: Swift reads its arguments there, the daemon the kernel's parameters. The
            // mount is gone with the program, since it is in a mount namespace of its own.
            func inside(_ command: String) -> [String] {
                let script = "mount --bind /proc \(root)/proc && exec chroot \(root) \(command)"
                return ["unshare", "--mount", "bash", "-c", script]
            }
            let daemon = try lab.start(
                on: .r1,
                inside("/bin/flowsyncd --config /etc/flowsyncd.toml"),
                errors: .file("\(lab.directory)/chroot.log")
            )
            let deadline = Clock.seconds + 10
            var status = CommandResult(exit: -1)
            repeat {
                Clock.sleep(seconds: 0.1)
                status = try runCommand(inside("/bin/flowsync status --socket /run/control.sock"))
            } while status.exit != 0 && Clock.seconds < deadline && daemon.isRunning
            #expect(status.exit == 0, "\(status.summary)\n\((try? readTextFile("\(lab.directory)/chroot.log")) ?? "")")
            #expect(status.text.contains("r1"))
        }
    }
}
