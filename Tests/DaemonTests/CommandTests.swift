import Control
import Glibc
import SystemIO
import Testing

@testable import Daemon

extension OneAtATime {
    /// The program `flowsync` against a server: what it prints, and its exit status.
    @Suite struct CommandTests {
        private struct Outcome: Sendable {
            var status: Int32
            var output: String
            var errors: String
        }

        /// The program that was built with these tests; it lies beside their bundle.
        private static let program: String = {
            let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? ""
            return bundle.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
                + "/flowsync"
        }()

        /// Runs `flowsync <arguments> --socket <socket>`, or any shell line with `$FLOWSYNC` in it.
        private func run(_ arguments: String, socket: String, in folder: SocketFolder, shell: String? = nil)
            async throws
            -> Outcome
        {
            let (outputPath, errorPath) = (folder.path + "/output", folder.path + "/errors")
            defer {
                unlink(outputPath)
                unlink(errorPath)
            }
            let line = shell ?? "$FLOWSYNC \(arguments) --socket \(socket)"
            let whole = "FLOWSYNC=\(Self.program); { \(line); } >\(outputPath) 2>\(errorPath) </dev/null"
            let status = try await onThread { system(whole) }
            return Outcome(
                status: status >> 8 & 0xff,
                output: String(decoding: try SystemFile.read(outputPath), as: UTF8.self),
                errors: String(decoding: try SystemFile.read(errorPath), as: UTF8.self)
            )
        }

        private func withCommand(
            _ engine: FakeEngine,
            _ body: (_ flowsync: (String) async throws -> Outcome) async throws -> Void
        ) async throws {
            let folder = SocketFolder()
            try await withServer(engine) { path in
                try await body { try await run($0, socket: path, in: folder) }
            }
        }

        @Test func queriesPrintTheirPagesAndEndWithZero() async throws {
            try await withCommand(FakeEngine()) { flowsync in
                let status = try await flowsync("status")
                #expect(status.status == 0 && status.errors.isEmpty)
                #expect(status.output == StatusText.render(NodeStatus(node: "r1", version: "0.1.0")))

                let statistics = Statistics(node: "r1", uptimeSeconds: 60)
                #expect(try await flowsync("stats").output == StatisticsText.render(statistics, topic: .summary))
                let runtime = try await flowsync("stats runtime").output
                #expect(runtime == StatisticsText.render(statistics, topic: .runtime))

                let json = try await flowsync("status --json").output
                #expect(try APICoder.decode(NodeStatus.self, from: Array(json.utf8)).node == "r1")
                #expect(try await flowsync("ready").output == "ready\n")
            }
        }

        @Test func actionsReachTheEngineAndPrintTheirSteps() async throws {
            let engine = FakeEngine()
            try await withCommand(engine) { flowsync in
                for arguments in [
                    "commit", "push", "flush internal", "flush external", "flush kernel", "resync kernel",
                    "resync peer",
                    "role primary", "role backup", "role fault",
                ] {
                    let outcome = try await flowsync(arguments)
                    #expect(outcome.status == 0, "\(arguments): \(outcome.errors)")
                    #expect(outcome.output.hasSuffix("  done  1  0.0 ms  failed 0\n"))
                }
            }
            let expected: [EngineRequest] = [
                .commit, .push, .flush(.internal), .flush(.external), .flush(.kernel), .resync(.kernel), .resync(.peer),
                .role(.primary), .role(.backup), .role(.fault),
            ]
            #expect(engine.requests == expected)
        }

        @Test func aTrafficGroupCanBeNamed() async throws {
            let engine = FakeEngine()
            try await withCommand(engine) { flowsync in
                #expect(try await flowsync("role backup --group web-2").status == 0)
                #expect(try await flowsync("ready --group web-2").status == 0)
                let wrong = try await flowsync("role backup --group 'a&b'")
                #expect(wrong.status == 2 && wrong.errors.contains("a-z, 0-9 and -, not \"a&b\""))
                #expect(try await flowsync("push --group web").status == 2)
            }
            #expect(engine.requests == [.role(.backup, group: "web-2"), .ready(group: "web-2")])
        }

        @Test func failureRefusalAndUnreadinessEndWithOne() async throws {
            let engine = FakeEngine { request in
                switch request {
                case .ready: .ready(ReadyReport(reason: "bulk transfer: 5 of 9 flows"))
                case .push: .action(ActionReport(action: "push", succeeded: false, message: "no link is live"))
                default: .refused("a commit is running since 3 s: wait for it")
                }
            }
            try await withCommand(engine) { flowsync in
                let ready = try await flowsync("ready")
                #expect(ready.status == 1 && ready.output == "not ready: bulk transfer: 5 of 9 flows\n")
                let push = try await flowsync("push")
                #expect(push.status == 1 && push.output == "push: FAILED after 0.0 ms: no link is live\n")
                for arguments in ["commit", "dump internal", "status"] {
                    let refused = try await flowsync(arguments)
                    #expect(refused.status == 1 && refused.output.isEmpty)
                    #expect(refused.errors == "flowsync: a commit is running since 3 s: wait for it\n")
                }
            }
        }

