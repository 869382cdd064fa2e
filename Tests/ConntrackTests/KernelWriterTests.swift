import CNetfilter
import Flow
import Foundation
import SystemIO
import Testing

@testable import Conntrack

/// The writer and the dump against the real kernel, each test in a namespace of its own.
@Suite(.enabled(if: TestNamespace.isAvailable, "needs root and the packages iproute2, nftables, conntrack"))
struct KernelWriterTests {
    @Test(arguments: Sample.all)
    func createdFlowIsDumpedAsItWas(_ sample: Sample) throws {
        let namespace = try TestNamespace()
        let (outcome, flows) = try namespace.run {
            (try Self.perform(.create, [sample.flow]), try Self.dump())
        }
        #expect(outcome.created == 1)
        #expect(outcome.failures.isEmpty)
        #expect(flows.count == 1)
        let flow = try #require(flows.first)
        #expect(flow.comparable == sample.flow.comparable)
        #expect(flow.status.contains(.sourceNAT) == (flow.reply.destination != flow.original.source))
        #expect(flow.status.contains(.destinationNAT) == (flow.reply.source != flow.original.destination))
    }

    @Test(arguments: [AddressFamily.ipv4, .ipv6], Sample.rareAttributes)
    func rareAttributeIsDumpedAsItWas(_ family: AddressFamily, _ rare: RareAttribute) throws {
        // The kernel keeps labels only where a rule uses them.
        let namespace = try TestNamespace(rules: "add rule inet t c ct label set 1;")
        var wanted = Sample.flow(IPProtocol.tcp, family, .both, index: 3)
        rare.set(&wanted)
        let flow = wanted
        let (outcome, flows) = try namespace.run {
            var master = Flow(original: flow.master)
            master.attributes = [.timeout]
            master.timeoutSeconds = 100
            let all = flow.attributes.contains(.master) ? [master, flow] : [flow]
            return (try Self.perform(.create, all), try Self.dump())
        }
        #expect(outcome.failures.isEmpty)
        let dumped = try #require(flows.first { $0.identity == flow.identity })
        if flow.attributes.contains(.helper), flow.helper.text != "ftp" {
            #expect(outcome.withoutHelper == 1)
            #expect(!dumped.attributes.contains(.helper))
        } else {
            #expect(outcome.withoutHelper == 0)
            #expect(dumped.comparable == flow.comparable)
        }
        #expect(outcome.withoutMaster == 0)
        #expect(dumped.status.contains(.expected) == flow.attributes.contains(.master))
    }

    @Test func greKeysAreTranslated() throws {
        let namespace = try TestNamespace()
        var flow = Sample.flow(IPProtocol.gre, .ipv4, .source, index: 1)
        flow.reply.key = ProtocolKey(sourcePort: 4_711, destinationPort: 815)
        let wanted = flow
        let dumped = try namespace.run { () -> [Flow] in
            _ = try Self.perform(.create, [wanted])
            return try Self.dump()
        }
        #expect(dumped.first?.reply == wanted.reply)
    }

