import Control
import Glibc
import Lab
import Testing

extension LabTests {
    /// Two traffic groups on one pair of routers, each primary for one of them.
    @Suite("Traffic groups")
    struct TrafficGroups {
        /// Talking TCP connections in each group.
        private static let connectionCount = TakeoverSize.isLong ? 2_000 : 100
        /// Idle flows of web beside them.
        private static let idleCount = TakeoverSize.isLong ? 50_000 : 2_000

        /// Both routers serving their groups, with connections that are replicated.
        private func begin(
            _ teller: KeepalivedGroups.Teller,
            isPreloading: Bool = false
        ) throws -> TrafficGroupStage {
            let stage = try TrafficGroupStage(teller, isPreloading: isPreloading)
            try stage.openConnections(Self.connectionCount)
            try stage.replicate(idleCount: Self.idleCount)
            try stage.arm()
            return stage
        }

        /// Fails unless every connection of both groups is alive and nobody saw a reset.
        private func expectNothingLost(
            _ stage: TrafficGroupStage,
            _ occasion: String,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let reports = try stage.traffic.alive(within: 20)
            for group in StageGroup.allCases {
                let members = reports.filter { $0.name.hasPrefix(group.rawValue) }
                let (alive, total) = (members.reduce(0) { $0 + $1.alive }, members.reduce(0) { $0 + $1.total })
                let stall = members.map(\.longestSeconds).max() ?? 0
                note("\(occasion): \(group) \(alive) of \(total) alive, longest stall \(stall.text(3)) s")
                #expect(total == Self.connectionCount + 10, sourceLocation: sourceLocation)
            }
            expectAllAlive(reports, sourceLocation: sourceLocation)
            #expect(try stage.resets?.count() == 0, "\(occasion)\n\(stage.logs)", sourceLocation: sourceLocation)
            try stage.traffic.mark()
        }

        /// What must not change in a group that is not moved.
        private struct Footprint: Equatable {
            var role: Role
            var takeoverNumber: UInt64
            /// Packets that the other router was to forward.
            var strayPacketCount: Int
            /// Flows in the other router's kernel.
            var strayFlowCount: Int
        }

        private func footprint(_ group: StageGroup, at router: LabNode, _ stage: TrafficGroupStage) throws -> Footprint
        {
            let status = try stage.status(of: group, on: router)
            return Footprint(
                role: status.role,
                takeoverNumber: status.takeoverNumber,
                strayPacketCount: try stage.forwardedPacketCount(of: group, by: router.otherRouter),
                strayFlowCount: try stage.kernelFlowCounts(of: router.otherRouter)[group] ?? -1
            )
        }

