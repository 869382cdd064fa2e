import Control
import Lab
import Testing

extension LabTests {
    /// Real connections, a dead primary, and nobody notices.
    @Suite("Failover")
    struct Failover {
        /// Everything up to the moment when the second router holds addresses and flows.
        ///
        /// - Returns: which connections live after it.
        private func failOver(_ lab: Lab, _ traffic: Traffic, flowCount: Int) throws -> [Traffic.GroupReport] {
            expectAllAlive(try traffic.alive(within: 15))
            let replicated = try lab.waitUntilEqual(within: 5)
            #expect(replicated >= flowCount)
            try lab.kill9(.r1)
            try lab.cutLinks(of: .r1)
            let report = try lab.setRole(.primary, of: .r2)
            try lab.moveAddresses(to: .r2)
            for step in report.steps {
                note("\(step.name): \(step.count), failed \(step.failed), \(step.milliseconds) ms")
                #expect(step.failedCount == 0, "\(step)")
            }
            return try traffic.alive(within: 15)
        }

        @Test("500 connections each through SNAT, DNAT and IPv6 survive kill -9", arguments: SyncTransport.allCases)
        func fiveHundredEach(transport: SyncTransport) throws {
            let lab = try Lab()
            defer { lab.close() }
            try lab.startPair(DaemonSettings(transport: transport))
            try lab.setRole(.primary, of: .r1)
            try lab.setRole(.backup, of: .r2)
            let traffic = try Traffic(in: lab)
            for path in [Traffic.Path.snat, .dnat, .ipv6] { try traffic.open(500, path) }
            let reports = try failOver(lab, traffic, flowCount: 1_500)
            #expect(reports.count == 3)
            expectAllAlive(reports)
        }

        @Test("4,000 connections survive, translated IPv6 among them, without any role having been set before")
        func fourThousand() throws {
            let lab = try Lab()
            defer { lab.close() }
            try lab.startPair()
            let traffic = try Traffic(in: lab)
            try traffic.setPace(milliseconds: 500...3_000)
            for path in Traffic.Path.allCases { try traffic.open(800, path) }
            let reports = try failOver(lab, traffic, flowCount: 4_000)
            #expect(reports.reduce(0) { $0 + $1.alive } == 4_000)
            expectAllAlive(reports)
        }

        @Test("a planned switch to the second router and back keeps every connection")
        func thereAndBack() throws {
            let lab = try Lab()
            defer { lab.close() }
            try lab.startPair()
            try lab.setRole(.primary, of: .r1)
            try lab.setRole(.backup, of: .r2)
            let traffic = try Traffic(in: lab)
            for path in [Traffic.Path.snat, .dnat, .ipv6] { try traffic.open(100, path) }
            try lab.waitUntilEqual(within: 5)

            for next in [LabNode.r2, .r1] {
                try lab.setRole(.primary, of: next)
                try lab.moveAddresses(to: next)
                try lab.setRole(.backup, of: next.otherRouter)
                expectAllAlive(try traffic.alive(within: 10))
                try traffic.open(50, .snat, .udp)
                try lab.waitUntilEqual(primary: next, within: 5)
            }
            #expect(try lab.status(of: .r1).role == .primary)
            #expect(try lab.status(of: .r2).role == .backup)
        }

        @Test("the crashed router comes back as backup and can take over again")
        func crashedRouterReturns() throws {
            let lab = try Lab()
            defer { lab.close() }
            try lab.startPair()
            try lab.setRole(.primary, of: .r1)
            try lab.setRole(.backup, of: .r2)
            let traffic = try Traffic(in: lab)
            try traffic.open(100, .snat)
            expectAllAlive(try failOver(lab, traffic, flowCount: 100))

            // Flows that r1 has never seen, and others that end while it is away.
            try traffic.open(100, .dnat)
            try traffic.close(.snat)
            try lab.restoreLinks(of: .r1)
            try lab.startDaemon(on: .r1)
            try lab.setRole(.backup, of: .r1)
            try lab.waitUntilSynchronised(within: 10)
            try lab.waitUntilEqual(primary: .r2, within: 5)

            try lab.kill9(.r2)
            try lab.cutLinks(of: .r2)
            try lab.setRole(.primary, of: .r1)
            try lab.moveAddresses(to: .r1)
            let reports = try traffic.alive(within: 15)
            #expect(reports.last?.alive == 100, "\(reports)")
        }
    }
}
