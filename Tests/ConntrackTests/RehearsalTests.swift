import Flow
import Foundation
import SystemIO
import Testing

@testable import Conntrack

/// Rehearsals against a live table, which is that of a namespace of each test's own.
@Suite(.enabled(if: TestNamespace.isAvailable, "needs root and the packages iproute2, nftables, conntrack"))
struct RehearsalTests {
    /// What a rehearsal said, and what it left behind.
    struct Result: Sendable {
        var report: RehearsalReport
        var before: [Flow] = []
        var after: [Flow] = []
        var eventCount = 0
    }

    /// Rehearses the records in jobs of `jobCount`, with the entries in the live table.
    private static func rehearse(
        _ records: [Flow],
        over entries: [Flow] = [],
        in namespace: TestNamespace,
        recordCountPerJob: Int = 100
    ) throws -> Result {
        try namespace.run {
            if !entries.isEmpty {
                let planted = try KernelWriterTests.perform(.create, entries)
                try #require(planted.created == entries.count && planted.clashCounts.total == 0)
            }
            let before = try KernelWriterTests.dump()
            var events = try EventStream.open(bufferByteCount: 4 << 20)
            let wakeup = try Wakeup()
            let rehearsal = try Rehearsal(wakeup: wakeup)
            for start in stride(from: 0, to: records.count, by: recordCountPerJob) {
                let job = KernelWriterTests.job(.create, Array(records[start...].prefix(recordCountPerJob)))
                while !rehearsal.submit(job) { try wait(for: wakeup) }
            }
            rehearsal.finish()
            let report = try awaitReport(of: rehearsal, wakeup)
            rehearsal.stop()
            var result = Result(report: report, before: before, after: try KernelWriterTests.dump())
            let drained = try events.drain(limitMessages: .max) { _ in result.eventCount += 1 }
            #expect(drained.overrunCount == 0)
            return result
        }
    }

    private static func wait(for wakeup: Wakeup) throws {
        var waiting = pollfd(fd: wakeup.descriptor, events: Int16(POLLIN), revents: 0)
        try #require(poll(&waiting, 1, 30_000) == 1)
        wakeup.drain()
    }

    private static func awaitReport(of rehearsal: Rehearsal, _ wakeup: Wakeup) throws -> RehearsalReport {
        while true {
            try wait(for: wakeup)
            if let report = rehearsal.takeReport() { return report }
        }
    }

    private static func digest(_ flows: [Flow]) -> UInt64 {
        flows.reduce(0) { sum, flow in
            let record = EncodedFlowRecord(flow)
            return sum &+ FlowRecordView(record.bytes).digest
        }
    }

    /// Nothing of the live namespace may change: neither its table nor what its listeners hear.
    private static func checkUntouched(_ result: Result) {
        #expect(result.eventCount == 0)
        #expect(result.before.count == result.after.count)
        let before = Dictionary(uniqueKeysWithValues: result.before.map { ($0.identity, $0.comparable) })
        #expect(result.after.allSatisfy { before[$0.identity] == $0.comparable })
    }

