import Flow
import Foundation
import Testing

@testable import Conntrack

/// Clashes at commit, planted in a real kernel's table, each test in a namespace of its own.
@Suite(.enabled(if: TestNamespace.isAvailable, "needs root and the packages iproute2, nftables, conntrack"))
struct ClashTests {
    /// A record of ours and what the table holds when it comes.
    private struct Result: Sendable {
        var outcome: WriteOutcome
        var flows: [Flow]
        var clash: Clash? { outcome.clashes.count == 1 ? outcome.clashes.first : nil }
    }

    /// Plants the entries, commits the records in one job and reads the table.
    private static func commit(
        _ records: [Flow],
        over entries: [Flow],
        in namespace: TestNamespace
    ) throws -> Result {
        try namespace.run {
            let planted = try KernelWriterTests.perform(.create, entries)
            try #require(planted.created == entries.count && planted.clashCounts.total == 0)
            return Result(
                outcome: try KernelWriterTests.perform(.create, records),
                flows: try KernelWriterTests.dump()
            )
        }
    }

    /// A flow of the same original tuple that got another port at translation.
    private static func retranslated(_ flow: Flow, port: UInt16 = 61_234) -> Flow {
        var other = flow
        other.reply.key = ProtocolKey(sourcePort: flow.reply.key.sourcePort, destinationPort: port)
        return other
    }

    /// A flow of another client that got the same translated tuple.
    private static func sameTranslation(as flow: Flow, index: UInt32 = 2) -> Flow {
        var other = Sample.flow(flow.original.protocolNumber, flow.original.family, .source, index: index)
        other.reply = flow.reply
        other.zone = flow.zone
        return other
    }

    enum Winner: String, CaseIterable, Sendable {
        case ours, entry
    }

    /// How the two flows of a clash differ, and who wins by that.
    struct Difference: Sendable, CustomStringConvertible {
        let description: String
        let winner: Winner
        let change: @Sendable (_ ours: inout Flow, _ entry: inout Flow) -> Void
    }

    static let differences = [
        Difference(description: "ours is assured", winner: .ours) { $1.status = [.seenReply] },
        Difference(description: "the entry is assured", winner: .entry) { ours, _ in ours.status = [.seenReply] },
        Difference(description: "ours talked last", winner: .ours) { $1.timeoutSeconds = 100 },
        Difference(description: "the entry talked last", winner: .entry) { ours, _ in ours.timeoutSeconds = 100 },
        Difference(description: "ours is established", winner: .ours) { ours, entry in
            (ours.status, entry.status) = ([.seenReply], [])
            entry.protocolState = TCPState.synSent.rawValue
        },
        Difference(description: "the entry is established", winner: .entry) { ours, entry in
            (ours.status, entry.status) = ([], [.seenReply])
            ours.protocolState = TCPState.synSent.rawValue
        },
        Difference(description: "a tie", winner: .entry) { _, _ in },
    ]

    @Test(arguments: [AddressFamily.ipv4, .ipv6], differences)
    func sameOriginalIsSettledAsRuled(_ family: AddressFamily, _ difference: Difference) throws {
        var ours = Sample.flow(IPProtocol.tcp, family, .source, index: 1)
        var entry = Self.retranslated(ours)
        difference.change(&ours, &entry)
        let result = try Self.commit([ours], over: [entry], in: TestNamespace())
        try Self.check(result, ours, entry, .sameOriginal, difference.winner)
    }

    @Test(arguments: [AddressFamily.ipv4, .ipv6], differences)
    func sameTranslationIsSettledAsRuled(_ family: AddressFamily, _ difference: Difference) throws {
        var ours = Sample.flow(IPProtocol.tcp, family, .source, index: 1)
        var entry = Self.sameTranslation(as: ours)
        difference.change(&ours, &entry)
        let result = try Self.commit([ours], over: [entry], in: TestNamespace())
        try Self.check(result, ours, entry, .sameTranslation, difference.winner)
    }

    @Test(arguments: [IPProtocol.udp, IPProtocol.sctp, IPProtocol.udplite], Winner.allCases)
    func otherProtocolsClashAsWell(_ number: UInt8, _ winner: Winner) throws {
        var ours = Sample.flow(number, .ipv4, .source, index: 1)
        var entry = Self.sameTranslation(as: ours)
        if winner == .ours { entry.timeoutSeconds = 20 } else { ours.timeoutSeconds = 20 }
        let result = try Self.commit([ours], over: [entry], in: TestNamespace())
        try Self.check(result, ours, entry, .sameTranslation, winner)
    }

    @Test func identifiersOfEchoRequestsClash() throws {
        let ours = Sample.flow(IPProtocol.icmp, .ipv4, .source, index: 1)
        var entry = Sample.flow(IPProtocol.icmp, .ipv4, .source, index: 2)
        entry.reply = ours.reply
        entry.status = []
        let result = try Self.commit([ours], over: [entry], in: TestNamespace())
        try Self.check(result, ours, entry, .sameTranslation, .ours)
    }

