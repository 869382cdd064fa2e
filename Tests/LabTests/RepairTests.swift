import Control
import Glibc
import Lab
import Testing

/// Whether the tests that take minutes run at their full length (`FLOWSYNC_LAB_LONG=1`).
let isLongRun = getenv("FLOWSYNC_LAB_LONG").map { String(cString: $0) == "1" } ?? false

extension LabTests {
    /// What the protocol did not see is found by comparing, and only that is sent.
    @Suite("Repair")
    struct Repair {
        private func sentByteCount(_ lab: Lab) throws -> UInt64 {
            try [LabNode.r1, .r2].reduce(0) { sum, router in
                try sum + lab.statistics(of: router).links.reduce(0) { $0 + $1.sentByteCount }
            }
        }

        @Test(
            "a partition in which 5 % of 200,000 flows change is repaired within 5 s with little more than them"
        )
        func partition() throws {
            let lab = try Lab()
            defer { lab.close() }
            try lab.startPair()
            try lab.inject(200_000, into: .r1)
            #expect(try lab.waitUntilEqual(within: 20) == 200_000)

            let cut = Clock.seconds
            try lab.cut(.r2)
            // 6,000 changed, 2,000 gone, 2,000 new.
            try lab.inject(6_000, into: .r1, first: 10_000, generation: 1)
            try lab.inject(2_000, into: .r1, first: 50_000, deletes: 2_000)
            try lab.inject(2_000, into: .r1, first: 300_000)
            let differing = Array(10_000..<16_000) + Array(50_000..<52_000) + Array(300_000..<302_000)
            let differingByteCount = differing.reduce(0) { $0 + FlowInjector.recordByteCount($1) }
            Clock.sleep(seconds: cut + (isLongRun ? 60 : 10) - Clock.seconds)
            #expect(try !lab.status(of: .r1).isSynchronised)

            let before = try sentByteCount(lab)
            try lab.heal(.r2)
            let healed = Clock.seconds
            try lab.wait(until: "both say that they are equal again", within: 5) {
                try lab.status(of: .r1).isSynchronised && lab.status(of: .r2).isSynchronised
            }
            let repaired = Clock.seconds - healed
            let sent = try sentByteCount(lab) - before
            let status = try lab.peer(.r1, of: .r2)
            note(
                "cut for \((healed - cut).text(0)) s; repaired after \(repaired.text(2)) s; \(differing.count) flows "
                    + "of \(differingByteCount) bytes differed, both daemons sent \(sent) bytes, "
                    + "\((Double(sent) / Double(differingByteCount)).text(2)) of it; "
                    + "last repair \(status.lastRepair.map { "\($0)" } ?? "none")"
            )
            #expect(sent <= 2 * differingByteCount + 65_536)
            #expect(try lab.waitUntilEqual(within: 0) == 200_000)
            let repair = try #require(status.lastRepair)
            #expect(repair.flowCount >= 10_000)
            #expect(status.repairCount >= 1)
            #expect(status.differingFlowCount == 0)
        }

        @Test("a forgotten flow and damaged records in both caches are found, counted and healed")
        func damagedCaches() throws {
            let lab = try Lab()
            defer { lab.close() }
            var settings = DaemonSettings()
            settings.hasDebugHooks = true
            try lab.startPair(settings)
            try lab.inject(5_000, into: .r1)
            #expect(try lab.waitUntilEqual(within: 5) == 5_000)
            for (router, harm) in [(LabNode.r2, "forget-external"), (.r2, "flip-external"), (.r1, "flip-internal")] {
                let before = try damageCounters(lab, router)
                let start = Clock.seconds
                try lab.succeed(router, ["debug", harm])
                try lab.wait(until: "\(harm) on \(router) is counted", within: 60) {
                    let now = try damageCounters(lab, router)
                    // Damage is seen by itself, or as a difference to the kernel.
                    return harm == "forget-external"
                        ? now.repaired > before.repaired : now.damaged > before.damaged || now.changed > before.changed
                }
                let found = Clock.seconds - start
                let equality = try lab.equality(within: 60 - found)
                let after = try damageCounters(lab, router)
                note(
                    "\(harm): counted after \(found.text(2)) s, equal after \((found + equality.seconds).text(2)) s; "
                        + "damaged records \(after.damaged - before.damaged), "
                        + "repaired \(after.repaired - before.repaired), "
                        + "changed for the audit \(after.changed - before.changed)"
                )
                #expect(equality.flowCount == 5_000)
            }
        }

        private func damageCounters(_ lab: Lab, _ router: LabNode) throws
            -> (damaged: UInt64, repaired: UInt64, changed: UInt64)
        {
            let all = try lab.statistics(of: router)
            return (
                all.replication.corruptedRecordCount, all.replication.repairedFlowCount,
                all.kernel.auditChangedFlowCount
            )
        }

        @Test("flows that were changed, made and deleted without an event are found by the audit, counted and healed")
        func silentChanges() throws {
            let lab = try Lab()
            defer { lab.close() }
            try lab.startPair()
            try lab.inject(5_000, into: .r1, first: 100_000)
            // A flow that was made while there are no events has none its whole life long.
            try lab.sysctl(on: .r1, ["net.netfilter.nf_conntrack_events=0"])
            try lab.inject(400, into: .r1)
            try lab.sysctl(on: .r1, ["net.netfilter.nf_conntrack_events=1"])
            try lab.succeed(.r1, ["resync", "kernel"])
            #expect(try lab.waitUntilEqual(within: 5) == 5_400)
            let before = try lab.statistics(of: .r1).kernel

            // 10 gone by the hand of the operator and 90 by another, 100 changed, 50 new.
            let start = Clock.seconds
            for number in 0..<10 {
                let ports = FlowInjector.ports(number)
                let options = ["--sport", "\(ports.source)", "--dport", "\(ports.destination)"]
                try lab.check(on: .r1, ["conntrack", "-D", "-p", "tcp"] + options)
            }
            try lab.inject(90, into: .r1, first: 10, deletes: 90)
            try lab.inject(100, into: .r1, first: 200, generation: 1)
            try lab.sysctl(on: .r1, ["net.netfilter.nf_conntrack_events=0"])
            try lab.inject(50, into: .r1, first: 1_000)
            try lab.sysctl(on: .r1, ["net.netfilter.nf_conntrack_events=1"])
            #expect(try !lab.differencesNow(primary: .r1).isEmpty)

            // The audit goes through the kernel's table every 30 s.
            let equality = try lab.equality(within: 60)
            let after = try lab.statistics(of: .r1).kernel
            let appeared = after.auditAppearedFlowCount - before.auditAppearedFlowCount
            let vanished = after.auditVanishedFlowCount - before.auditVanishedFlowCount
            let changed = after.auditChangedFlowCount - before.auditChangedFlowCount
            note(
                "healed \((Clock.seconds - start).text(1)) s after it happened: audit found \(appeared) appeared, "
                    + "\(vanished) vanished, \(changed) changed"
            )
            #expect(equality.flowCount == 5_350)
            #expect(appeared == 50)
            #expect(vanished == 100)
            #expect(changed == 100)
        }
    }
}

extension Lab {
    /// Runs a `flowsync` command that has to succeed.
    func succeed(_ router: LabNode, _ arguments: [String]) throws {
        let result = try flowsync(on: router, arguments: arguments)
        #expect(
            result.exit == 0,
            "flowsync \(arguments.joined(separator: " ")) on \(router): \(result.summary)"
        )
    }
}
