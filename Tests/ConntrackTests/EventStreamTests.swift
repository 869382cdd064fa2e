import Flow
import Foundation
import SystemIO
import Testing

@testable import Conntrack

/// Events as the real kernel sends them.
@Suite(.enabled(if: TestNamespace.isAvailable, "needs root and the packages iproute2, nftables, conntrack"))
struct EventStreamTests {
    @Test(arguments: [AddressFamily.ipv4, .ipv6])
    func lifeOfAFlowIsSeen(_ family: AddressFamily) throws {
        let namespace = try TestNamespace()
        let flow = Sample.flow(IPProtocol.tcp, family, .both, index: 1)
        let (events, portID) = try namespace.run { () -> ([ConntrackEvent], UInt32) in
            var stream = try EventStream.open(bufferByteCount: 1 << 20)
            var session = try WriteSession.open()
            var changed = flow
            changed.mark = 42
            _ = session.perform(KernelWriterTests.job(.create, [flow]))
            _ = session.perform(KernelWriterTests.job(.create, [changed]))
            _ = session.perform(KernelWriterTests.job(.delete, [flow]))
            return (try Self.drain(&stream), session.portID)
        }
        #expect(events.first?.kind == .new)
        #expect(events.last?.kind == .destroy)
        #expect(events.dropFirst().dropLast().allSatisfy { $0.kind == .update })
        #expect(events.count >= 3)
        #expect(events.allSatisfy { $0.portID == portID && $0.flow.original == flow.original })
        #expect(events.allSatisfy { $0.flow.reply == flow.reply })
        var merged = try #require(events.first?.flow)
        for event in events.dropFirst().dropLast() { merged.merge(event.flow) }
        #expect(merged.mark == 42)
        #expect(merged.protocolState == TCPState.established.rawValue)
    }

    @Test func packetsMakeEventsOfNobodysPort() throws {
        let namespace = try TestNamespace()
        let name = namespace.name
        let events = try namespace.run { () -> [ConntrackEvent] in
            var stream = try EventStream.open(bufferByteCount: 1 << 20)
            try TestNamespace.execute("ip", "netns", "exec", name, "bash", "-c", "echo > /dev/udp/127.0.0.1/4711")
            return try Self.drain(&stream)
        }
        let new = try #require(events.first { $0.flow.original.protocolNumber == IPProtocol.udp })
        #expect(new.kind == .new)
        #expect(new.portID == 0)
        #expect(new.flow.original.key.destinationPort == 4_711)
        #expect(new.flow.original.source == Address(ipv4: (127, 0, 0, 1)))
        #expect(new.flow.reply == new.flow.original.inverted)
        #expect(new.flow.attributes.contains(.timeout))
    }

    @Test func limitLeavesTheRestForLater() throws {
        let namespace = try TestNamespace()
        let flows = (0..<10).map { Sample.flow(IPProtocol.udp, .ipv4, .none, index: $0) }
        try namespace.run {
            var stream = try EventStream.open(bufferByteCount: 1 << 20)
            _ = try KernelWriterTests.perform(.create, flows)
            let first = try stream.drain(limitMessages: 4) { _ in }
            #expect(first.messageCount == 4)
            #expect(!first.isEmpty)
            let second = try stream.drain(limitMessages: 100) { _ in }
            #expect(second.messageCount == 6)
            #expect(second.isEmpty)
            #expect(first.defects.total + second.defects.total == 0)
        }
    }

    @Test func fullBufferIsCountedAndSurvived() throws {
        let namespace = try TestNamespace()
        let flows = (0..<2_000).map { Sample.flow(IPProtocol.udp, .ipv4, .none, index: $0) }
        try namespace.run {
            var stream = try EventStream.open(bufferByteCount: 65_536)
            #expect(stream.bufferByteCount == 65_536)
            _ = try KernelWriterTests.perform(.create, flows)
            let full = try stream.drain(limitMessages: .max) { _ in }
            #expect(full.overrunCount == 1)
            #expect(full.messageCount < 2_000)
            #expect(full.isEmpty)

            #expect(try stream.growBuffer(to: 16 << 20) == 16 << 20)
            #expect(stream.bufferByteCount == 16 << 20)
            _ = try KernelWriterTests.perform(.delete, flows)
            let grown = try stream.drain(limitMessages: .max) { _ in }
            #expect(grown.overrunCount == 0)
            #expect(grown.messageCount == 2_000)
        }
    }

    @Test func subscribingTakesAPrivilege() throws {
        let namespace = try TestNamespace()
        try namespace.run {
            try dropPrivileges()
            do throws(SystemError) {
                _ = try EventStream.open(bufferByteCount: 65_536)
                Issue.record("an unprivileged process could subscribe")
            } catch {
                #expect(error.errno == EPERM)
                #expect(error.context == "conntrack events")
            }
        }
    }

    /// The modes `KernelTable` warns of and asks for.
    ///
    /// Mode 2 cannot be shown here: a listener in any namespace counts for all, and other tests listen.
    @Test(arguments: [(0, 0), (1, 1)])
    func flowThatBeganUnheard(_ mode: Int, _ expectedCount: Int) throws {
        let namespace = try TestNamespace()
        try namespace.shell("echo \(mode) > /proc/sys/net/netfilter/nf_conntrack_events")
        try namespace.shell("bash -c 'echo > /dev/udp/127.0.0.1/4711'")
        let name = namespace.name
        let events = try namespace.run { () -> [ConntrackEvent] in
            var stream = try EventStream.open(bufferByteCount: 1 << 20)
            try TestNamespace.execute("ip", "netns", "exec", name, "conntrack", "-D", "-p", "udp", "--dport", "4711")
            return try Self.drain(&stream)
        }
        #expect(events.count { $0.flow.original.key.destinationPort == 4_711 } == expectedCount)
    }

    static func drain(_ stream: inout EventStream) throws -> [ConntrackEvent] {
        var events: [ConntrackEvent] = []
        let result = try stream.drain(limitMessages: .max) { events.append(copy $0) }
        #expect(result.messageCount == events.count)
        #expect(result.isEmpty)
        return events
    }
}