    private static func check(
        _ result: Result,
        _ ours: Flow,
        _ entry: Flow,
        _ kind: Clash.Kind,
        _ winner: Winner
    ) throws {
        let (kept, removed) = winner == .ours ? (ours, entry) : (entry, ours)
        #expect(result.flows.map(\.original) == [kept.original])
        #expect(result.flows.map(\.reply) == [kept.reply])
        #expect(result.flows.map(\.zone) == [kept.zone])
        #expect(result.outcome.failures.isEmpty)
        #expect(result.outcome.replaced == (winner == .ours ? 1 : 0))
        #expect(result.outcome.kept == (winner == .ours ? 0 : 1))
        #expect(result.outcome.created == 0)
        #expect(result.outcome.clashCounts[kind, isOursKept: winner == .ours] == 1)
        #expect(result.outcome.clashCounts.total == 1)
        let clash = try #require(result.clash)
        #expect(clash.kind == kind)
        #expect(clash.isOursKept == (winner == .ours))
        #expect(clash.index == 0)
        #expect(clash.kept.original == kept.original)
        #expect(clash.kept.reply == kept.reply)
        #expect(clash.removed.original == removed.original)
        #expect(clash.removed.reply == removed.reply)
    }

    /// The zone's direction decides which of the tuples lie in it.
    @Test(arguments: [Zone.Direction.both, .original, .reply])
    func zonesClashWithinThemselvesOnly(_ direction: Zone.Direction) throws {
        var ours = Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 1)
        ours.zone = Zone(id: 7, direction: direction)
        var original = Self.retranslated(ours)
        original.status = [.seenReply]
        let result = try Self.commit([ours], over: [original], in: TestNamespace())
        try Self.check(result, ours, original, .sameOriginal, .ours)

        var translation = Self.sameTranslation(as: ours)
        translation.status = [.seenReply]
        let second = try Self.commit([ours], over: [translation], in: TestNamespace())
        try Self.check(second, ours, translation, .sameTranslation, .ours)

