import Control
import Glibc
import Lab
import Testing

extension LabTests {
    /// Orders that come at a bad moment, and daemons that die at one.
    @Suite("Takeover commands")
    struct TakeoverCommands {
        private static let flowCount = TakeoverSize.isLong ? 200_000 : 50_000

        /// A lab with a dead r1 and an r2 that holds its flows.
        private func begin(isPreloading: Bool = false) throws -> Lab {
            let lab = try Lab()
            guard case .flowsync(let settings) = gated(isPreloading: isPreloading) else { return lab }
            try lab.startPair(settings)
            try lab.setRole(.primary, of: .r1)
            try lab.setRole(.backup, of: .r2)
            try lab.inject(Self.flowCount, into: .r1)
            try lab.wait(until: "r2 holds all flows", within: 30) {
                try lab.status(of: .r2).caches.externalFlowCount == Self.flowCount
            }
            try lab.powerOff(.r1)
            return lab
        }

        private func startRole(_ role: Role, _ lab: Lab) throws -> ChildProcess {
            let log = ChildProcess.Stream.file("\(lab.directory)/role.log")
            let command = try lab.flowsyncCommand(on: .r2, ["role", role.rawValue])
            return try lab.start(on: .r2, command, output: log, errors: log)
        }

        private func expectAllFlows(_ lab: Lab) throws {
            #expect(try lab.kernelFlows(of: .r2).flows.count == Self.flowCount)
            #expect(try lab.hasGate(.r2) == false)
            let status = try lab.status(of: .r2)
            #expect(status.role == .primary)
            #expect(status.caches.internalFlowCount == Self.flowCount)
            #expect(status.caches.externalFlowCount == 0)
        }

        @Test("primary, and primary again: the second one succeeds and commits nothing anew")
        func twice() throws {
            let lab = try begin()
            defer { lab.close() }
            #expect(try lab.hasGate(.r2))
            let first = try lab.setRole(.primary, of: .r2)
            #expect(first.steps.first { $0.name == "commit" }?.count == Self.flowCount, "\(first)")
            try expectAllFlows(lab)
            let second = try lab.setRole(.primary, of: .r2)
            #expect(second.steps.first { $0.name == "commit" }?.count ?? 0 == 0, "\(second)")
            try expectAllFlows(lab)
        }

        @Test("primary while one runs: both succeed, the flows are committed once")
        func whileOneRuns() throws {
            let lab = try begin()
            defer { lab.close() }
            let commands = [try startRole(.primary, lab), try startRole(.primary, lab)]
            for command in commands { #expect(command.wait(timeoutSeconds: 60) == 0, "\(lab.daemonLogs)") }
            try expectAllFlows(lab)
        }

        @Test("backup in the middle of a takeover: the node is a backup with its gate closed, and can still take over")
        func backupInTheMiddle() throws {
            let lab = try begin()
            defer { lab.close() }
            let takeover = try startRole(.primary, lab)
            try lab.wait(until: "the commit has begun", within: 10) { try lab.kernelFlowCount(of: .r2) > 1_000 }
            let report = try lab.setRole(.backup, of: .r2)
            note("\(report.steps.map { "\($0.name) \($0.count)" })")
            #expect(takeover.wait(timeoutSeconds: 30) != nil)
            #expect(try lab.status(of: .r2).role == .backup)
            #expect(try lab.hasGate(.r2))
            try lab.setRole(.primary, of: .r2)
            try expectAllFlows(lab)
        }

        @Test("the daemon is killed in the middle of a takeover and comes back: no gate while it is dead")
        func killedInTheMiddle() throws {
            let lab = try begin()
            defer { lab.close() }
            let takeover = try startRole(.primary, lab)
            try lab.wait(until: "the commit has begun", within: 10) { try lab.kernelFlowCount(of: .r2) > 1_000 }
            try lab.kill9(.r2)
            #expect(takeover.wait(timeoutSeconds: 10) ?? 0 != 0)
            #expect(try lab.hasGate(.r2) == false)
            let committed = try lab.kernelFlows(of: .r2).flows.count
            #expect(committed >= 1_000)

            guard case .flowsync(let settings) = gated() else { return }
            try lab.startDaemon(on: .r2, settings)
            try lab.setRole(.primary, of: .r2)
            // What was in the kernel is there and this node's; the rest went with the daemon.
            #expect(try lab.kernelFlows(of: .r2).flows.count == committed)
            #expect(try lab.hasGate(.r2) == false)
            let status = try lab.status(of: .r2)
            #expect(status.role == .primary)
            #expect(status.caches.internalFlowCount == committed)
        }

        @Test("a daemon that ends, killed or stopped, leaves no gate: not on a primary, not on a backup")
        func noGateIsLeft() throws {
            let lab = try Lab()
            defer { lab.close() }
            guard case .flowsync(let settings) = gated() else { return }
            for isKilled in [true, false] {
                try lab.startPair(settings)
                try lab.setRole(.primary, of: .r1)
                try lab.setRole(.backup, of: .r2)
                #expect(try lab.hasGate(.r1) == false)
                #expect(try lab.hasGate(.r2))
                for router in [LabNode.r1, .r2] {
                    if isKilled { try lab.kill9(router) } else { try lab.terminate(router) }
                    #expect(try !lab.check(on: router, ["nft", "list", "tables"]).text.contains("flowsync"))
                }
            }
        }

        @Test("a closed gate lets the router's own addresses be reached, and keeps its floating ones silent")
        func whatPassesAClosedGate() throws {
            let lab = try Lab()
            defer { lab.close() }
            guard case .flowsync(let settings) = gated() else { return }
            try lab.startPair(settings)
            try lab.setRole(.primary, of: .r1)
            try lab.setRole(.backup, of: .r2)
            // As after a split: r2 has the addresses and no role yet.
            try lab.moveAddresses(to: .r2)
            func ping(_ address: String) throws -> Bool {
                try lab.run(on: .client, ["ping", "-c", "1", "-W", "1", address]).exit == 0
            }
            #expect(try ping("10.10.0.3"))
            #expect(try ping("fd10::3"))
            #expect(try !ping(LabAddress.floatingLAN))
            #expect(try !ping(LabAddress.floatingLANIPv6))
            #expect(try !ping(LabAddress.server))
            #expect(try !ping(LabAddress.serverIPv6))
            try lab.setRole(.primary, of: .r2)
            for address in [LabAddress.floatingLAN, LabAddress.floatingLANIPv6] { #expect(try ping(address)) }
        }
    }
}