        @Test(arguments: [
            "", "bogus", "stats bogus", "dump", "dump everything", "role", "role unset", "flush", "resync internal",
            "status --bogus", "config",
        ])
        func wrongUsageEndsWithTwo(arguments: String) async throws {
            let folder = SocketFolder()
            let outcome = try await run("", socket: "", in: folder, shell: "$FLOWSYNC \(arguments)")
            #expect(outcome.status == 2)
            #expect(outcome.output.isEmpty && outcome.errors.contains("Usage: flowsync"))
        }

        @Test func helpIsNoError() async throws {
            let outcome = try await run("", socket: "", in: SocketFolder(), shell: "$FLOWSYNC --help")
            #expect(outcome.status == 0 && outcome.errors.isEmpty)
            #expect(outcome.output.contains("Exit status: 0 done, 1 failed, 2 wrong usage, 3 no daemon answers."))
        }

        @Test(arguments: ["--socket SOCKET status", "--socket=SOCKET --json status", "--json status --socket SOCKET"])
        func optionsMayStandBeforeTheSubcommand(arguments: String) async throws {
            let folder = SocketFolder()
            let line = "$FLOWSYNC " + arguments.replacing("SOCKET", with: folder.socket)
            let outcome = try await run("", socket: "", in: folder, shell: line)
            #expect(outcome.status == 3 && outcome.errors.contains(folder.socket))
        }

        @Test func withoutADaemonItEndsWithThree() async throws {
            let folder = SocketFolder()
            let outcome = try await run("status", socket: folder.socket, in: folder)
            #expect(outcome.status == 3)
            #expect(
                outcome.errors == "flowsync: no daemon answers at \(folder.socket): is flowsyncd running? "
                    + "(systemctl status flowsyncd)\n"
            )
        }

        @Test(.enabled(if: getuid() == 0, "needs the right to become another user"))
        func withoutPermissionItSaysSo() async throws {
            let folder = SocketFolder()
            try await withServer(FakeEngine()) { path in
                // The program may lie where the other user cannot go: it gets it as an open file.
                let command = "setpriv --reuid=65534 --clear-groups /proc/self/fd/9 status --socket \(path)"
                let outcome = try await run("", socket: "", in: folder, shell: "exec 9<$FLOWSYNC; \(command)")
                #expect(outcome.status == 1)
                #expect(outcome.errors.hasPrefix("flowsync: permission denied at \(path): "))
            }
        }

        /// `head` closes its end after one line; the command ends without a word, and so does the daemon's side.
        @Test func aReaderThatLeavesIsNoError() async throws {
            let engine = FakeEngine { request in
                guard case .dumpChunk(_, let cursor, let limit) = request else {
                    return FakeEngine.plainAnswer(to: request)
                }
                return .dumpChunk(FakeEngine.chunk(from: cursor, limit: limit, of: 20_000))
            }
            let folder = SocketFolder()
            try await withServer(engine) { path in
                let command = "$FLOWSYNC dump external --socket \(path); echo \"status $?\" >&2"
                let outcome = try await run("", socket: "", in: folder, shell: "{ \(command); } | head -n 1")
                #expect(outcome.errors == "status 0\n")
                #expect(outcome.output.hasPrefix("tcp      6 ESTABLISHED src=10.0.0.0 "))
            }
        }

        @Test func aDumpThatBreaksOffEndsWithOne() async throws {
            let engine = FakeEngine { request in
                guard case .dumpChunk(_, nil, let limit) = request else { return .refused("stopping") }
                return .dumpChunk(FakeEngine.chunk(from: nil, limit: limit, of: 20_000))
            }
            try await withCommand(engine) { flowsync in
                let outcome = try await flowsync("dump external")
                #expect(outcome.status == 1)
                #expect(outcome.output.hasSuffix("[active since 7s]\n"))
                #expect(outcome.errors.hasSuffix("closed the connection before its answer was complete\n"))
            }
        }

        @Test func configCheckNamesTheFile() async throws {
            let folder = SocketFolder()
            let outcome = try await run("", socket: "", in: folder, shell: "$FLOWSYNC config check \(folder.path)/none")
            #expect(outcome.status == 1)
            #expect(outcome.errors.hasPrefix("\(folder.path)/none: cannot be read: "))
        }
    }
}
