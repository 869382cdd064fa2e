import Control
import Glibc
import Lab
import Testing

extension LabTests {
    /// Takeovers that nobody died of, and the way back.
    @Suite("Takeover transitions")
    struct TakeoverTransitions {
        @Test("a lower priority, an interface down, keepalived stopped, and back each time: nothing lost, no reset")
        func graceful() throws {
            let stage = try TakeoverStage(gated(), .keepalived)
            defer { stage.close() }
            guard let keepalived = stage.keepalived else { return }
            try stage.openConnections(TakeoverSize.connectionCount)
            try stage.replicate(idleCount: TakeoverSize.idleCount)
            for loss in [TakeoverStage.Loss.priority, .interface, .stop] {
                expectNothingLost(try stage.failOver("graceful: \(loss)", by: loss, idleCount: TakeoverSize.idleCount))
                // And back; the connections talk all the while.
                try stage.traffic.mark()
                let begin = Clock.seconds
                switch loss {
                case .priority: try keepalived.setPriority(150, of: .r1)
                case .interface: try stage.lab.check(on: .r1, ["ip", "link", "set", "wan", "up"])
                case .stop, .kill: try keepalived.start(on: .r1)
                }
                note(
                    "\(loss): r1 has returned after \(try keepalived.waitUntilMaster(.r1, within: 30, since: begin)) s"
                )
                try keepalived.waitUntilBackup(.r2, within: 5)
                try stage.lab.waitUntilSynchronised(within: 20)
                expectAllAlive(try stage.traffic.alive(within: 20))
                #expect(try stage.resets?.count() == 0)
            }
        }

        @Test("a rebooted router of higher priority takes over when it holds the flows, not before; nothing lost")
        func reboot() throws {
            let idleCount = TakeoverSize.isLong ? 300_000 : 30_000
            try Lab.withTableLimit(atLeast: idleCount + 100_000) { try reboot(idleCount) }
        }

        private func reboot(_ idleCount: Int) throws {
            let stage = try TakeoverStage(gated(), .keepalived)
            defer { stage.close() }
            guard let keepalived = stage.keepalived else { return }
            try stage.openConnections(TakeoverSize.connectionCount)
            try stage.replicate(idleCount: idleCount)
            expectNothingLost(try stage.failOver("before the reboot: kill", idleCount: idleCount))

            try stage.traffic.mark()
            let returned = Clock.seconds
            try stage.lab.restoreLinks(of: .r1)
            try keepalived.start(on: .r1)
            try stage.startDaemon(on: .r1)
            // What r1 held when it was last seen without addresses.
            var last = try stage.lab.status(of: .r1)
            while try keepalived.floatingAddresses(on: .r1).isEmpty {
                last = try stage.lab.status(of: .r1)
                guard Clock.seconds < returned + 60 else { throw LabError("r1 does not return\n\(stage.logs)") }
                Clock.sleep(seconds: 0.02)
            }
            note(
                """
                r1 takes the addresses \((Clock.seconds - returned).text(1)) s after its start, with \
                \(last.caches.externalFlowCount) flows, ready: \(last.ready.isReady)
                """
            )
            // In the direction that counts: r2's flows are proved here. r1 has none of its own to be proved there.
            #expect(last.ready.isReady)
            #expect(last.peers.allSatisfy { $0.verifiedMilliseconds != nil && $0.differingFlowCount == 0 })
            #expect(last.caches.externalFlowCount >= idleCount + TakeoverSize.connectionCount)
            try keepalived.waitUntilMaster(.r1, within: 20)
            let reports = try stage.traffic.alive(within: 20)
            expectAllAlive(reports)
            note("failback: longest stall \(reports.map(\.longestSeconds).max() ?? 0) s")
            #expect(try stage.resets?.count() == 0)
        }

        @Test("there and back many times under load: all alive, nothing stale in either kernel")
        func backAndForth() throws {
            let rounds = TakeoverSize.isLong ? 20 : 6
            let stage = try TakeoverStage(gated(), .script)
            defer { stage.close() }
            try stage.openConnections(TakeoverSize.isLong ? 2_000 : 500)
            try stage.replicate(idleCount: 0)
            try stage.arm()
            var (active, standby) = (LabNode.r1, LabNode.r2)
            for round in 1...rounds {
                // New flows at the last moment.
                try stage.lab.inject(500, into: active, first: round * 1_000)
                let back = try stage.lab.start(
                    on: active,
                    stage.lab.flowsyncCommand(on: active, ["role", "backup"])
                )
                try stage.lab.moveAddresses(to: standby)
                try stage.setRole(.primary, of: standby)
                #expect(back.wait(timeoutSeconds: 30) == 0)
                (active, standby) = (standby, active)
                Clock.sleep(seconds: 0.5)
            }
            let reports = try stage.traffic.alive(within: 20)
            for report in reports { note("\(report)") }
            expectAllAlive(reports)
            #expect(try stage.resets?.stop() == 0)
            let flowCount = try stage.lab.waitUntilEqual(primary: active, within: 20)
            note("\(rounds) failovers, \(flowCount) flows at the end")
            #expect(flowCount >= 500 * rounds)
            var stale = -1
            try stage.lab.wait(until: "the standby's kernel is empty", within: 20) {
                stale = try stage.lab.kernelFlows(of: standby).flows.count
                return stale == 0
            } else: {
                "\(stale) flows"
            }
        }
    }
}
