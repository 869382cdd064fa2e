import Control
import Lab
import Testing

extension LabTests {
    /// A stranger on the sync network.
    @Suite("Hostile datagrams")
    struct Hostile {
        private static let count = isLongRun ? 1_000_000 : 100_000
        private static let rate = 20_000

        /// What a daemon refused so far, by cause.
        private func refused(_ lab: Lab, _ router: LabNode) throws -> [String: UInt64] {
            let statistics = try lab.statistics(of: router)
            var counts = statistics.replication.dropped
            counts["malformed inside"] = statistics.replication.malformedCount
            counts["seen before inside"] = statistics.replication.lateDatagramCount
            for (cause, count) in statistics.links.flatMap(\.dropped) {
                counts["link: " + cause, default: 0] += count
            }
            return counts
        }

        /// Both daemons with 10,000 flows, restarted after the intruder has listened for a while.
        private func begin(_ lab: Lab) throws {
            var settings = DaemonSettings()
            settings.security = .sealed
            try lab.startPair(settings)
            try lab.addIntruder()
            let listening = try lab.startLoad(
                on: .r1,
                LoadPlan(creates: 10_000, rate: 5_000, first: 500_000)
            )
            try lab.capture(400)
            try listening.finish(within: 10)
            // Both at once, so that neither remembers which datagrams of the other it has had.
            for router in [LabNode.r1, .r2] { try lab.kill9(router) }
            try lab.startPair(settings)
            #expect(try lab.waitUntilEqual(within: 5) == 10_000)
        }

        /// The live load while the attack lasts: what arrives at r2, second by second.
        private func arrivals(_ lab: Lab, during attack: ChildProcess) throws -> [UInt64] {
            func received() throws -> UInt64 {
                let counters = try lab.statistics(of: .r2).replication
                return counters.receivedUpsertCount + counters.receivedDeleteCount
            }
            var arrivals: [UInt64] = []
            var last = try received()
            while attack.isRunning {
                Clock.sleep(seconds: 1)
                let now = try received()
                arrivals.append(now - last)
                last = now
            }
            // The attack may have ended at once after the last look.
            return Array(arrivals.dropLast())
        }

        @Test(
            "100,000 (or a million) hostile datagrams: none is taken in, each is counted, the live load goes on"
        )
        func attack() throws {
            let lab = try Lab()
            defer { lab.close() }
            try begin(lab)
            let routers = [LabNode.r1, .r2]
            let before = try routers.map { try refused(lab, $0) }
            let overflows = try routers.map { try lab.overflowCount(of: $0) }
            let memory = try routers.map { try lab.residentByteCount(of: $0) }
            let warnings = try routers.map { try lab.status(of: $0).warnings }
            let peers = try routers.map { try lab.peer($0.otherRouter, of: $0).epoch }

            let plan = LoadPlan.mixed(rate: 2_000, seconds: Double(Self.count / Self.rate) + 3)
            let load = try lab.startLoad(on: .r1, plan)
            let attack = try lab.startHostile(count: Self.count, rate: Self.rate, seed: 1)
            let arrivals = try arrivals(lab, during: attack)
            let line = try attack.readLine(timeoutSeconds: 10)
            let report = try #require(HostileReport(words: line), "\(line)")
            #expect(report.total == Self.count)
            try load.finish(within: 30)
            let equality = try lab.equality(within: 5)
            note(
                "\(report.total) datagrams in \(report.seconds.text(1)) s; live operations that arrived each second: "
                    + "\(arrivals); \(equality.text)"
            )
            #expect(equality.flowCount == 10_000 + plan.remainingCount)
            #expect(arrivals.allSatisfy { $0 > 500 }, "\(arrivals)")

            for (index, router) in routers.enumerated() {
                let lost = try lab.overflowCount(of: router) - overflows[index]
                let growth = try lab.residentByteCount(of: router) - memory[index]
                var causes = try refused(lab, router)
                causes.merge(before[index]) { $0 - $1 }
                causes = causes.filter { $0.value > 0 }
                expectCounted(causes, report, at: router, lost: lost)
                note(
                    "\(router) refused \(causes.values.reduce(0, +)) of \(report.total(at: router)): "
                        + causes.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(
                            separator: ", "
                        )
                        + "; \(lost) found its buffer full; memory grew by \(growth / 1_024) KiB"
                )
                #expect(growth < 64 << 20)
                #expect(lab.daemons[router]?.process.isRunning == true)
                let status = try lab.status(of: router)
                #expect(status.warnings == warnings[index])
                // A copy of what the node itself sent before its restart is no second node of its name.
                #expect(!lab.log(of: router).contains("called \(router) too"))
                #expect(status.peers.map(\.epoch) == [peers[index]], "\(status.peers)")
            }
            #expect(try lab.status(of: .r1).caches.externalFlowCount == 0)
        }

        /// Every datagram that reached the daemon is counted as refused, and each cause has its own counter.
        private func expectCounted(
            _ causes: [String: UInt64],
            _ report: HostileReport,
            at router: LabNode,
            lost: Int
        ) {
            let arrived = report.total(at: router) - lost
            let refused = Int(causes.values.reduce(0, +))
            // The live load may add a few of its own, such as a datagram that came twice.
            #expect(arrived...arrived + arrived / 1_000 ~= refused, "\(router): \(causes) of \(arrived)")
            let share = UInt64(Self.count / HostileKind.allCases.count)
            // Of each kind at most half never arrives: what claims to come from the router itself.
            func expect(_ names: [String], atLeast count: UInt64) {
                let sum = names.reduce(0) { $0 + causes[$1, default: 0] }
                #expect(sum + UInt64(lost) >= count, "\(router): \(names): \(causes)")
            }
            expect(["not sealed"], atLeast: share / 2)
            expect(["malformed envelope"], atLeast: share / 200)
            expect(["unknown key"], atLeast: share / 4)
            // A turned bit may also lie in the magic, in the key's id, or in the counter.
            expect(["failed authentication"], atLeast: share / 2)
            expect(["replayed", "too old"], atLeast: share / 2)
            expect(["malformed inside"], atLeast: share / 4)
            // The first copy of a datagram of an earlier run is genuine to the seal; the protocol has to refuse it.
            expect(["old epoch", "unproven epoch"], atLeast: 50)
        }
    }
}