        // The same tuples in another zone are other flows.
        var elsewhere = original
        elsewhere.zone = Zone(id: 8)
        let third = try Self.commit([ours], over: [elsewhere], in: TestNamespace())
        #expect(third.outcome.created == 1)
        #expect(third.outcome.clashCounts.total == 0)
        #expect(third.flows.count == 2)
    }

    /// With the zone in the original direction only, all replies share zone 0: that is how they clash across zones.
    @Test func repliesClashAcrossZones() throws {
        var ours = Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 1)
        ours.zone = Zone(id: 7, direction: .original)
        var entry = Self.sameTranslation(as: ours)
        entry.zone = Zone(id: 8, direction: .original)
        entry.status = [.seenReply]
        let result = try Self.commit([ours], over: [entry], in: TestNamespace())
        try Self.check(result, ours, entry, .sameTranslation, .ours)
    }

    /// A packet from the server, picked up in mid-connection, makes an entry that is ours turned round.
    @Test(arguments: Winner.allCases)
    func entryOfTheOtherDirectionClashes(_ winner: Winner) throws {
        let ours = Sample.flow(IPProtocol.tcp, .ipv4, .none, index: 1)
        var entry = ours
        (entry.original, entry.reply) = (ours.reply, ours.original)
        if winner == .ours { entry.status = [] }
        let result = try Self.commit([ours], over: [entry], in: TestNamespace())
        try Self.check(result, ours, entry, .sameTranslation, winner)
    }

    @Test func twoEntriesInTheWayBothGive() throws {
        let ours = Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 1)
        var (first, second) = (Self.retranslated(ours), Self.sameTranslation(as: ours))
        first.status = [.seenReply]
        second.status = [.seenReply]
        let result = try Self.commit([ours], over: [first, second], in: TestNamespace())
        #expect(result.flows.map(\.reply) == [ours.reply])
        #expect(result.outcome.replaced == 1)
        #expect(result.outcome.clashCounts[.sameOriginal, isOursKept: true] == 1)
        #expect(result.outcome.clashCounts[.sameTranslation, isOursKept: true] == 1)
        #expect(result.outcome.failures.isEmpty)
    }

    /// Nothing is deleted for a record that cannot be written anyway.
    @Test func loserToOneEntryHarmsNoOther() throws {
        let ours = Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 1)
        var weak = Self.retranslated(ours)
        weak.status = [.seenReply]
        let strong = Self.sameTranslation(as: ours)
        let result = try Self.commit([ours], over: [weak, strong], in: TestNamespace())
        #expect(Set(result.flows.map(\.identity)) == [weak.identity, strong.identity])
        #expect(result.flows.first { $0.identity == weak.identity }?.reply == weak.reply)
        #expect(result.outcome.kept == 1)
        #expect(result.outcome.clashCounts[.sameTranslation, isOursKept: false] == 1)
        #expect(result.outcome.clashCounts.total == 1)
    }

    @Test(arguments: [false, true])
    func recordsOfOneCommitClash(_ isSecondFresher: Bool) throws {
        var first = Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 1)
        var second = Self.sameTranslation(as: first)
        if isSecondFresher { first.timeoutSeconds = 100 } else { second.timeoutSeconds = 100 }
        let result = try Self.commit([first, second], over: [], in: TestNamespace())
        #expect(result.flows.map(\.identity) == [isSecondFresher ? second.identity : first.identity])
        #expect(result.outcome.created == 1)
        #expect(result.outcome.replaced + result.outcome.kept == 1)
        #expect(result.outcome.kept == (isSecondFresher ? 0 : 1))
        let clash = try #require(result.clash)
        #expect(clash.isOursKept == isSecondFresher)
        #expect(clash.kind == .sameTranslation)
        #expect(clash.index == 1)
    }

    /// They compete for what the entry held: only one of them can win, and the entry of the winner stays.
    @Test func recordsThatBothOustAnEntryClashWithEachOther() throws {
        let (first, third) = (
            Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 1), Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 3)
        )
        let second = Self.sameTranslation(as: first)
        // Holds the original tuple of the third and the translated one of the first two.
        var entry = third
        entry.reply = first.reply
        entry.status = [.seenReply]
        let result = try Self.commit([first, second, third], over: [entry], in: TestNamespace())
        #expect(Set(result.flows.map(\.identity)) == [first.identity, third.identity])
        #expect(result.flows.first { $0.identity == third.identity }?.reply == third.reply)
        #expect(result.outcome.kept == 1)
        #expect(result.outcome.failures.isEmpty)
        // Who of the three takes the entry out is the kernel's order of things; it goes once.
        #expect(
            result.outcome.clashes.count { $0.isOursKept && $0.removed.identity == entry.identity } == 1
        )
    }

    /// The second record looks up an entry that the first one replaces before the second comes to delete it.
    @Test func whatTookTheLosersPlaceIsLeftAlone() throws {
        let first = Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 1)
        var inBothWays = Self.retranslated(first)
        let second = {
            var flow = Sample.flow(IPProtocol.tcp, .ipv4, .none, index: 2)
            flow.original = inBothWays.reply
            flow.reply = inBothWays.reply.inverted
            return flow
        }()
        var inTheSecondsWay = Sample.flow(IPProtocol.tcp, .ipv4, .both, index: 3)
        inTheSecondsWay.reply = second.reply
        inBothWays.status = [.seenReply]
        inTheSecondsWay.status = [.seenReply]
        let result = try Self.commit([first, second], over: [inBothWays, inTheSecondsWay], in: TestNamespace())
        #expect(Set(result.flows.map(\.original)) == [first.original, second.original])
        #expect(Set(result.flows.map(\.reply)) == [first.reply, second.reply])
        #expect(result.outcome.replaced == 2)
        #expect(result.outcome.clashCounts.total == 2)
    }

    /// Every flow of a table clashes: all are counted, some listed.
    @Test func manyClashesAreCounted() throws {
        let count = WriteOutcome.clashCountMax + 500
        let records = (0..<count).map { Sample.flow(IPProtocol.udp, .ipv4, .source, index: UInt32($0)) }
        let entries = records.map { flow in
            var entry = flow
            entry.reply.destination = Sample.address(.ipv4, 9, 1 + UInt32(flow.original.source.byte(at: 3)))
            entry.status = []
            return entry
        }
        let result = try Self.commit(records, over: entries, in: TestNamespace())
        #expect(result.outcome.replaced == count)
        #expect(result.outcome.clashCounts[.sameOriginal, isOursKept: true] == count)
        #expect(result.outcome.clashes.count == WriteOutcome.clashCountMax)
        let wanted = Dictionary(uniqueKeysWithValues: records.map { ($0.identity, $0.reply) })
        #expect(result.flows.count == count)
        #expect(result.flows.allSatisfy { wanted[$0.identity] == $0.reply })
    }

    /// Same original, same translation: an update, whichever is fresher.
    @Test func sameFlowIsNoClash() throws {
        let ours = Sample.flow(IPProtocol.tcp, .ipv4, .both, index: 1)
        var entry = ours
        entry.timeoutSeconds = 1_000
        entry.mark = 1
        let result = try Self.commit([ours], over: [entry], in: TestNamespace())
        #expect(result.outcome.updated == 1)
        #expect(result.outcome.clashCounts.total == 0)
        #expect(result.flows.map(\.mark) == [ours.mark])
    }

    @Test func countsAddUp() {
        var counts = ClashCounts()
        for (kind, isOursKept, count) in [
            (Clash.Kind.sameOriginal, true, 1), (.sameOriginal, false, 2), (.sameTranslation, true, 3),
            (.sameTranslation, false, 4),
        ] {
            counts[kind, isOursKept: isOursKept] = count
        }
        var sum = counts
        sum.add(counts)
        #expect(sum.total == 20)
        #expect(sum[.sameOriginal, isOursKept: false] == 4)
        #expect(sum[.sameTranslation, isOursKept: true] == 6)
    }
}
