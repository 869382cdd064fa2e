import Control
import Lab
import Testing

extension LabTests {
    /// Several links, of which one carries the load and is cut.
    @Suite("Redundant links")
    struct Redundancy {
        private struct Pair: CustomTestStringConvertible, Sendable {
            var first: SyncTransport
            var second: SyncTransport
            var testDescription: String { "\(first.rawValue), then \(second.rawValue)" }
        }

        /// The link that carries the load of a router's daemon.
        private func activeLink(_ lab: Lab, of router: LabNode = .r1) throws -> Int? {
            try lab.status(of: router).links.firstIndex(where: \.isActive)
        }

        @Test(
            "the link that carries 20,000 events a second is cut, then again and back 20 times: nothing is lost",
            arguments: [
                Pair(first: .multicastIPv4, second: .unicastIPv4),
                Pair(first: .unicastIPv6, second: .tcpIPv4),
            ]
        )
        private func cuts(pair: Pair) throws {
            let lab = try Lab(linkCount: 2)
            defer { lab.close() }
            try lab.startPair(
                DaemonSettings(links: [
                    LabLink(pair.first, over: .sync), LabLink(pair.second, over: .sync2),
                ])
            )
            try lab.wait(until: "the first link carries the load", within: 5) { try activeLink(lab) == 0 }
            let plan = LoadPlan.mixed(rate: 20_000, seconds: 14)
            let load = try lab.startLoad(on: .r1, plan)
            Clock.sleep(seconds: 0.5)

            let cut = Clock.seconds
            try lab.cut(.r1, off: .sync)
            try lab.wait(until: "the second link carries the load", within: 3) {
                try activeLink(lab) == 1
            }
            let switched = Clock.seconds - cut
            try lab.heal(.r1, on: .sync)
            try lab.wait(until: "the first link carries the load again", within: 5) {
                try activeLink(lab) == 0
            }
            try cutRepeatedly(lab)
            let isUnderLoad = load.process.isRunning
            let account = try load.finish(within: 30)
            let equality = try lab.equality(within: 5)
            let statistics = try (lab.statistics(of: .r1), lab.statistics(of: .r2))
            let shares = statistics.0.links.map { "\($0.sentByteCount)" }.joined(separator: " and ")
            note(
                "\(pair.testDescription): switched after \(switched.text(2)) s; \(account); \(equality.text); "
                    + "sent \(shares) bytes over the links, resent \(statistics.0.replication.resentCount) flows, "
                    + "repairs \(statistics.1.replication.repairCount)"
            )
            #expect(isUnderLoad, "the load ended before the last cut")
            #expect(equality.flowCount == plan.remainingCount)
            #expect(try lab.status(of: .r1).links.allSatisfy(\.isLive))
        }

        /// Cut and back 20 times, in turn at the switch, where nobody sees it, and at the interface; for so long that
        /// some cuts are noticed and some are not.
        private func cutRepeatedly(_ lab: Lab) throws {
            var random = SeededRandom(seed: 20)
            for round in 1...20 {
                let pause = Double.random(in: 0.02...0.25, using: &random)
                if round.isMultiple(of: 2) {
                    try lab.cut(.r1, off: .sync)
                    Clock.sleep(seconds: pause)
                    try lab.heal(.r1, on: .sync)
                } else {
                    try lab.check(on: .r2, ["ip", "link", "set", "sync", "down"])
                    Clock.sleep(seconds: pause)
                    try lab.check(on: .r2, ["ip", "link", "set", "sync", "up"])
                }
                Clock.sleep(seconds: .random(in: 0.02...0.15, using: &random))
            }
        }
    }
}