    @Test func flowOutlivesItsMissingMaster() throws {
        let namespace = try TestNamespace()
        var flow = Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 1)
        flow.attributes.insert(.master)
        flow.master.key = ProtocolKey(sourcePort: 40_000, destinationPort: 21)
        let wanted = flow
        let outcome = try namespace.run { try Self.perform(.create, [wanted]) }
        #expect(outcome.created == 1)
        #expect(outcome.withoutMaster == 1)
    }

    /// Its status bits cannot be set then (EBUSY), all else can.
    @Test func expectedEntryIsUpdated() throws {
        let namespace = try TestNamespace()
        var expected = Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 1)
        expected.attributes.insert(.master)
        expected.master.key = ProtocolKey(sourcePort: 40_000, destinationPort: 21)
        var plain = Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 1)
        plain.mark = 99
        let (flow, update) = (expected, plain)
        let (outcome, flows) = try namespace.run {
            var master = Flow(original: flow.master)
            master.attributes = [.timeout]
            master.timeoutSeconds = 100
            #expect(try Self.perform(.create, [master, flow]).created == 2)
            return (try Self.perform(.create, [update]), try Self.dump())
        }
        #expect(outcome.updated == 1)
        #expect(flows.first { $0.identity == update.identity }?.mark == 99)
    }

    @Test func fresherEntryIsKept() throws {
        let namespace = try TestNamespace()
        let flow = Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 1)
        let (outcome, flows) = try namespace.run {
            #expect(try Self.perform(.create, [flow]).created == 1)
            var older = flow
            older.status = []
            older.protocolState = TCPState.synSent.rawValue
            return (try Self.perform(.create, [older]), try Self.dump())
        }
        #expect(outcome.kept == 1)
        #expect(flows.map(\.protocolState) == [TCPState.established.rawValue])
    }

    @Test func refusalIsCountedByErrno() throws {
        let namespace = try TestNamespace()
        var broken = Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 1)
        broken.protocolState = 200
        let (good, bad) = (Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 2), broken)
        let outcome = try namespace.run { try Self.perform(.create, [good, bad, good]) }
        #expect(outcome.created == 1)
        #expect(outcome.updated == 1)
        #expect(outcome.failures.map(\.index) == [1])
        #expect(outcome.failures.map(\.errno) == [ERANGE])
    }

    @Test func missingPrivilegeFailsEveryRecord() throws {
        let namespace = try TestNamespace()
        let flows = (1...100).map { Sample.flow(IPProtocol.udp, .ipv4, .source, index: $0) }
        let (outcome, text) = try namespace.run { () -> (WriteOutcome, String) in
            try dropPrivileges()
            var text = ""
            do throws(KernelTable.Failure) {
                try KernelTable.checkPrivilege()
            } catch {
                text = "\(error)"
            }
            return (try Self.perform(.create, flows), text)
        }
        #expect(outcome.failures.count == 100)
        #expect(outcome.failures.allSatisfy { $0.errno == EPERM })
        #expect(text.contains("CAP_NET_ADMIN"))
    }

    /// The limit is one for all namespaces, the count is each one's own: fill a namespace of ours up to it.
    @Test(.enabled(if: TestNamespace.tableLimit < 300_000, "net.netfilter.nf_conntrack_max is too large to reach"))
    func fullTableIsCounted() throws {
        let namespace = try TestNamespace()
        let limit = UInt32(TestNamespace.tableLimit)
        let outcome = try namespace.run {
            var session = try WriteSession.open()
            for start in stride(from: 0, to: limit, by: 8_192) {
                let outcome = session.perform(Self.manyFlows(start..<min(start + 8_192, limit)))
                #expect(outcome.failures.isEmpty)
            }
            return session.perform(Self.manyFlows(limit..<limit + 100))
        }
        #expect(outcome.created + outcome.failures.count == 100)
        #expect(outcome.failures.count >= 99)
        #expect(outcome.failures.allSatisfy { $0.errno == ENOMEM && $0.stage == .create })
    }

    static func perform(_ kind: WriteJob.Kind, _ flows: [Flow]) throws -> WriteOutcome {
        var session = try WriteSession.open()
        return session.perform(job(kind, flows))
    }

    static func job(_ kind: WriteJob.Kind, _ flows: [Flow], id: UInt64 = 1) -> WriteJob {
        var records: [UInt8] = []
        records.reserveCapacity(flows.count * 64)
        for flow in flows {
            let record = EncodedFlowRecord(flow)
            record.bytes.withUnsafeBytes { records.append(contentsOf: $0) }
        }
        return WriteJob(id: id, kind: kind, records: records, count: flows.count)
    }

    /// Flows that differ in the client's address only, made by patching one record: quick where there are many.
    private static func manyFlows(_ clients: Range<UInt32>) -> WriteJob {
        let template = job(.create, [Sample.flow(IPProtocol.udp, .ipv4, .none, index: 1)]).records
        var records: [UInt8] = []
        records.reserveCapacity(template.count * clients.count)
        for client in clients {
            let start = records.count + FlowRecord.Offset.tuple
            records += template
            withUnsafeBytes(of: (0x0b00_0000 + client).bigEndian) {
                records.replaceSubrange(start..<start + 4, with: $0)
            }
        }
        return WriteJob(id: 1, kind: .create, records: records, count: clients.count)
    }

    static func dump() throws -> [Flow] {
        var flows: [Flow] = []
        var dump = try TableDump.start()
        while try dump.read(limitMessages: 100, { flows.append($0) }) == .more {}
        #expect(dump.defects.total == 0)
        return flows
    }
}

extension Flow {
    /// The fields that a kernel keeps of a record put into its table, as it tells them afterwards.
    var comparable: Fields {
        var flow = self
        flow.status.subtract(.ownedByKernel)
        flow.tcp.flagsOriginal |= 0x08
        flow.tcp.flagsReply |= 0x08
        if original.protocolNumber == IPProtocol.dccp {
            // Removed from the kernel in 6.17, where DCCP is tracked by addresses alone.
            flow.original.key = ProtocolKey(raw: 0)
            flow.reply.key = ProtocolKey(raw: 0)
            flow.attributes.subtract([.dccp, .protocolState])
        }
        // Where labels are in use, a flow without any has 128 cleared ones.
        if flow.labels == Labels() { flow.attributes.remove(.labels) }
        // Seconds may have passed.
        flow.attributes.remove(.timeout)
        return flow.fields
    }
}

/// Takes all capabilities from the calling thread, and from it alone: libc would change the whole process.
func dropPrivileges() throws {
    typealias SystemCall = @convention(c) (Int, Int, Int, Int) -> Int
    let symbol = try #require(dlsym(nil, "syscall"))
    let systemCall = unsafeBitCast(symbol, to: SystemCall.self)
    #if arch(x86_64)
        let setresuid = 117
    #else
        let setresuid = 147
    #endif
    try #require(systemCall(setresuid, 65_534, 65_534, 65_534) == 0)
}
