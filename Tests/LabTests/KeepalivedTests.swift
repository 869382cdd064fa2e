import Lab
import Testing

extension LabTests {
    /// The example that we ship for keepalived, run by keepalived itself on both routers.
    ///
    /// Between keepalived's raising the addresses and the end of the commit that its notify script asks for, a router
    /// holds addresses but not yet flows: what comes in then meets an unknown connection, and a router without the
    /// lab's rules (invalid packets are dropped) would answer with a reset. Nothing closes that gap yet, and it is not
    /// what is tested here; so the connections say nothing from before a switch until after it.
    @Suite("keepalived")
    struct KeepalivedExample {
        private static let connectionCount = 600

        /// Both routers with daemon and keepalived, r1 elected, 600 silent connections replicated.
        private func begin(_ lab: Lab) throws -> (pair: KeepalivedPair, traffic: Traffic) {
            let pair = try KeepalivedPair(lab)
            try lab.startPair()
            note("r1 elected after \(try pair.startBoth()) s")

            let traffic = try Traffic(in: lab)
            for path in [Traffic.Path.snat, .dnat, .ipv6] { try traffic.open(Self.connectionCount / 3, path) }
            try expectAll(traffic)
            try silence(traffic)
            let replicated = try lab.waitUntilEqual(within: 5)
            #expect(replicated >= Self.connectionCount)
            return (pair, traffic)
        }

        private func silence(_ traffic: Traffic) throws {
            try traffic.setPace(milliseconds: 120_000...180_000)
            // The last echoes are on their way.
            Clock.sleep(seconds: 0.5)
        }

        private func expectAll(_ traffic: Traffic) throws {
            try traffic.setPace(milliseconds: 150...600)
            let reports = try traffic.alive(within: 8)
            note("\(reports)")
            expectAllAlive(reports)
            #expect(reports.reduce(0) { $0 + $1.alive } == Self.connectionCount)
        }

        @Test("600 connections survive the death of the primary, and its return")
        func primaryDiesAndReturns() throws {
            let lab = try Lab()
            defer { lab.close() }
            let (pair, traffic) = try begin(lab)

            let died = Clock.seconds
            try pair.powerOff(.r1)
            note("r2 primary \(try pair.waitUntilMaster(.r2, within: 10, since: died)) s after r1 began to die")
            try expectAll(traffic)
            note(pair.notifyLog(of: .r2))
            try silence(traffic)

            // keepalived first: it must not move the addresses to a router whose daemon has not caught up.
            let returned = Clock.seconds
            try lab.restoreLinks(of: .r1)
            try pair.start(on: .r1)
            while Clock.seconds < returned + 5 {
                let held = try pair.floatingAddresses(on: .r1)
                guard held.isEmpty else { throw LabError("r1 took \(held) without its daemon\n\(pair.logs)") }
                Clock.sleep(seconds: 0.2)
            }
            try lab.startDaemon(on: .r1)
            // Ready again, it is the preferred one.
            note("r1 primary \(try pair.waitUntilMaster(.r1, within: 20, since: returned)) s after its return")
            try pair.waitUntilBackup(.r2, within: 3)
            Clock.sleep(seconds: returned + 15 - Clock.seconds)
            try expectAll(traffic)
            note(pair.notifyLog(of: .r1))
        }

        @Test("600 connections survive the stop of keepalived on the primary")
        func keepalivedStops() throws {
            let lab = try Lab()
            defer { lab.close() }
            let (pair, traffic) = try begin(lab)

            let stopped = Clock.seconds
            #expect(try pair.stop(on: .r1) == 0)
            note("r2 primary \(try pair.waitUntilMaster(.r2, within: 5, since: stopped)) s after the signal to r1")
            try pair.waitUntilBackup(.r1, within: 3)
            try expectAll(traffic)
            for router in [LabNode.r1, .r2] { note(pair.notifyLog(of: router)) }
        }
    }
}
