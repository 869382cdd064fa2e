import Control
import Glibc
import Lab
import Testing

extension LabTests {
    /// Keys that change while the links carry load.
    @Suite("Keys")
    struct Keys {
        private func dropped(_ lab: Lab) throws -> [LabNode: [String: UInt64]] {
            var counts: [LabNode: [String: UInt64]] = [:]
            for router in lab.runningRouters {
                counts[router] = try lab.statistics(of: router).replication.dropped
            }
            return counts
        }

        @Test("a key rotation at 20,000 events a second: nothing lost, nothing refused")
        func rotation() throws {
            let lab = try Lab()
            defer { lab.close() }
            var settings = DaemonSettings()
            settings.security = .sealed
            try lab.startPair(settings)
            let new = Lab.makeKey()
            let before = try dropped(lab)
            let plan = LoadPlan.mixed(rate: 20_000, seconds: 4)
            let load = try lab.startLoad(on: .r1, plan)
            // Everybody learns the new key, then everybody seals with it, then everybody forgets the old one.
            for keys in [[lab.key, new], [new, lab.key], [new]] {
                for router in lab.runningRouters {
                    Clock.sleep(seconds: 0.25)
                    try lab.setKeys(keys, of: router)
                    try lab.reload(router)
                }
            }
            let isUnderLoad = load.process.isRunning
            let account = try load.finish(within: 30)
            let equality = try lab.equality(within: 5)
            let after = try dropped(lab)
            note("\(account); \(equality.text); refused: \(after.values.map { $0.values.reduce(0, +) })")
            #expect(isUnderLoad, "the load ended before the rotation")
            #expect(equality.flowCount == plan.remainingCount)
            #expect(after == before)
            let lost = try lab.runningRouters.map {
                try lab.statistics(of: $0).replication.lostDatagramCount
            }
            #expect(lost == [0, 0])
            try lab.waitUntilSynchronised(within: 1)
        }

        @Test(
            "nodes with different keys hear nothing of each other and count it; a common key mends it"
        )
        func differentKeys() throws {
            let lab = try Lab()
            defer { lab.close() }
            try lab.setKeys([Lab.makeKey()], of: .r2)
            var settings = DaemonSettings()
            settings.security = .sealed
            try lab.startDaemon(on: .r1, settings)
            try lab.startDaemon(on: .r2, settings)
            try lab.inject(100, into: .r1)
            try lab.wait(until: "both count datagrams sealed with an unknown key", within: 5) {
                try [LabNode.r1, .r2].allSatisfy {
                    try lab.statistics(of: $0).replication.dropped["unknown key", default: 0] > 3
                }
            }
            #expect(try lab.status(of: .r2).peers.isEmpty)
            #expect(try lab.status(of: .r2).caches.externalFlowCount == 0)
            try lab.setKeys([lab.key], of: .r2)
            try lab.reload(.r2)
            try lab.waitUntilSynchronised(within: 5)
            #expect(try lab.waitUntilEqual(within: 5) == 100)
        }

        @Test("a key file that others can read is refused, with the command that mends it")
        func readableKeyFile() throws {
            let lab = try Lab()
            defer { lab.close() }
            try lab.setKeys([lab.key], of: .r1)
            chmod(lab.keyFilePath(of: .r1), 0o644)
            var settings = DaemonSettings()
            settings.security = .sealed
            let daemon = try lab.launchDaemon(on: .r1, settings)
            #expect(daemon.process.wait(timeoutSeconds: 5) == 1)
            let log = lab.log(of: .r1)
            #expect(log.contains("chmod") && log.contains(lab.keyFilePath(of: .r1)), "\(log)")
            #expect(!log.contains(lab.key))
        }
    }
}
