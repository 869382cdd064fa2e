import Control
import Glibc
import Lab
import Testing

extension LabTests {
    /// Kernels that hold what they should not, and two primaries.
    @Suite("Takeover troubles")
    struct TakeoverTroubles {
        /// An entry to plant in a router's kernel.
        private struct Entry {
            var source: String
            var sourcePort: Int
            var destinationPort: Int
            var translatedPort: Int
            var timeoutSeconds: Int
            var isAssured: Bool

            var arguments: [String] {
                [
                    "conntrack", "-I", "-p", "tcp", "-s", source, "-d", LabAddress.server, "--sport", "\(sourcePort)",
                    "--dport", "\(destinationPort)", "-r", LabAddress.server, "-q", LabAddress.floatingWAN,
                    "--reply-port-src", "\(destinationPort)", "--reply-port-dst", "\(translatedPort)", "--state",
                    "ESTABLISHED", "-t", "\(timeoutSeconds)",
                ] + (isAssured ? ["-u", "SEEN_REPLY,ASSURED"] : [])
            }
        }

        /// Ports of connections through SNAT that talk.
        private func talkingPorts(_ lab: Lab, _ count: Int) throws -> [Int] {
            let ports = try lab.kernelFlows(of: .r1).flows.keys.compactMap { identity -> Int? in
                let words = identity.split(separator: " ")
                guard words.first == "tcp", words.contains("src=10.10.0.10"), words.contains("dst=10.20.0.10"),
                    words.contains("dport=\(LabAddress.serverPort)"),
                    let port = words.first(where: { $0.hasPrefix("sport=") })
                else { return nil }
                return Int(port.dropFirst(6))
            }
            guard ports.count >= count else { throw LabError("only \(ports.count) connections talk") }
            return Array(ports.sorted().prefix(count))
        }

        /// What r2's kernel holds before the takeover: two entries that must give way, and two that must stay.
        private func plantedEntries(
            _ ports: [Int],
            _ first: (source: Int, destination: Int),
            _ second: (source: Int, destination: Int)
        ) -> (losers: [Entry], winners: [Entry]) {
            let losers = [
                // The same connection, translated otherwise: what a packet before the commit may have made. No reply
                // has come, so that the gate holds its packets back. Those of an answered entry it lets through, and on
                // a slow machine they come, wrongly translated, before the commit.
                Entry(
                    source: "10.10.0.10",
                    sourcePort: ports[0],
                    destinationPort: LabAddress.serverPort,
                    translatedPort: 9,
                    timeoutSeconds: 60,
                    isAssured: false
                ),
                // Another connection that was given the translated tuple.
                Entry(
                    source: "10.10.0.77",
                    sourcePort: 5_555,
                    destinationPort: LabAddress.serverPort,
                    translatedPort: ports[1],
                    timeoutSeconds: 60,
                    isAssured: false
                ),
            ]
            let winners = [
                // As good as ours, and has talked later.
                Entry(
                    source: "10.10.0.101",
                    sourcePort: first.source,
                    destinationPort: first.destination,
                    translatedPort: 11,
                    timeoutSeconds: 400_000,
                    isAssured: true
                ),
                Entry(
                    source: "10.10.0.78",
                    sourcePort: 5_556,
                    destinationPort: second.destination,
                    translatedPort: second.source,
                    timeoutSeconds: 400_000,
                    isAssured: true
                ),
            ]
            return (losers, winners)
        }