        @Test(
            "one group fails over and returns; the other group's connections never leave their router; nothing lost",
            arguments: TakeoverSize.isLong ? [false, true] : [false]
        )
        func oneGroupMoves(isPreloading: Bool) throws {
            let stage = try begin(.fifo, isPreloading: isPreloading)
            defer { stage.close() }
            try expectCounts(stage)
            let before = try footprint(.mail, at: .r2, stage)
            #expect(before.role == .primary && before.strayPacketCount == 0)
            if !isPreloading { #expect(before.strayFlowCount == 0) }

            let lost = Clock.seconds
            try stage.keepalived.setPriority(30, of: .web, on: .r1)
            note("web on r2 after \(try stage.waitUntilServed(.web, by: .r2, within: 20, since: lost)) s")
            try expectNothingLost(stage, "web moved to r2")
            try stage.lab.wait(until: "r1's kernel has let go of web", within: 20) {
                try isPreloading || stage.kernelFlowCounts(of: .r1)[.web] == 0
            } else: {
                stage.logs
            }
            let counts = try stage.kernelFlowCounts(of: .r2)
            #expect((counts[.web] ?? 0) >= Self.connectionCount + 10 + Self.idleCount)
            #expect((counts[.mail] ?? 0) >= Self.connectionCount + 10)
            #expect(try stage.lab.groupStatus(named: "default", on: .r2).role == .primary, "it goes with web")

            let returned = Clock.seconds
            try stage.keepalived.setPriority(nil, of: .web, on: .r1)
            note("web on r1 after \(try stage.waitUntilServed(.web, by: .r1, within: 30, since: returned)) s")
            try expectNothingLost(stage, "web back on r1")
            #expect(try footprint(.mail, at: .r2, stage) == before)
            // One call per transition and group, none for mail after it became primary.
            for (router, last) in [(LabNode.r1, "backup --group mail 0"), (.r2, "primary --group mail 0")] {
                let calls = try stage.keepalived.calls(on: router)
                note("\(router): \(calls)")
                #expect(calls.last { $0.contains("mail") } == last)
                #expect(calls.count { $0.contains("mail") } <= 2)
                // All but the exit status: 1 if a newer command cut it short.
                func roles(_ group: String) -> [Substring] {
                    calls.filter { $0.contains(group) }.compactMap { $0.split(separator: " ").first }
                }
                #expect(roles("web") == roles("default"))
            }
        }

        /// What the status says of each group's flows: those of the connections and those that were injected.
        private func expectCounts(_ stage: TrafficGroupStage) throws {
            for group in StageGroup.allCases {
                let count = Self.connectionCount + 10 + (group == .web ? Self.idleCount : 0)
                let server = try stage.status(of: group, on: group.preferredRouter)
                let standby = try stage.status(of: group, on: group.preferredRouter.otherRouter)
                #expect(server.role == .primary && standby.role == .backup)
                #expect(count...count + 20 ~= server.caches.internalFlowCount, "\(group): \(server.caches)")
                #expect(count...count + 20 ~= standby.caches.externalFlowCount, "\(group): \(standby.caches)")
                #expect(server.caches.externalFlowCount == 0, "\(group)")
                #expect(server.peers.map(\.role) == [.backup] && standby.peers.map(\.role) == [.primary])
            }
            for router in [LabNode.r1, .r2] {
                let other = try stage.lab.groupStatus(named: "default", on: router)
                #expect(other.caches.internalFlowCount + other.caches.externalFlowCount <= 20, "\(other.caches)")
            }
        }

        @Test(
            "a router dies as a whole: its group lives on beside the other's; back, it waits until it holds its group",
            arguments: TakeoverSize.isLong ? [false, true] : [false]
        )
        func routerDies(isPreloading: Bool) throws {
            let stage = try begin(.script, isPreloading: isPreloading)
            defer { stage.close() }
            let before = try stage.status(of: .mail, on: .r2)

            let died = Clock.seconds
            try stage.keepalived.powerOff(.r1)
            note("web on r2 after \(try stage.waitUntilServed(.web, by: .r2, within: 20, since: died)) s")
            try expectNothingLost(stage, "r1 is dead")
            let counts = try stage.kernelFlowCounts(of: .r2)
            for group in StageGroup.allCases { #expect((counts[group] ?? 0) >= Self.connectionCount + 10) }

            // keepalived first: it must not move the addresses to a router whose daemon has not caught up.
            let returned = Clock.seconds
            try stage.lab.restoreLinks(of: .r1)
            try stage.keepalived.start(on: .r1)
            while Clock.seconds < returned + 4.5 {
                let held = try stage.keepalived.floatingAddresses(of: .web, on: .r1)
                guard held.isEmpty else { throw LabError("r1 took \(held) without its daemon\n\(stage.logs)") }
                Clock.sleep(seconds: 0.2)
            }
            try stage.startDaemon(on: .r1)
            var last = try stage.status(of: .web, on: .r1)
            while try stage.keepalived.floatingAddresses(of: .web, on: .r1).isEmpty {
                last = try stage.status(of: .web, on: .r1)
                guard Clock.seconds < returned + 60 else { throw LabError("r1 does not return\n\(stage.logs)") }
                Clock.sleep(seconds: 0.02)
            }
            #expect(last.ready.isReady, "\(last)")
            #expect(last.caches.externalFlowCount >= Self.connectionCount + 10 + Self.idleCount)
            note("web on r1 after \(try stage.waitUntilServed(.web, by: .r1, within: 20, since: returned)) s")
            try expectNothingLost(stage, "r1 is back")

            // All the while nobody touched mail.
            let after = try stage.status(of: .mail, on: .r2)
            #expect(after.role == .primary && after.takeoverNumber == before.takeoverNumber)
            #expect(after.roleSinceSeconds >= UInt64(Clock.seconds - died))
            #expect(try stage.forwardedPacketCount(of: .mail, by: .r1) == 0)
            #expect(try stage.keepalived.calls(on: .r2).last { $0.contains("mail") } == "primary --group mail 0")
            #expect(try stage.lab.groupStatus(named: "default", on: .r2).role == .unset, "nobody told it anything")
        }

        @Test("a takeover of one group does not wait for another group that steps back and finds no primary yet")
        func noneWaits() throws {
            let lab = try Lab()
            defer { lab.close() }
            try lab.startPair(TrafficGroupStage.settings())
            // What keepalived says when it starts, and then that it was elected for web.
            let backups = try ["default", "mail", "web"].map {
                try lab.start(on: .r1, lab.flowsyncCommand(on: .r1, ["role", "backup", "--group", $0]))
            }
            Clock.sleep(seconds: 0.5)
            let begin = Clock.seconds
            #expect(try lab.flowsync(on: .r1, "role", "primary", "--group", "web").exit == 0)
            let seconds = Clock.seconds - begin
            note("web primary after \(seconds.text(2)) s")
            // One of the others alone may wait for 3 s.
            #expect(seconds < 2)
            for backup in backups { #expect(backup.wait(timeoutSeconds: 20) != nil) }
            let roles = try ["default", "mail", "web"].map { try lab.groupStatus(named: $0, on: .r1).role }
            #expect(roles == [.backup, .backup, .primary])
        }

        @Test(
            "groups are brought in on a running pair, one router after the other: not ready while unlike, roles kept"
        )
        func broughtIn() throws {
            let lab = try Lab()
            defer { lab.close() }
            var plain = DaemonSettings()
            plain.gateInterfaces = ["lan", "wan"]
            try lab.startPair(plain)
            try lab.setRole(.primary, of: .r1)
            try lab.setRole(.backup, of: .r2)
            try lab.inject(300, into: .r1)
            try lab.wait(until: "r2 holds them", within: 10) {
                try lab.status(of: .r2).caches.externalFlowCount == 300
            }
            try lab.terminate(.r2)
            try lab.startDaemon(on: .r2, TrafficGroupStage.settings())
            for router in [LabNode.r1, .r2] {
                try lab.wait(until: "\(router) warns", within: 10) {
                    try lab.status(of: router).warnings.contains { $0.contains("configured differently: [[group]]") }
                }
            }
            note("r2: \(try lab.flowsync(on: .r2, "ready").text)\(try lab.flowsync(on: .r2, "status").text)")
            #expect(try lab.flowsync(on: .r2, "ready").exit == 1)
            #expect(try lab.flowsync(on: .r2, "ready", "--group", "web").exit == 1)

            try lab.terminate(.r1)
            try lab.startDaemon(on: .r1, TrafficGroupStage.settings())
            try lab.waitUntilSynchronised(within: 15)
            note("r1: \(try lab.flowsync(on: .r1, "status").text)")
            note("r2: \(try lab.flowsync(on: .r2, "status").text)")
            for name in ["default", "web", "mail"] {
                #expect(try lab.groupStatus(named: name, on: .r1).role == .primary, "\(name)")
                #expect(try lab.groupStatus(named: name, on: .r2).role == .backup, "\(name)")
            }
            #expect(try lab.groupStatus(named: "web", on: .r2).caches.externalFlowCount == 300)
            #expect(try lab.flowsync(on: .r2, "ready").exit == 0)
        }

        @Test("without a group a command is for all groups; an unknown one is refused with the names that there are")
        func commands() throws {
            let lab = try Lab()
            defer { lab.close() }
            try lab.startPair(TrafficGroupStage.settings())
            let names = ["default", "web", "mail"]
            func roles(_ router: LabNode) throws -> [Role] {
                try names.map { try lab.groupStatus(named: $0, on: router).role }
            }
            try lab.setRole(.primary, of: .r1)
            try lab.setRole(.backup, of: .r2)
            #expect(try roles(.r1) == [.primary, .primary, .primary])
            #expect(try roles(.r2) == [.backup, .backup, .backup])

            // By the client's address: 300 of web, 2 of mail, and 1 of nobody.
            try lab.inject(300, into: .r1)
            for (number, client) in ["10.10.2.77", "10.10.3.77", "10.10.4.77"].enumerated() {
                try lab.check(
                    on: .r1,
                    [
                        "conntrack", "-I", "-p", "tcp", "-s", client, "-d", LabAddress.server, "--sport", "5555",
                        "--dport", "\(80 + number)", "--state", "ESTABLISHED", "-t", "4000", "-u", "SEEN_REPLY,ASSURED",
                    ]
                )
            }
            let expected = ["default": 1, "web": 300, "mail": 2]
            try lab.wait(until: "r2 holds every group's flows", within: 20) {
                try names.allSatisfy {
                    try lab.groupStatus(named: $0, on: .r2).caches.externalFlowCount == expected[$0]
                        && lab.groupStatus(named: $0, on: .r1).caches.internalFlowCount == expected[$0]
                }
            }
            #expect(try lab.status(of: .r2).caches.externalFlowCount == 303)
            try lab.wait(until: "every copy is proved", within: 10) {
                try lab.status(of: .r2).groups?.flatMap(\.peers).allSatisfy { $0.verifiedMilliseconds != nil } == true
            }
            let rehearsal = try lab.flowsync(on: .r2, "rehearse", "--json")
            #expect(rehearsal.exit == 0, "\(rehearsal.summary)")
            #expect(try APICoder.decode(RehearsalSummary.self, from: rehearsal.output).isOwnersState == true)

            #expect(try lab.flowsync(on: .r2, "role", "primary", "--group", "mail").exit == 0)
            #expect(try roles(.r2) == [.backup, .backup, .primary])
            #expect(try lab.flowsync(on: .r1, "role", "backup", "--group", "mail").exit == 0)
            #expect(try roles(.r1) == [.primary, .primary, .backup])
            #expect(try lab.kernelFlows(of: .r2).flows.count == 2)
            #expect(try lab.status(of: .r2).lastTakeover?.report.action == "role primary --group mail")

            // An operator's word for all: also where one group is primary already.
            #expect(try lab.flowsync(on: .r2, "role", "primary").exit == 0)
            #expect(try roles(.r2) == [.primary, .primary, .primary])
            #expect(try lab.kernelFlows(of: .r2).flows.count == 303)
            #expect(try lab.flowsync(on: .r1, "role", "backup").exit == 0)
            #expect(try roles(.r1) == [.backup, .backup, .backup])
            try lab.wait(until: "r1's kernel is empty", within: 20) {
                try lab.kernelFlows(of: .r1).flows.isEmpty
            }

            let kept = try roles(.r2)
            try checkRefusals(lab, names)
            #expect(try roles(.r2) == kept)
            for name in names { #expect(try lab.flowsync(on: .r1, "ready", "--group", name).exit == 0, "\(name)") }
            let history = try lab.flowsync(on: .r2, "status", "--history").text
            #expect(history.contains("role primary --group mail"), "\(history)")
        }

        /// A group that there is not is refused with the names that there are; what cannot be a name is wrong usage.
        ///
        /// Never is it taken for "all".
        private func checkRefusals(_ lab: Lab, _ names: [String]) throws {
            for command in [["role", "backup"], ["ready"]] {
                let unknown = try lab.flowsync(on: .r2, arguments: command + ["--group", "wbe"])
                #expect(unknown.exit == 1, "\(unknown.summary)")
                for name in names { #expect(unknown.errorText.contains(name), "\(unknown.summary)") }
                for name in ["Web", "", "web mail"] {
                    let refused = try lab.flowsync(on: .r2, arguments: command + ["--group", name])
                    #expect(refused.exit == 2, "\(refused.summary)")
                }
            }
        }
    }
}
