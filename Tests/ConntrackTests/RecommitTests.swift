import Flow
import Testing

@testable import Conntrack

/// Commits of flows that the kernel has already, where the writer looks before it writes.
@Suite(.enabled(if: TestNamespace.isAvailable, "needs root and the packages iproute2, nftables, conntrack"))
struct RecommitTests {
    private static let count: UInt32 = 1_000

    private static func flows(_ change: (inout Flow) -> Void = { _ in }) -> [Flow] {
        (0..<count).map { index in
            var flow = Sample.flow(index % 3 == 0 ? IPProtocol.udp : IPProtocol.tcp, .ipv4, .source, index: index)
            change(&flow)
            return flow
        }
    }

    /// What each of several commits by one writer came to, and the table after the last.
    private struct Result: Sendable {
        var outcomes: [WriteOutcome] = []
        var flows: [Flow] = []
        var updateEventCount = 0
    }

    private static func commit(_ batches: [[Flow]], kinds: [WriteJob.Kind]? = nil) throws -> Result {
        try TestNamespace().run {
            var session = try WriteSession.open()
            var events = try EventStream.open(bufferByteCount: 16 << 20)
            var result = Result()
            for (index, batch) in batches.enumerated() {
                let job = KernelWriterTests.job(kinds?[index] ?? .create, batch)
                result.outcomes.append(session.perform(job))
            }
            result.flows = try KernelWriterTests.dump()
            let drained = try events.drain(limitMessages: .max) { event in
                if event.kind == .update { result.updateEventCount += 1 }
            }
            #expect(drained.overrunCount == 0)
            #expect(result.outcomes.allSatisfy { $0.failures.isEmpty })
            return result
        }
    }

    @Test func entriesThatAreUpToDateAreLeftAlone() throws {
        let result = try Self.commit([Self.flows(), Self.flows(), Self.flows { $0.timeoutSeconds = 100 }])
        #expect(result.outcomes.map(\.created) == [1_000, 0, 0])
        #expect(result.outcomes.map(\.updated) == [0, 1_000, 1_000])
        #expect(result.updateEventCount == 0)
        #expect(result.flows.count == 1_000)
        // More time left is the fresher: it is not taken away.
        #expect(result.flows.allSatisfy { $0.timeoutSeconds > 200 })
    }

    struct Change: Sendable, CustomStringConvertible {
        let description: String
        let make: @Sendable (inout Flow) -> Void
        let isMade: @Sendable (Flow) -> Bool
    }

    static let changes = [
        Change(description: "mark") {
            $0.mark = 77
        } isMade: {
            $0.mark == 77
        },
        Change(description: "mark 0") {
            $0.mark = 0
        } isMade: {
            $0.mark == 0
        },
        Change(description: "timeout") {
            $0.timeoutSeconds = 2_000
        } isMade: {
            $0.timeoutSeconds > 1_500
        },
        Change(description: "a status bit") {
            $0.status.insert(.fixedTimeout)
        } isMade: {
            $0.status.contains(.fixedTimeout)
        },
        Change(description: "TCP state") { flow in
            if flow.original.protocolNumber == IPProtocol.tcp { flow.protocolState = TCPState.finWait.rawValue }
        } isMade: {
            $0.original.protocolNumber != IPProtocol.tcp || $0.protocolState == TCPState.finWait.rawValue
        },
        Change(description: "TCP window scale") { flow in
            if flow.original.protocolNumber == IPProtocol.tcp { flow.tcp.windowScaleReply = 3 }
        } isMade: {
            $0.original.protocolNumber != IPProtocol.tcp || $0.tcp.windowScaleReply == 3
        },
        Change(description: "TCP flags") { flow in
            if flow.original.protocolNumber == IPProtocol.tcp { flow.tcp.flagsOriginal |= 0x04 }
        } isMade: {
            $0.original.protocolNumber != IPProtocol.tcp || $0.tcp.flagsOriginal & 0x04 != 0
        },
    ]

    @Test(arguments: changes)
    func whatDiffersIsWritten(_ change: Change) throws {
        let result = try Self.commit([Self.flows(), Self.flows(), Self.flows(change.make)])
        #expect(result.outcomes.map(\.updated) == [0, 1_000, 1_000])
        #expect(result.flows.count == 1_000)
        #expect(result.flows.allSatisfy(change.isMade))
    }

    /// A packet may have taken the liberal flags away: they are what a commit is for.
    @Test func windowsAreMadeLiberalAgain() throws {
        let flow = Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 1)
        let namespace = try TestNamespace()
        let flags = try namespace.run { () -> [UInt8] in
            _ = try KernelWriterTests.perform(.create, [flow])
            // conntrack(8) asks for liberal windows by itself, so take them away by a request of our own.
            let socket = try NetlinkSocket.open(purpose: "test")
            try socket.bind()
            let buffer = SendBuffer(byteCount: 256)
            let byteCount = buffer.write { output in
                let start = output.beginMessage(
                    type: Netlink.messageNew,
                    flags: Netlink.request,
                    sequence: 1,
                    family: Netlink.familyIPv4
                )
                let tuple = output.beginNest(MessageAttribute.originalTuple)
                let addresses = output.beginNest(TupleAttribute.addresses)
                output.put(TupleAttribute.ipv4Source, flow.original.source, .ipv4)
                output.put(TupleAttribute.ipv4Destination, flow.original.destination, .ipv4)
                output.endNest(addresses)
                let key = output.beginNest(TupleAttribute.protocolKey)
                output.put(TupleAttribute.protocolNumber, flow.original.protocolNumber)
                output.put(TupleAttribute.sourcePort, flow.original.key.sourcePort)
                output.put(TupleAttribute.destinationPort, flow.original.key.destinationPort)
                output.endNest(key)
                output.endNest(tuple)
                let info = output.beginNest(MessageAttribute.protocolInfo)
                let tcp = output.beginNest(ProtocolInfoAttribute.tcp)
                output.put(ProtocolInfoAttribute.tcpFlagsOriginal, UInt16(0x0008))
                output.put(ProtocolInfoAttribute.tcpFlagsReply, UInt16(0x0008))
                output.endNest(tcp)
                output.endNest(info)
                _ = output.endMessage(start)
            }
            try socket.send(buffer.bytes(to: byteCount))
            var flags = try KernelWriterTests.dump().map { $0.tcp.flagsOriginal & TCPFlag.beLiberal }
            _ = try KernelWriterTests.perform(.create, [flow])
            flags += try KernelWriterTests.dump().map { $0.tcp.flagsOriginal & TCPFlag.beLiberal }
            return flags
        }
        #expect(flags == [0, TCPFlag.beLiberal])
    }

    /// From a table that has all to one that has none, and back: the order of the questions changes, the outcome not.
    @Test func theWriterNoticesWhatIsThere() throws {
        let known = Self.flows()
        let fresh = known.map { flow in
            var other = flow
            other.original.destination = Sample.address(.ipv4, 2, 9)
            other.reply.source = other.original.destination
            return other
        }
        let result = try Self.commit(
            [known, known, fresh, known + fresh, known, known + fresh],
            kinds: [.create, .create, .create, .create, .delete, .create]
        )
        #expect(result.outcomes.map(\.created) == [1_000, 0, 1_000, 0, 0, 1_000])
        #expect(result.outcomes.map(\.updated) == [0, 1_000, 0, 2_000, 0, 1_000])
        #expect(result.outcomes.map(\.deleted) == [0, 0, 0, 0, 1_000, 0])
        #expect(result.flows.count == 2_000)
    }
}