        @Test("entries that clash, by original and by translated tuple: the rule decides, and nothing that talks dies")
        func clashes() throws {
            let stage = try TakeoverStage(gated(), .script)
            defer { stage.close() }
            let lab = stage.lab
            try stage.openConnections(300)
            try stage.replicate(idleCount: 100)
            let ports = try talkingPorts(lab, 2)
            let (first, second) = (FlowInjector.ports(1), FlowInjector.ports(2))
            let (losers, winners) = plantedEntries(ports, first, second)
            for entry in losers + winners { try lab.check(on: .r2, entry.arguments) }

            let result = try stage.failOver("clashes", idleCount: 100)
            expectNothingLost(result)
            let flows = try lab.kernelFlows(of: .r2).flows
            func has(_ entry: Entry) -> Bool {
                flows.contains {
                    $0.key.contains("src=\(entry.source) ") && $0.key.contains("sport=\(entry.sourcePort) ")
                        && $0.value.reply.contains("dport=\(entry.translatedPort)")
                }
            }
            for entry in losers { #expect(!has(entry), "\(entry)") }
            for entry in winners { #expect(has(entry), "\(entry)") }
            let met = try lab.statistics(of: .r2).kernel.clashes
            note("clashes: \(met)")
            #expect(met.values.reduce(0, +) >= 4)
            // Each is told with both flows.
            let log = lab.log(of: .r2)
            for port in [ports[0], ports[1], first.source, second.source] {
                #expect(
                    log.split(separator: "\n").contains { $0.contains("clash") && $0.contains("\(port)") },
                    "\(port)"
                )
            }
        }

        @Test("a rehearsal finds clashes and an unknown zone before a takeover does, and touches nothing")
        func rehearsal() throws {
            let lab = try Lab()
            defer { lab.close() }
            guard case .flowsync(let settings) = gated() else { return }
            try lab.startPair(settings)
            try lab.setRole(.primary, of: .r1)
            try lab.setRole(.backup, of: .r2)
            try lab.inject(1_000, into: .r1)
            try lab.wait(until: "r2 holds all flows", within: 20) {
                try lab.status(of: .r2).caches.externalFlowCount == 1_000
            }
            let clean = try rehearse(lab)
            note(clean.text)
            #expect(clean.findings == [])
            #expect(clean.createdCount == 1_000)
            #expect(clean.isOwnersState == true)

            let ports = FlowInjector.ports(1)
            let planted = Entry(
                source: "10.10.0.78",
                sourcePort: 5_556,
                destinationPort: ports.destination,
                translatedPort: ports.source,
                timeoutSeconds: 400_000,
                isAssured: true
            )
            try lab.check(on: .r2, planted.arguments)
            let zoned = Entry(
                source: "10.10.0.79",
                sourcePort: 5_557,
                destinationPort: 80,
                translatedPort: 5_557,
                timeoutSeconds: 4_000,
                isAssured: true
            )
            try lab.check(on: .r1, zoned.arguments + ["-w", "77"])
            try lab.wait(until: "r2 holds the flow in zone 77", within: 20) {
                try lab.status(of: .r2).caches.externalFlowCount == 1_001
            }
            let before = try lab.kernelFlows(of: .r2)
            let found = try rehearse(lab)
            note(found.text)
            #expect(found.clashes.values.reduce(0, +) == 1)
            #expect(found.clashLines.contains { $0.contains("10.10.0.78") && $0.contains("\(ports.source)") })
            #expect(found.unknownZones == ["77": 1])
            #expect(found.findings.count == 2)
            #expect(before.differences(to: try lab.kernelFlows(of: .r2)) == [])
            #expect(try lab.status(of: .r2).role == .backup)
        }

        private func rehearse(_ lab: Lab) throws -> RehearsalSummary {
            let result = try lab.flowsync(on: .r2, "rehearse", "--json")
            let summary = try APICoder.decode(RehearsalSummary.self, from: result.output)
            #expect(result.exit == (summary.findings.isEmpty ? 0 : 1), "\(result.summary)")
            return summary
        }

        @Test("routers that hear neither VRRP nor each other are both primary; healed, one is, without anybody's help")
        func splitBrain() throws {
            let stage = try TakeoverStage(gated(), .keepalived)
            defer { stage.close() }
            let lab = stage.lab
            guard let keepalived = stage.keepalived else { return }
            try stage.openConnections(500)
            try stage.replicate(idleCount: 2_000)
            try stage.arm()
            try lab.nft(
                on: .r2,
                """
                table inet split {
                    chain from { type filter hook prerouting priority -400; ip protocol vrrp drop; }
                    chain to { type filter hook output priority -400; ip protocol vrrp drop; }
                }
                """
            )
            try lab.cut(.r2)
            try keepalived.waitUntilMaster(.r2, within: 20)
            #expect(try lab.status(of: .r1).role == .primary)
            expectAllAlive(try stage.traffic.alive(within: 20))
            #expect(try stage.resets?.count() == 0)
            // Each makes flows of its own; which router the new connections go through is the switches' decision.
            try stage.openConnections(50)
            try lab.inject(500, into: .r1, first: 10_000)

            let healed = Clock.seconds
            try lab.heal(.r2)
            try lab.nft(on: .r2, "delete table inet split")
            try keepalived.waitUntilBackup(.r2, within: 20)
            try keepalived.waitUntilMaster(.r1, within: 20)
            try lab.wait(until: "both are in sync", within: 30) {
                try lab.status(of: .r1).isSynchronised && lab.status(of: .r2).isSynchronised
            }
            note("healed: in sync after \((Clock.seconds - healed).text(1)) s")
            // What went over r2 meanwhile goes on over r1, but for TCP packets that are there before r1 has r2's flows.
            let reports = try stage.traffic.alive(within: 20)
            for report in reports { note("\(report)") }
            let (alive, total) = (reports.map(\.alive).reduce(0, +), reports.map(\.total).reduce(0, +))
            #expect(alive * 4 >= total * 3, "\(alive) of \(total) are alive")
            #expect(try lab.status(of: .r1).role == .primary)
            #expect(try lab.status(of: .r2).role == .backup)
            #expect(try keepalived.floatingAddresses(on: .r2).isEmpty)
            for router in [LabNode.r1, .r2] {
                #expect(lab.daemons[router]?.process.isRunning == true)
                let status = try lab.status(of: router)
                note(
                    "\(router): \(status.role), takeover \(status.takeoverNumber), \(status.caches) \(status.warnings)"
                )
            }
            let before = try syncByteCount(lab)
            Clock.sleep(seconds: 3)
            let rate = (try syncByteCount(lab) - before) / 3
            note("\(rate) bytes/s on the sync link once it has settled")
            #expect(rate < 100_000)
        }

        private func syncByteCount(_ lab: Lab) throws -> Int {
            let counters = try lab.check(on: .r1, ["ip", "-s", "-j", "link", "show", "dev", "sync"]).text
            return counters.split(separator: "\"bytes\":").dropFirst().reduce(0) { sum, part in
                sum + (Int(part.prefix { $0.isNumber }) ?? 0)
            }
        }
    }
}
