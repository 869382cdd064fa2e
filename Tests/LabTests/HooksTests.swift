import Control
import Glibc
import Lab
import Testing

extension LabTests {
    /// What we ship for failover software beside keepalived's notify script, run by that software.
    @Suite("Hooks")
    struct Hooks {
        @Test("ocf-tester takes the resource agent, also with a traffic group", arguments: [nil, "web"])
        func tester(group: String?) throws {
            let lab = try Lab()
            defer { lab.close() }
            let router = try HookedRouter(.r1, lab, group == nil ? DaemonSettings() : TrafficGroupStage.settings())
            let parameters = router.agentParameters(group).flatMap { ["-o", "\($0.key)=\($0.value)"] }
            let result = try lab.run(
                on: .r1,
                ["env"] + router.pacemaker + ["ocf-tester", "-n", "flowsync"] + parameters + [router.agent],
                timeoutSeconds: 120
            )
            #expect(result.exit == 0, "\(result.summary)")
            #expect(result.text.contains("passed all tests"), "\(result.summary)")
            #expect(router.processID == nil, "it leaves no daemon behind")
        }

        @Test("the resource agent tells Pacemaker who runs, who is promoted, and who should be")
        func scores() throws {
            let lab = try Lab()
            defer { lab.close() }
            let (r1, r2) = (try HookedRouter(.r1, lab), try HookedRouter(.r2, lab))
            for router in [r1, r2] {
                #expect(try router.act("monitor") == Self.notRunning)
                #expect(try router.act("stop") == 0)
                #expect(try router.act("start") == 0)
                #expect(try router.act("start") == 0)
            }
            #expect(try r1.act("promote") == 0)
            #expect(try r1.act("monitor") == Self.runningPromoted)
            #expect(r1.score == "1000")
            try lab.wait(until: "r2 is ready", within: 15) { try r2.act("monitor") == 0 && r2.score == "900" }
            #expect(try r1.act("promote") == 0, "promoting a promoted one")
            #expect(try r1.status().takeoverNumber == 1, "… takes nothing over again")

            // A daemon that died: what it was is not what it is started as.
            kill(try #require(r1.processID), SIGKILL)
            try lab.wait(until: "the daemon of r1 is gone", within: 5) { r1.processID == nil }
            for action in ["monitor", "promote", "demote"] {
                #expect(try r1.act(action) == Self.notRunning, "\(action)")
            }
            #expect(try r1.act("stop") == 0)
            #expect(r1.score == nil)
            #expect(try r2.act("promote") == 0)
            #expect(try r1.act("start") == 0)
            #expect(try r1.status().role == .backup)

            #expect(try r2.act("demote") == 0)
            #expect(try r2.status().role == .backup)
            for router in [r1, r2] {
                #expect(try router.act("stop") == 0)
                #expect(router.score == nil)
                #expect(try router.act("monitor") == Self.notRunning)
            }
        }

        @Test("resources of traffic groups share the daemon: each moves its own group, the last one to stop ends it")
        func groups() throws {
            let lab = try Lab()
            defer { lab.close() }
            let router = try HookedRouter(.r1, lab, TrafficGroupStage.settings())
            func roles() throws -> [String: Role] {
                let groups = try #require(try router.status().groups)
                return Dictionary(uniqueKeysWithValues: groups.map { ($0.name, $0.role) })
            }
            let names = ["default", "web", "mail"]
            for name in names {
                #expect(try router.act("monitor", name) == Self.notRunning)
                #expect(try router.act("start", name) == 0)
                #expect(try router.act("monitor", name) == 0)
            }
            #expect(try router.act("promote", "web") == 0)
            #expect(try router.act("monitor", "web") == Self.runningPromoted)
            #expect(router.score("web") == "1000" && router.score("mail") != "1000")
            #expect(try roles() == ["default": .backup, "web": .primary, "mail": .backup])

            // A daemon that died: the first one that is started again starts it, the others' role outlived that.
            kill(try #require(router.processID), SIGKILL)
            for name in names {
                try lab.wait(until: "\(name) is seen to be gone", within: 5) {
                    try router.act("monitor", name) == Self.notRunning
                }
            }
            #expect(try router.act("stop", "mail") == 0)
            #expect(try router.act("start", "mail") == 0)
            #expect(try router.act("monitor", "web") == Self.runningPromoted)

            // Stopped, even without a demotion, a group is not primary here, and the others know nothing of it.
            #expect(try router.act("promote", "mail") == 0)
            #expect(try router.act("stop", "web") == 0)
            #expect(try router.act("monitor", "web") == Self.notRunning)
            #expect(router.score("web") == nil)
            #expect(try roles() == ["default": .backup, "web": .backup, "mail": .primary])
            #expect(try router.act("demote", "mail") == 0)
            for name in ["mail", "default"] {
                #expect(router.processID != nil)
                #expect(try router.act("stop", name) == 0)
            }
            #expect(router.processID == nil)
            #expect(try router.act("stop", "web") == 0)

            #expect(try router.act("start", "wbe") == 1)
            #expect(try readTextFile(router.log).contains("wbe"))
            #expect(try router.act("stop", "wbe") == 0)
            // OCF_ERR_CONFIGURED: such a name can be right nowhere.
            #expect(try router.act("start", "web mail") == 6)
            #expect(router.processID == nil)
        }

        @Test("resources of traffic groups that start and stop at the same time do not disturb each other")
        func groupsAtOnce() throws {
            let lab = try Lab()
            defer { lab.close() }
            let router = try HookedRouter(.r1, lab, TrafficGroupStage.settings())
            for _ in 1...2 {
                #expect(try router.act("start", "mail") == 0)
                let start = try router.begin("start", "web")
                #expect(try router.act("stop", "mail") == 0)
                #expect(start.wait(timeoutSeconds: 30) == 0)
                #expect(try router.act("monitor", "web") == 0)
                #expect(try router.act("monitor", "mail") == Self.notRunning)
                let starts = try ["mail", "default"].map { try router.begin("start", $0) }
                #expect(try router.act("stop", "web") == 0)
                for start in starts { #expect(start.wait(timeoutSeconds: 30) == 0) }
                for name in ["mail", "default"] {
                    #expect(try router.act("monitor", name) == 0)
                    #expect(try router.act("stop", name) == 0)
                }
                #expect(router.processID == nil)
            }
        }

        @Test("a daemon that hangs is said to be broken, and is stopped nevertheless")
        func hangs() throws {
            let lab = try Lab()
            defer { lab.close() }
            let router = try HookedRouter(.r1, lab)
            #expect(try router.act("start") == 0)
            kill(try #require(router.processID), SIGSTOP)
            #expect(try router.act("monitor") == 1)
            #expect(try router.act("stop") == 0)
            #expect(router.processID == nil)
        }

        @Test("what is wrong with this machine alone keeps the agent from this machine alone")
        func refusals() throws {
            let lab = try Lab()
            defer { lab.close() }
            let router = try HookedRouter(.r1, lab)
            try writeTextFile(router.configuration, "[node]\nnam = \"r1\"\n")
            // OCF_ERR_ARGS: not on this machine. OCF_ERR_CONFIGURED would be: nowhere.
            #expect(try router.act("start") == 2)
            #expect(try readTextFile(router.log).contains("flowsyncd.toml:2"))
        }

        @Test("keepalived's fifo and track file: one change of role per transition, none before the return is in sync")
        func fifo() throws {
            let lab = try Lab()
            defer { lab.close() }
            let (r1, r2) = (try HookedRouter(.r1, lab), try HookedRouter(.r2, lab))
            for router in [r2, r1] {
                try router.startDaemon()
                try router.startKeepalived()
            }
            try r1.waitUntil(.primary, within: 20)
            try r2.waitUntil(.backup, within: 5)

            // A router without power, whose /run is empty when it comes back. keepalived is the first to be there.
            try r1.powerOff()
            try r2.waitUntil(.primary, within: 15)
            try r1.powerOn()
            try r1.startKeepalived()
            // Longer than an election takes.
            let returned = Clock.seconds
            while Clock.seconds < returned + 6 {
                #expect(try r1.floatingAddresses().isEmpty, "r1 took the addresses without its daemon\n\(r1.logs)")
                Clock.sleep(seconds: 0.2)
            }
            try r1.startDaemon()
            try r1.waitUntil(.primary, within: 30)
            try r2.waitUntil(.backup, within: 5)

            // keepalived is ended in order; its last word is more than a second of work for the daemon.
            try r1.stopKeepalived()
            try r2.waitUntil(.primary, within: 10)
            try r1.waitUntil(.backup, within: 10)

            try lab.wait(until: "the last call of r1 has ended", within: 15) {
                try r1.calls().last == "backup 0"
            } else: {
                r1.logs
            }
            for router in [r1, r2] {
                note("\(router.router): \(try router.calls())")
                // 3: there was no daemon. The call is made again when there is one.
                let roles = try router.calls().filter { !$0.hasSuffix(" 3") }
                #expect(try roles == router.transitions().map { "\($0.rawValue) 0" }, "\(router.logs)")
            }
            #expect(try r1.calls().count { $0 == "backup 3" } == 1)
        }

        /// OCF_NOT_RUNNING.
        private static let notRunning: Int32 = 7
        /// OCF_RUNNING_PROMOTED.
        private static let runningPromoted: Int32 = 8
    }
}
