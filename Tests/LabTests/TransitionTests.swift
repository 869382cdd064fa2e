import Control
import Glibc
import Lab
import Testing

extension LabTests {
    /// Transitions in the order and at the moment that hurts most.
    @Suite("Transitions")
    struct Transitions {
        @Test("flows whose copy ran out while traffic kept them alive outlast a late takeover")
        func overdueFlows() throws {
            let lab = try Lab()
            defer { lab.close() }
            for router in [LabNode.r1, .r2] {
                try lab.sysctl(
                    on: router,
                    ["net.netfilter.nf_conntrack_udp_timeout=4", "net.netfilter.nf_conntrack_udp_timeout_stream=4"]
                )
            }
            try lab.startPair()
            try lab.setRole(.primary, of: .r1)
            try lab.setRole(.backup, of: .r2)
            let traffic = try Traffic(in: lab)
            try traffic.open(50, .snat, .udp)
            // The kernel refreshes their timeouts without an event: the copies on r2 have long run out.
            Clock.sleep(seconds: 7)
            try lab.kill9(.r1)
            try lab.cutLinks(of: .r1)
            // Longer than r2 needs to count r1 as gone and to look for what has expired.
            Clock.sleep(seconds: 4)
            let report = try lab.setRole(.primary, of: .r2)
            #expect(report.steps.first { $0.name == "commit" }?.count == 50)
            #expect(try lab.kernelFlows(of: .r2).flows.count == 50)
        }

        @Test("a planned switch under load and 10 % loss, the old primary stepping back first, keeps every connection")
        func plannedUnderLoss() throws {
            let lab = try Lab()
            defer { lab.close() }
            try lab.loseSyncDatagrams(percent: 10)
            try lab.startPair()
            try lab.setRole(.primary, of: .r1)
            try lab.setRole(.backup, of: .r2)
            let traffic = try Traffic(in: lab)
            for path in [Traffic.Path.snat, .dnat, .ipv6] { try traffic.open(100, path) }
            let load = try lab.startChurn(on: .r1, rate: 3_000, seconds: 6, population: 10_000, seed: 5)
            Clock.sleep(seconds: 2)
            // New connections at the last moment: their flows are on their way when the role is given up.
            try traffic.open(100, .snatIPv6)
            let back = try lab.start(on: .r1, lab.flowsyncCommand(on: .r1, ["role", "backup"]))
            let report = try lab.setRole(.primary, of: .r2)
            try lab.moveAddresses(to: .r2)
            for step in report.steps { #expect(step.failedCount == 0, "\(step)") }
            #expect(back.wait(timeoutSeconds: 30) == 0)
            expectAllAlive(try traffic.alive(within: 15))
            #expect(load.wait(timeoutSeconds: 30) == 0)
        }

        @Test("there and back within a second, three times: nothing lost, nothing stale")
        func double() throws {
            let lab = try Lab()
            defer { lab.close() }
            try lab.startPair()
            try lab.setRole(.primary, of: .r1)
            try lab.setRole(.backup, of: .r2)
            let traffic = try Traffic(in: lab)
            for path in [Traffic.Path.snat, .dnat, .ipv6] { try traffic.open(150, path) }
            try lab.waitUntilEqual(within: 5)
            for _ in 1...3 {
                for next in [LabNode.r2, .r1] {
                    let back = try lab.start(
                        on: next.otherRouter,
                        lab.flowsyncCommand(on: next.otherRouter, ["role", "backup"])
                    )
                    try lab.setRole(.primary, of: next)
                    try lab.moveAddresses(to: next)
                    // Not waited for before the next transition begins: a purge may be under way.
                    _ = back
                    Clock.sleep(seconds: 0.2)
                }
            }
            expectAllAlive(try traffic.alive(within: 15))
            try lab.waitUntilEqual(within: 10)
            let deadline = Clock.seconds + 10
            var stale = try lab.kernelFlows(of: .r2).flows.count
            while stale > 0, Clock.seconds < deadline {
                Clock.sleep(seconds: 0.2)
                stale = try lab.kernelFlows(of: .r2).flows.count
            }
            #expect(stale == 0, "\(stale) flows of old roles are still in r2's kernel")
        }
    }
}