    @Test func everyKindOfFlowIsHeldAsItsRecordSays() throws {
        // Each with addresses of its own: this kernel tells no two DCCP flows between the same ones apart.
        let kinds = [AddressFamily.ipv4, .ipv6].flatMap { family in
            IPProtocol.names.flatMap { name, number in
                Translation.allCases.map { (number, family, $0) }
            }
        }
        var records = kinds.enumerated().compactMap { index, kind -> Flow? in
            let isForeign = kind.0 == (kind.1 == .ipv4 ? IPProtocol.icmpv6 : IPProtocol.icmp)
            return isForeign ? nil : Sample.flow(kind.0, kind.1, kind.2, index: UInt32(index + 1) * 60_000)
        }
        // Without a master, which is written first here, an expected flow would differ.
        var master = Sample.flow(IPProtocol.tcp, .ipv4, .none, index: 200)
        master.original.key = ProtocolKey(sourcePort: 40_000, destinationPort: 21)
        master.reply = master.original.inverted
        records.append(master)
        for (index, rare) in Sample.rareAttributes.enumerated() where !rare.description.hasPrefix("helper") {
            var flow = Sample.flow(IPProtocol.tcp, .ipv4, .both, index: 100 + UInt32(index))
            rare.set(&flow)
            if flow.attributes.contains(.master) { flow.master = master.original }
            records.append(flow)
        }
        // What a kernel's own messages carry beside that.
        var busy = Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 300)
        busy.status.formUnion([.sourceNAT, .sourceNATDone, .destinationNATDone])
        busy.tcp.flagsOriginal = 0x37
        busy.tcp.flagsReply = 0x33
        var unscaled = Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 301)
        unscaled.tcp.flagsReply = 0
        var offloaded = Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 302)
        offloaded.attributes.subtract([.protocolState, .tcpFlags, .tcpWindowScale, .timeout, .mark])
        offloaded.status.insert(.offload)
        var bare = Sample.flow(IPProtocol.sctp, .ipv4, .source, index: 303)
        bare.attributes = [.timeout]
        bare.status = []
        // Over before the table is read, were its time not lengthened.
        var ending = Sample.flow(IPProtocol.tcp, .ipv6, .source, index: 304)
        ending.timeoutSeconds = 0
        var lasting = Sample.flow(IPProtocol.udp, .ipv6, .source, index: 305)
        lasting.timeoutSeconds = .max
        records += [busy, unscaled, offloaded, bare, ending, lasting]
        let all = records
        let result = try Self.rehearse(all, in: TestNamespace(), recordCountPerJob: 7)
        let report = result.report
        #expect(report.problem == nil)
        #expect(report.recordCount == all.count)
        #expect(report.createdCount == all.count)
        #expect(report.entryCount == all.count)
        #expect(report.refusals.isEmpty)
        #expect(report.differingCount == 0)
        #expect(report.recordDigest == Self.digest(all))
        #expect(report.digest == report.recordDigest)
        #expect(report.clashCounts.total == 0)
        #expect(report.ownClashCounts.total == 0)
        #expect(report.liveCount == 0)
        #expect(report.commitMilliseconds > 0)
        #expect(report.milliseconds >= report.commitMilliseconds)
        Self.checkUntouched(result)
        #expect(result.after.isEmpty)
    }

    /// Both kinds, each with a winner of each side, and a flow that the live table has already.
    @Test(arguments: [AddressFamily.ipv4, .ipv6])
    func clashesWithTheLiveTableAreForeseen(_ family: AddressFamily) throws {
        let records = (1...5).map { Sample.flow(IPProtocol.tcp, family, .source, index: UInt32($0)) }
        var entries = records
        for index in 0...1 {
            entries[index].reply.key = ProtocolKey(sourcePort: 5_000, destinationPort: UInt16(61_000 + index))
        }
        for index in 2...3 {
            entries[index] = Sample.flow(IPProtocol.tcp, family, .source, index: UInt32(100 + index))
            entries[index].reply = records[index].reply
        }
        for index in [0, 2] { entries[index].status = [.seenReply] }
        for index in [1, 3] { entries[index].timeoutSeconds = 1_000 }
        let result = try Self.rehearse(records, over: entries, in: TestNamespace(), recordCountPerJob: 2)
        let report = result.report
        #expect(report.problem == nil)
        #expect(report.createdCount == 5)
        #expect(report.liveCount == 1)
        #expect(report.wantedRoomCount == 4)
        #expect(report.digest == report.recordDigest)
        for kind in Clash.Kind.allCases {
            #expect(report.clashCounts[kind, isOursKept: true] == 1)
            #expect(report.clashCounts[kind, isOursKept: false] == 1)
        }
        let clashes = report.clashes.sorted { $0.index < $1.index }
        #expect(clashes.map(\.index) == [0, 1, 2, 3])
        #expect(clashes.map(\.isOursKept) == [true, false, true, false])
        #expect(clashes.map(\.kind) == [.sameOriginal, .sameOriginal, .sameTranslation, .sameTranslation])
        for clash in clashes {
            let (ours, entry) = clash.isOursKept ? (clash.kept, clash.removed) : (clash.removed, clash.kept)
            #expect(ours.original == records[clash.index].original)
            #expect(ours.reply == records[clash.index].reply)
            #expect(entry.original == entries[clash.index].original)
            #expect(entry.reply == entries[clash.index].reply)
        }
        Self.checkUntouched(result)
        #expect(result.after.count == 5)
        // The commit settles them as foreseen.
        let namespace = try TestNamespace()
        let planted = entries
        let outcome = try namespace.run {
            _ = try KernelWriterTests.perform(.create, planted)
            return try KernelWriterTests.perform(.create, records)
        }
        #expect(outcome.clashCounts == report.clashCounts)
    }

    @Test func twoEntriesInTheWayAreBothTold() throws {
        let record = Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 1)
        var (original, translation) = (record, Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 2))
        original.reply.key = ProtocolKey(sourcePort: 5_000, destinationPort: 61_000)
        translation.reply = record.reply
        original.status = []
        translation.status = []
        let result = try Self.rehearse([record], over: [original, translation], in: TestNamespace())
        #expect(result.report.clashes.map(\.kind) == [.sameOriginal, .sameTranslation])
        Self.checkUntouched(result)
    }

    @Test func recordsThatClashWithEachOtherAreCounted() throws {
        let first = Sample.flow(IPProtocol.udp, .ipv4, .source, index: 1)
        var second = Sample.flow(IPProtocol.udp, .ipv4, .source, index: 2)
        second.reply = first.reply
        let report = try Self.rehearse([first, second], in: TestNamespace()).report
        #expect(report.ownClashCounts[.sameTranslation, isOursKept: false] == 1)
        #expect(report.clashCounts.total == 0)
        #expect(report.entryCount == 1)
        #expect(report.differingCount == 1)
        #expect(report.digest != report.recordDigest)
    }

    @Test func unknownHelperIsNamed() throws {
        var flows = (1...3).map { Sample.flow(IPProtocol.tcp, .ipv4, .source, index: $0) }
        for index in 0...1 {
            flows[index].attributes.insert(.helper)
            flows[index].status.insert(.helper)
            flows[index].helper = try #require(Flow.HelperName("no-such-helper"))
        }
        let result = try Self.rehearse(flows, in: TestNamespace())
        let report = result.report
        #expect(report.missingHelpers == ["no-such-helper": 2])
        #expect(report.createdCount == 3)
        #expect(report.differingCount == 2)
        #expect(report.digest != report.recordDigest)
        Self.checkUntouched(result)
    }

    @Test func missingMasterAndRefusalsAreCounted() throws {
        var orphan = Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 1)
        orphan.attributes.insert(.master)
        orphan.master.key = ProtocolKey(sourcePort: 40_000, destinationPort: 21)
        var broken = (2...4).map { Sample.flow(IPProtocol.tcp, .ipv4, .source, index: $0) }
        for index in broken.indices { broken[index].protocolState = 200 }
        let report = try Self.rehearse([orphan] + broken, in: TestNamespace(), recordCountPerJob: 2).report
        #expect(report.withoutMaster == 1)
        #expect(report.refusals == [RehearsalReport.Refusal(errno: ERANGE, stage: .create, count: 3)])
        #expect(report.createdCount == 1)
        #expect(report.differingCount == 4)
        #expect(report.problem == nil)
    }

    @Test func zoneThatNobodyUsesIsNamed() throws {
        let records = [5, 6, 7, 7, 8, 9].enumerated().map { index, zone in
            var flow = Sample.flow(IPProtocol.tcp, .ipv4, .source, index: UInt32(index))
            flow.zone = Zone(id: UInt16(zone), direction: zone == 9 ? .original : .both)
            return flow
        }
        var entry = Sample.flow(IPProtocol.udp, .ipv6, .none, index: 1)
        entry.zone = Zone(id: 6)
        let rules = """
            add chain inet t p { type filter hook prerouting priority -300; }; add rule inet t p ct zone set 5; \
            add rule inet t c ct zone 8 accept;
            """
        let result = try Self.rehearse(records, over: [entry], in: TestNamespace(rules: rules))
        #expect(result.report.problem == nil)
        #expect(result.report.unknownZones == [7: 2, 9: 1])
        #expect(!result.report.isAnyZonePossible)
        #expect(result.report.digest == result.report.recordDigest)
        Self.checkUntouched(result)
    }

    @Test(arguments: [
        "add rule inet t p ct zone set iifname map { \"lo\" : 4 };",
        "add rule inet t p ct zone set tcp dport map { 1-99 : 4, 100-200 : 7 };",
        "add rule inet t c ct zone 10-20 accept;",
    ])
    func zonesFromMapsCannotBeTold(_ rule: String) throws {
        var record = Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 1)
        record.zone = Zone(id: 7)
        let chain = "add chain inet t p { type filter hook prerouting priority -300; };"
        let report = try Self.rehearse([record], in: TestNamespace(rules: chain + rule)).report
        #expect(report.isAnyZonePossible)
        #expect(report.unknownZones.isEmpty)
        #expect(report.problem == nil)
    }

    /// The thread and the sockets are all that holds the namespace.
    @Test func namespaceGoesWithTheRehearsal() throws {
        let namespace = try TestNamespace()
        let flow = Sample.flow(IPProtocol.udp, .ipv4, .none, index: 1)
        let (during, after) = try namespace.run { () -> (Set<UInt64>, Set<UInt64>) in
            let before = NamespaceHolders.all()
            let wakeup = try Wakeup()
            let rehearsal = try Rehearsal(wakeup: wakeup)
            #expect(rehearsal.submit(KernelWriterTests.job(.create, [flow])))
            try Self.wait(for: wakeup)
            let during = NamespaceHolders.all().subtracting(before)
            rehearsal.finish()
            _ = try Self.awaitReport(of: rehearsal, wakeup)
            rehearsal.stop()
            return (during, NamespaceHolders.all())
        }
        #expect(!during.isEmpty)
        #expect(during.isDisjoint(with: after))
    }

    @Test func stopEndsItWithoutReport() throws {
        let namespace = try TestNamespace()
        let flows = (0..<200).map { Sample.flow(IPProtocol.udp, .ipv4, .none, index: UInt32($0)) }
        try namespace.run {
            let rehearsal = try Rehearsal(wakeup: try Wakeup())
            let job = KernelWriterTests.job(.create, flows)
            var acceptedCount = 0
            while rehearsal.submit(job) {
                acceptedCount += 1
                // The thread takes jobs while we submit: it must fall behind at some point.
                try #require(acceptedCount < 100_000)
            }
            #expect(acceptedCount >= Rehearsal.queuedJobCountMax)
            rehearsal.stop()
            #expect(rehearsal.takeReport() == nil)
            // Nobody waits for the rest.
            #expect(rehearsal.submit(job))
        }
    }

    @Test func missingPrivilegeIsAProblemWithARemedy() throws {
        let namespace = try TestNamespace()
        let problem = try namespace.run { () -> String? in
            try dropPrivileges()
            let wakeup = try Wakeup()
            let rehearsal = try Rehearsal(wakeup: wakeup)
            let report = try Self.awaitReport(of: rehearsal, wakeup)
            rehearsal.stop()
            return report.problem
        }
        #expect(try #require(problem).contains("CAP_SYS_ADMIN"))
    }
}

/// The network namespaces that the process's threads and sockets are in.
private enum NamespaceHolders {
    static func all() -> Set<UInt64> {
        var inodes: Set<UInt64> = []
        let manager = FileManager.default
        for task in (try? manager.contentsOfDirectory(atPath: "/proc/self/task")) ?? [] {
            var status = stat()
            if stat("/proc/self/task/\(task)/ns/net", &status) == 0 { inodes.insert(UInt64(status.st_ino)) }
        }
        for name in (try? manager.contentsOfDirectory(atPath: "/proc/self/fd")) ?? [] {
            guard let number = Int32(name) else { continue }
            // SIOCGSKNS: a descriptor of the socket's namespace; no socket, no answer.
            let descriptor = ioctl(number, 0x894c)
            guard descriptor >= 0 else { continue }
            var status = stat()
            if fstat(descriptor, &status) == 0 { inodes.insert(UInt64(status.st_ino)) }
            close(descriptor)
        }
        return inodes
    }
}
