import Glibc
import Lab
import Testing

extension LabTests {
    /// Daemons that stop and datagrams that are lost.
    @Suite("Recovery")
    struct Recovery {
        private enum Accident: CaseIterable {
            case kill
            case stop
        }

        @Test("whichever daemon stops, dies or restarts under load: both caches are equal 5 s after its return")
        func restartsUnderLoad() throws {
            var random = SeededRandom(seed: environmentSeed())
            note("seed \(random.seed): set FLOWSYNC_LAB_SEED to repeat this run")
            let lab = try Lab()
            defer { lab.close() }
            try lab.startPair()
            let load = try lab.startChurn(on: .r1, rate: 4_000, seconds: 120, population: 15_000, seed: random.seed)
            for round in 1...8 {
                Clock.sleep(seconds: .random(in: 0.2...1.2, using: &random))
                let victims = [[LabNode.r1], [.r2], [.r1, .r2]][Int.random(in: 0...2, using: &random)]
                let accident = Accident.allCases[Int.random(in: 0...1, using: &random)]
                let absence = Double.random(in: 0...1, using: &random)
                note("round \(round): \(accident) of \(victims), away for \(Int(absence * 1_000)) ms")
                for victim in victims {
                    switch accident {
                    case .kill: try lab.kill9(victim)
                    case .stop: #expect(try lab.terminate(victim) == 0)
                    }
                }
                Clock.sleep(seconds: absence)
                for victim in victims { try lab.startDaemon(on: victim) }
                Clock.sleep(seconds: .random(in: 0...0.5, using: &random))
                // A load that stands still can be compared.
                load.signal(SIGSTOP)
                let start = Clock.seconds
                let count = try lab.waitUntilEqual(within: 5)
                note("round \(round): \(count) flows equal, checked in \(Int((Clock.seconds - start) * 1_000)) ms")
                #expect(count > 0)
                load.signal(SIGCONT)
            }
            #expect(load.isRunning, "the load ended early: \((try? readTextFile("\(lab.directory)/churn.log")) ?? "")")
        }

        @Test(
            "10 % of the sync datagrams are lost: the caches are equal 5 s after the load",
            arguments: [
                SyncTransport.multicastIPv4, .unicastIPv6,
            ]
        )
        func loss(transport: SyncTransport) throws {
            let lab = try Lab()
            defer { lab.close() }
            try lab.loseSyncDatagrams(percent: 10)
            try lab.startPair(DaemonSettings(transport: transport))
            let load = try lab.startChurn(on: .r1, rate: 8_000, seconds: 5, population: 20_000, seed: 7)
            #expect(load.wait(timeoutSeconds: 30) == 0)
            let count = try lab.waitUntilEqual(within: 5)
            let lost = try (lab.lostSyncDatagrams(at: .r1), lab.lostSyncDatagrams(at: .r2))
            note("\(count) flows equal; lost \(lost.0) datagrams at r1, \(lost.1) at r2")
            #expect(lost.0 > 0)
            #expect(lost.1 > 0)
            #expect(count > 1_000)
        }

        @Test("the sync link is cut and comes back under load: equal 5 s later")
        func cutLink() throws {
            let lab = try Lab()
            defer { lab.close() }
            try lab.startPair()
            let load = try lab.startChurn(on: .r1, rate: 3_000, seconds: 4, population: 10_000, seed: 3)
            Clock.sleep(seconds: 1)
            try lab.check(on: .r2, ["ip", "link", "set", "sync", "down"])
            Clock.sleep(seconds: 2)
            try lab.check(on: .r2, ["ip", "link", "set", "sync", "up"])
            #expect(load.wait(timeoutSeconds: 30) == 0)
            #expect(try lab.waitUntilEqual(within: 5) > 100)
        }

        private func environmentSeed() -> UInt64 {
            if let text = getenv("FLOWSYNC_LAB_SEED"), let seed = UInt64(String(cString: text)) { return seed }
            return .random(in: 1...999_999)
        }
    }
}
