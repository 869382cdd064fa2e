import Flow
import SystemIO
import Testing

@testable import Conntrack

/// The writer, the dump and the events against the real kernel, each test in a namespace of its own.
@Suite(.enabled(if: TestNamespace.isAvailable, "needs root and the packages iproute2, nftables, conntrack"))
struct KernelWriterTests {
    @Test(arguments: Sample.all)
    func createdFlowIsDumpedAsItWas(_ sample: Sample) throws {
        let namespace = try TestNamespace()
        let (outcome, flows) = try namespace.run {
            let outcome = try Self.perform(.create, [sample.flow])
            return (outcome, try Self.dump())
        }
        print(sample, outcome, flows.first?.status ?? [])
        #expect(outcome.failures.isEmpty)
        #expect(outcome.created == 1)
        let flow = try #require(flows.first)
        #expect(flow.original == sample.flow.original)
        #expect(flow.reply == sample.flow.reply)
    }

    static func perform(_ kind: WriteJob.Kind, _ flows: [Flow]) throws -> WriteOutcome {
        var session = try WriteSession.open()
        return session.perform(job(kind, flows))
    }

    static func job(_ kind: WriteJob.Kind, _ flows: [Flow]) -> WriteJob {
        var records: [UInt8] = []
        for flow in flows {
            let record = EncodedFlowRecord(flow)
            for index in 0..<record.byteCount { records.append(record.bytes.word(at: index, as: UInt8.self)) }
        }
        return WriteJob(id: 1, kind: kind, records: records, count: flows.count)
    }

    static func dump() throws -> [Flow] {
        var flows: [Flow] = []
        var dump = try TableDump.start()
        while try dump.read(limitMessages: 100, { flows.append($0) }) == .more {}
        return flows
    }
}
