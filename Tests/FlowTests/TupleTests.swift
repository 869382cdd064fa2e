import Flow
import Testing

struct TupleTests {
    @Test func keyPartsComeBack() {
        let ports = ProtocolKey(sourcePort: 0x1234, destinationPort: 0xfedc)
        #expect(ports.sourcePort == 0x1234)
        #expect(ports.destinationPort == 0xfedc)
        #expect(ports.raw.littleEndian == 0xdcfe_3412)
        let icmp = ProtocolKey(icmpIdentifier: 0xabcd, type: 8, code: 3)
        #expect(icmp.icmpIdentifier == 0xabcd)
        #expect(icmp.icmpType == 8)
        #expect(icmp.icmpCode == 3)
    }

    @Test(arguments: [
        (IPProtocol.icmp, UInt8(8), UInt8(0)), (IPProtocol.icmp, 13, 14), (IPProtocol.icmp, 15, 16),
        (IPProtocol.icmp, 17, 18), (IPProtocol.icmp, 3, 3), (IPProtocol.icmpv6, 128, 129),
        (IPProtocol.icmpv6, 139, 140), (IPProtocol.icmpv6, 8, 8), (IPProtocol.icmp, 128, 128),
    ])
    func icmpRequestIsAnsweredByItsReply(_ number: UInt8, _ request: UInt8, _ reply: UInt8) {
        let key = ProtocolKey(icmpIdentifier: 77, type: request, code: 1)
        let inverted = key.inverted(protocolNumber: number)
        #expect(inverted == ProtocolKey(icmpIdentifier: 77, type: reply, code: 1))
        #expect(inverted.inverted(protocolNumber: number) == key)
    }

    @Test(arguments: IPProtocol.names.map(\.number) + [0, 2, 50, 89])
    func invertingTwiceIsTheSame(_ number: UInt8) {
        let tuple = Tuple(
            source: Address(ipv4: (10, 0, 0, 1)),
            destination: Address(ipv4: (10, 0, 0, 2)),
            key: IPProtocol.isICMP(number)
                ? ProtocolKey(icmpIdentifier: 9, type: number == IPProtocol.icmp ? 8 : 128, code: 0)
                : ProtocolKey(sourcePort: 1, destinationPort: 2),
            protocolNumber: number,
            family: .ipv4
        )
        #expect(tuple.inverted.source == tuple.destination)
        #expect(tuple.inverted.destination == tuple.source)
        #expect(tuple.inverted.inverted == tuple)
        #expect((tuple.inverted.key == tuple.key) == (!IPProtocol.hasPorts(number) && !IPProtocol.isICMP(number)))
    }

    @Test func zoneZeroHasNoDirection() {
        #expect(Zone(id: 0, direction: .reply) == .standard)
        #expect(Zone(id: 1, direction: .reply) != Zone(id: 1, direction: .original))
    }

    @Test func helperNameIsAtMostFifteenBytes() {
        #expect(Flow.HelperName("fifteen-letters")?.text == "fifteen-letters")
        #expect(Flow.HelperName("sixteen-letters!") == nil)
        #expect(Flow.HelperName("")?.text == "")
    }
}

struct FlowIdentityTests {
    @Test func hashFollowsEveryPartAndTheSeed() {
        var random = SeededGenerator(seed: 11)
        for family in [AddressFamily.ipv4, .ipv6] {
            let identity = Flow.random(family, .zone, &random).identity
            let changes: [(inout FlowIdentity) -> Void] = [
                { $0.tuple.source.high ^= UInt64(1).littleEndian },
                { $0.tuple.destination.high ^= UInt64(1).littleEndian },
                { $0.tuple.key.raw ^= 1 }, { $0.tuple.protocolNumber ^= 1 }, { $0.zone.id ^= 2 },
                { $0.zone.direction = $0.zone.direction == .both ? .reply : .both },
            ]
            for change in changes {
                var other = identity
                change(&other)
                #expect(other.hash(seed: 1) != identity.hash(seed: 1))
            }
            #expect(identity.hash(seed: 1) != identity.hash(seed: 2))
            #expect(identity.hash(seed: 1) == identity.hash(seed: 1))
        }
    }

    /// Neighbouring clients and ports, which real tables are full of, spread over the low and the high bits alike.
    @Test(arguments: [UInt64(0), 1, 0xdead_beef_cafe_f00d])
    func neighboursSpread(_ seed: UInt64) {
        var low = [Int](repeating: 0, count: 1_024)
        var high = [Int](repeating: 0, count: 1_024)
        for index in 0..<65_536 as Range<UInt32> {
            let tuple = Tuple(
                source: Address(ipv4: (10, 0, UInt8(index >> 14), 2)),
                destination: Address(ipv4: (10, 1, 0, 2)),
                key: ProtocolKey(sourcePort: UInt16(index & 0x3fff), destinationPort: 80),
                protocolNumber: IPProtocol.tcp,
                family: .ipv4
            )
            let hash = FlowIdentity(tuple: tuple, zone: .standard).hash(seed: seed)
            low[Int(hash & 1_023)] += 1
            high[Int(hash >> 54)] += 1
        }
        // 64 expected in each; a Poisson bucket beyond 128 has a chance below 10⁻¹¹.
        #expect((low.max() ?? 0) < 128 && (low.min() ?? 0) > 20)
        #expect((high.max() ?? 0) < 128 && (high.min() ?? 0) > 20)
    }
}

struct InstantTests {
    @Test func arithmeticSaturates() {
        let start = Instant(nanoseconds: 5_000_000_000)
        #expect(start.advanced(byMilliseconds: 2) == Instant(nanoseconds: 5_002_000_000))
        #expect(start.advanced(bySeconds: 3).nanoseconds == 8_000_000_000)
        #expect(start.advanced(byMilliseconds: .max) == .distantFuture)
        #expect(Instant.distantFuture.advanced(bySeconds: 1) == .distantFuture)
        #expect(start.milliseconds(since: Instant(nanoseconds: 4_998_999_999)) == 1)
        #expect(start.milliseconds(since: .distantFuture) == 0)
        #expect(start < start.advanced(byMilliseconds: 1))
    }

    @Test(arguments: [(0, 0), (1, 1), (999_999_999, 1), (1_000_000_000, 1), (1_000_000_001, 2)] as [(UInt64, UInt32)])
    func secondsLeftAreRoundedUp(_ nanoseconds: UInt64, _ seconds: UInt32) {
        let now = Instant(nanoseconds: 77)
        #expect(Instant(nanoseconds: 77 + nanoseconds).secondsLeft(at: now) == seconds)
        #expect(now.secondsLeft(at: Instant(nanoseconds: 77 + nanoseconds)) == 0)
    }
}
