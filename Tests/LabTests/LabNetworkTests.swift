import Lab
import Testing

extension LabTests {
    /// Cables, cuts and loads do what they say, before anything is measured with them.
    @Suite("The lab's networks")
    struct Networks {
        /// Answered pings of `count`, sent from one router to another.
        private func answers(_ lab: Lab, _ count: Int, from: LabNode, to: LabNode, over network: SyncNetwork = .sync)
            throws -> (answered: Int, doubled: Int)
        {
            let text = try lab.run(
                on: from,
                ["ping", "-c", "\(count)", "-i", "0.002", "-W", "0.3", LabAddress.sync(to, on: network)]
            ).text
            let answered = text.matches(of: /bytes from .* icmp_seq=(?<number>\d+)/)
            let numbers = Set(answered.map(\.output.number))
            return (numbers.count, answered.count - numbers.count)
        }

        @Test("five routers reach each other over four sync networks")
        func everybodyIsConnected() throws {
            let lab = try Lab(routerCount: 5, linkCount: 4)
            defer { lab.close() }
            for network in SyncNetwork.allCases {
                for other in lab.routers where other != .r3 {
                    #expect(try answers(lab, 1, from: .r3, to: other, over: network).answered == 1)
                }
                try lab.check(on: .r4, ["ping", "-c", "1", "-W", "1", LabAddress.syncIPv6(.r5, on: network)])
            }
            // The table of a router beyond the pair is its own, and tells of its changes.
            try lab.inject(50, into: .r4)
            #expect(try lab.kernelFlows(of: .r4).flows.count == 50)
            #expect(try lab.kernelFlows(of: .r1).flows.isEmpty)
        }

        @Test("a bad cable loses, doubles and holds back its share of frames, and a good one none")
        func badCable() throws {
            let lab = try Lab()
            defer { lab.close() }
            try lab.layBadCable(at: .r2, Impairment())
            #expect(try answers(lab, 200, from: .r1, to: .r2) == (200, 0))
            let before = try lab.cableCounts(at: .r2)
            try lab.layBadCable(at: .r2, Impairment(loss: 30, duplicate: 10, delay: 20, delayMillisecondsMax: 5))
            let bad = try answers(lab, 500, from: .r1, to: .r2)
            let counts = try lab.cableCounts(at: .r2)
            note("of 500 pings \(bad.answered) answered, \(bad.doubled) answers twice; \(counts.text)")
            // 30 % each way: 49 % come back.
            #expect(180...320 ~= bad.answered)
            #expect(bad.doubled > 20)
            let received = counts.received - before.received
            #expect(received / 4...received * 2 / 5 ~= counts.lost)
            #expect(counts.delayed > received / 12)
            #expect(counts.refused == 0)
        }

        @Test("a deaf router hears nothing and is heard, a mute one the other way round, and healing ends it")
        func cuts() throws {
            let lab = try Lab(routerCount: 3)
            defer { lab.close() }
            // Datagrams that need no answer, counted where they arrive.
            func arrived(from: LabNode, to: LabNode) throws -> Bool {
                func count() throws -> String {
                    try lab.check(on: to, ["awk", "/^Udp: [0-9]/ { print $2 + $3 }", "/proc/net/snmp"]).text
                }
                let before = try count()
                try lab.check(on: from, ["bash", "-c", "echo x > /dev/udp/\(LabAddress.sync(to))/9"])
                Clock.sleep(seconds: 0.02)
                return try count() != before
            }
            for router in lab.routers where router != .r3 { #expect(try arrived(from: .r3, to: router)) }
            #expect(try arrived(from: .r1, to: .r3))
            try lab.cut(.r3, .deaf)
            #expect(try arrived(from: .r3, to: .r1))
            #expect(try !arrived(from: .r1, to: .r3))
            try lab.cut(.r3, .mute)
            #expect(try !arrived(from: .r3, to: .r1))
            #expect(try arrived(from: .r1, to: .r3))
            try lab.cut(.r3, .both)
            #expect(try !arrived(from: .r3, to: .r1))
            #expect(try !arrived(from: .r1, to: .r3))
            #expect(try arrived(from: .r1, to: .r2))
            try lab.heal(.r3)
            #expect(try arrived(from: .r1, to: .r3))
            #expect(try arrived(from: .r3, to: .r1))
        }

        @Test("a load of 50,000 creates, 50,000 updates and 20,000 deletes at 40,000 a second does exactly that")
        func exactLoad() throws {
            let lab = try Lab()
            defer { lab.close() }
            let plan = LoadPlan(creates: 50_000, updates: 50_000, deletes: 20_000, rate: 40_000)
            note(try lab.load(plan, on: .r1))
            #expect(try lab.kernelFlows(of: .r1).flows.count == plan.remainingCount)
        }
    }
}
