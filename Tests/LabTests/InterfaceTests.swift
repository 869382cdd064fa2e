import Control
import Glibc
import Lab
import Testing

extension LabTests {
    /// Sync interfaces that come and go, and datagrams that nobody asked for.
    @Suite("Sync interface")
    struct SyncInterface {
        private func waitForLink(_ lab: Lab, _ router: LabNode, isLive: Bool, within seconds: Double = 5) throws
            -> LinkStatus
        {
            let deadline = Clock.seconds + seconds
            while true {
                let link = try #require(try lab.status(of: router).links.first)
                if link.isLive == isLive { return link }
                try #require(Clock.seconds < deadline, "\(router): \(link)\n\(lab.daemonLogs)")
                Clock.sleep(seconds: 0.05)
            }
        }

        @Test(
            "missing at start, plugged in later, deleted and made again",
            arguments: [
                SyncTransport.multicastIPv4, .multicastIPv6, .unicastIPv6,
            ]
        )
        func comesAndGoes(transport: SyncTransport) throws {
            let lab = try Lab()
            defer { lab.close() }
            try lab.unplug(.r1, from: "sync")
            let settings = DaemonSettings(transport: transport)
            try lab.startDaemon(on: .r1, settings)
            try lab.startDaemon(on: .r2, settings)
            let missing = try waitForLink(lab, .r1, isLive: false)
            #expect(missing.stateText.contains("sync"), "\(missing)")
            #expect(missing.stateText.contains("exist"), "\(missing)")
            let log = try readTextFile("\(lab.directory)/r1.log")
            #expect(log.contains("sync"), "the log does not name the missing interface:\n\(log)")

            for round in 1...2 {
                try lab.plug(.r1, into: "sync")
                Clock.sleep(seconds: 0.3)
                // There, but down and without an address.
                let waiting = try waitForLink(lab, .r1, isLive: false)
                #expect(!waiting.stateText.contains("exist"), "\(waiting)")
                try lab.configureSync(on: .r1)
                _ = try waitForLink(lab, .r1, isLive: true)
                try lab.inject(200, into: .r1, first: round * 1_000)
                try lab.waitUntilSynchronised(within: 10)
                #expect(try lab.waitUntilEqual(within: 5) == round * 200)

                try lab.unplug(.r1, from: "sync")
                _ = try waitForLink(lab, .r1, isLive: false)
            }
        }

        @Test(
            "down and up again: the daemon says so and goes on",
            arguments: [
                SyncTransport.unicastIPv4, .multicastIPv6,
            ]
        )
        func downAndUp(transport: SyncTransport) throws {
            let lab = try Lab()
            defer { lab.close() }
            try lab.startPair(DaemonSettings(transport: transport))
            try lab.check(on: .r1, ["ip", "link", "set", "sync", "down"])
            let link = try waitForLink(lab, .r1, isLive: false)
            #expect(link.stateText.contains("down"), "\(link)")
            try lab.inject(300, into: .r1)
            try lab.check(on: .r1, ["ip", "link", "set", "sync", "up"])
            _ = try waitForLink(lab, .r1, isLive: true)
            try lab.waitUntilSynchronised(within: 10)
            #expect(try lab.waitUntilEqual(within: 5) == 300)
        }

        @Test(
            "foreign and malformed datagrams are counted and change nothing",
            arguments: DaemonSettings.Security.allCases
        )
        func hostileDatagrams(security: DaemonSettings.Security) throws {
            let lab = try Lab()
            defer { lab.close() }
            var settings = DaemonSettings(transport: .unicastIPv4)
            settings.security = security
            try lab.startPair(settings)
            try lab.inject(100, into: .r1)
            try lab.waitUntilEqual(within: 5)
            let before = try lab.statistics(of: .r1)

            // From the peer's own address: what is wrong with it is its content.
            for size in [1, 7, 40, 300, 1_400] {
                try lab.check(
                    on: .r2,
                    ["bash", "-c", "head -c \(size) /dev/urandom > /dev/udp/192.168.100.1/3780"]
                )
            }
            // By another interface, to the sync address.
            try lab.check(on: .client, ["bash", "-c", "for i in 1 2 3; do echo x > /dev/udp/192.168.100.1/3780; done"])
            Clock.sleep(seconds: 0.5)

            let after = try lab.statistics(of: .r1)
            func refused(_ counters: ReplicationStatistics) -> UInt64 {
                security == .sealed ? counters.dropped["not sealed", default: 0] : counters.malformedCount
            }
            #expect(refused(after.replication) == refused(before.replication) + 5, "\(after.replication)")
            let foreign = after.links.first?.dropped.filter { $0.key.contains("foreign") }.values.reduce(0, +) ?? 0
            #expect(foreign >= 3, "\(after.links)")
            #expect(try lab.waitUntilEqual(within: 5) == 100)
            #expect(try lab.status(of: .r2).isSynchronised)
        }
    }
}
