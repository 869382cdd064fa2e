import Flow
import Foundation
import SystemIO
import Testing

@testable import Conntrack

/// The writer with its thread, and the events that its work causes.
@Suite(.enabled(if: TestNamespace.isAvailable, "needs root and the packages iproute2, nftables, conntrack"))
struct KernelWriterThreadTests {
    /// What ten thousand translated flows went through.
    private struct Report: Sendable {
        var outcomes: [WriteOutcome] = []
        var dumped: [Flow] = []
        var events: [ConntrackEvent.Kind: Int] = [:]
        var foreignEventCount = 0
        var overrunCount = 0
        var dumpNanoseconds: UInt64 = 0
    }

    @Test func tenThousandFlowsGoInAndOut() throws {
        let namespace = try TestNamespace()
        let flows = (0..<10_000).map { (index: UInt32) -> Flow in
            let number = index % 2 == 0 ? IPProtocol.tcp : IPProtocol.udp
            return Sample.flow(number, index % 4 < 2 ? .ipv4 : .ipv6, .source, index: index)
        }
        let report = try namespace.run { () -> Report in
            var report = Report()
            var events = try EventStream.open(bufferByteCount: 32 << 20)
            let wakeup = try Wakeup()
            let writer = try KernelWriter(wakeup: wakeup)
            report.outcomes.append(try Self.perform(.create, flows, writer, wakeup))
            let start = MonotonicClock.nanoseconds()
            report.dumped = try KernelWriterTests.dump()
            report.dumpNanoseconds = MonotonicClock.nanoseconds() - start
            // An entry that is as its record says gets no update, and makes no event.
            let changed = flows.map { flow in
                var changed = flow
                changed.mark += 1
                return changed
            }
            report.outcomes.append(try Self.perform(.create, changed, writer, wakeup))
            for kind in [WriteJob.Kind.delete, .delete] {
                report.outcomes.append(try Self.perform(kind, flows, writer, wakeup))
            }
            let portID = writer.portID
            writer.stop()
            let result = try events.drain(limitMessages: .max) { event in
                report.events[event.kind, default: 0] += 1
                if event.portID != portID { report.foreignEventCount += 1 }
            }
            report.overrunCount = result.overrunCount
            return report
        }
        #expect(report.outcomes.allSatisfy { $0.failures.isEmpty })
        #expect(report.outcomes.map(\.created) == [10_000, 0, 0, 0])
        #expect(report.outcomes.map(\.updated) == [0, 10_000, 0, 0])
        #expect(report.outcomes.map(\.deleted) == [0, 0, 10_000, 0])
        #expect(report.outcomes.map(\.missing) == [0, 0, 0, 10_000])
        #expect(report.outcomes.map(\.id) == [1, 1, 1, 1])

        let wanted = Dictionary(uniqueKeysWithValues: flows.map { ($0.identity, $0.comparable) })
        #expect(report.dumped.count == 10_000)
        #expect(report.dumped.allSatisfy { wanted[$0.identity] == $0.comparable })

        #expect(report.overrunCount == 0)
        #expect(report.foreignEventCount == 0)
        #expect(report.events[.new] == 10_000)
        #expect(report.events[.destroy] == 10_000)
        #expect((report.events[.update] ?? 0) >= 10_000)
    }

    @Test func outcomesComeInOrderAndAFullQueueRefuses() throws {
        let namespace = try TestNamespace()
        let ids = try namespace.run { () -> [UInt64] in
            let wakeup = try Wakeup()
            let writer = try KernelWriter(wakeup: wakeup)
            defer { writer.stop() }
            var acceptedCount: UInt64 = 0
            let flows = (0..<200).map { Sample.flow(IPProtocol.udp, .ipv4, .none, index: UInt32($0)) }
            while writer.submit(KernelWriterTests.job(.create, flows, id: acceptedCount)) {
                acceptedCount += 1
                // The thread takes jobs while we submit: it must fall behind at some point.
                try #require(acceptedCount < 100_000)
            }
            #expect(acceptedCount >= UInt64(KernelWriter.queuedJobCountMax))
            var ids: [UInt64] = []
            while ids.count < Int(acceptedCount) { ids += writer.takeOutcomes().map(\.id) }
            #expect(ids == Array(0..<acceptedCount))
            return ids
        }
        #expect(!ids.isEmpty)
    }

    private static func perform(
        _ kind: WriteJob.Kind,
        _ flows: [Flow],
        _ writer: KernelWriter,
        _ wakeup: Wakeup
    ) throws -> WriteOutcome {
        #expect(writer.submit(KernelWriterTests.job(kind, flows)))
        var waiting = pollfd(fd: wakeup.descriptor, events: Int16(POLLIN), revents: 0)
        try #require(poll(&waiting, 1, 30_000) == 1)
        wakeup.drain()
        return try #require(writer.takeOutcomes().first)
    }
}
