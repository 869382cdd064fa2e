import Testing

@testable import Flow

struct FlowRecordTests {
    /// Every combination of the eleven sections, which lie behind each other in the order of their bits.
    @Test(arguments: [AddressFamily.ipv4, .ipv6])
    func everyCombinationOfSectionsComesBack(_ family: AddressFamily) throws {
        var random = SeededGenerator(seed: UInt64(family.rawValue))
        for bits in 0...FlowRecord.Section.known.rawValue {
            let sections = FlowRecord.Section(rawValue: bits)
            let wanted = Flow.random(family, sections, &random)
            let bytes = record(of: wanted)
            let view = FlowRecordView(bytes.span.bytes)
            let difference = view.flow.difference(from: wanted)
            try #require(difference == nil, "sections \(bits)")
            let isSame =
                view.sections == sections && view.byteCount == bytes.count && view.identity == wanted.identity
                && view.isOf(wanted.identity) && view.family == family && view.replyTuple == wanted.reply
                && view.protocolNumber == wanted.original.protocolNumber && view.zone == wanted.zone
            try #require(isSame, "sections \(bits)")
            try #require(try FlowRecord.validate(bytes.span.bytes) == bytes.count)
            try #require(bytes.count % 4 == 0 && bytes.count <= FlowRecord.encodedByteCountMax)
        }
    }

    @Test func longestAndShortestRecordsAreThoseDocumented() {
        var random = SeededGenerator(seed: 1)
        #expect(record(of: .random(.ipv6, .known, &random)).count == FlowRecord.encodedByteCountMax)
        #expect(record(of: .random(.ipv4, [], &random)).count == FlowRecord.byteCountMin)
    }

    @Test(arguments: 0..<64 as Range<UInt16>)
    func everyCombinationOfFixedAttributesComesBack(_ bits: UInt16) {
        var random = SeededGenerator(seed: UInt64(bits))
        let wanted = Flow.random(.ipv4, .zone, fixed: Flow.Attributes(rawValue: bits), &random)
        let difference = flow(of: record(of: wanted)).difference(from: wanted)
        #expect(difference == nil)
    }

    /// The layout is what peers of other versions and byte orders read.
    @Test func layoutIsThatOfTheTable() {
        var flow = Flow(
            original: Tuple(
                source: Address(ipv4: (10, 0, 0, 2)),
                destination: Address(ipv4: (192, 0, 2, 80)),
                key: ProtocolKey(sourcePort: 0x1234, destinationPort: 80),
                protocolNumber: IPProtocol.tcp,
                family: .ipv4
            )
        )
        flow.reply.destination = Address(ipv4: (198, 51, 100, 1))
        flow.reply.key = ProtocolKey(sourcePort: 80, destinationPort: 0x5678)
        flow.attributes = [.status, .timeout, .protocolState, .tcpFlags, .tcpWindowScale]
        flow.status = [.seenReply, .assured, .confirmed, .sourceNAT]
        flow.timeoutSeconds = 0x0102_0304
        flow.protocolState = TCPState.established.rawValue
        flow.tcp.flagsOriginal = 0x23
        flow.tcp.flagsReply = 0x33
        flow.tcp.windowScaleOriginal = 7
        flow.tcp.windowScaleReply = 10
        #expect(
            record(of: flow) == [
                10, 0x10, 0x06, 0x00, 0x1e, 0x00, 6, 3, 0x04, 0x03, 0x02, 0x01, 0, 0, 0, 0, 0x23, 0x33, 0xa7, 0x3b,
                10, 0, 0, 2, 192, 0, 2, 80, 0x12, 0x34, 0, 80, 198, 51, 100, 1, 0, 80, 0x56, 0x78,
            ]
        )
    }

    /// An update in place says the same as unpacking, merging and packing again.
    @Test(arguments: 0..<500 as Range<UInt64>)
    func patchEqualsMerge(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let sections = FlowRecord.Section(rawValue: random.word() & FlowRecord.Section.known.rawValue)
        let known = Flow.Attributes(rawValue: random.word() & FlowRecord.fixedAttributes.rawValue)
        let before = Flow.random(seed % 2 == 0 ? .ipv4 : .ipv6, sections, fixed: known, &random)
        var news = Flow(original: before.original, reply: before.reply)
        news.zone = before.zone
        news.setFixed(Flow.Attributes(rawValue: random.word() & FlowRecord.fixedAttributes.rawValue), &random)

        var patched = record(of: before)
        let takesPatch = FlowRecordView(patched.span.bytes).takesPatch(of: news)
        #expect(takesPatch)
        patch(&patched, with: news)
        var merged = before
        merged.merge(news)
        #expect(patched == record(of: merged))
    }

    @Test func patchIsRefusedWhereSectionsChange() {
        var random = SeededGenerator(seed: 7)
        let known = Flow.random(.ipv4, [.replyDestination, .labels], &random)
        let bytes = record(of: known)
        func takesPatch(_ change: (inout Flow) -> Void) -> Bool {
            var news = Flow(original: known.original, reply: known.reply)
            change(&news)
            return FlowRecordView(bytes.span.bytes).takesPatch(of: news)
        }
        #expect(takesPatch { $0.attributes = [.mark, .status] })
        #expect(!takesPatch { $0.attributes = [.labels] })
        #expect(!takesPatch { $0.attributes = [.mark, .helper] })
        #expect(!takesPatch { $0.reply.destination = $0.original.source })
        #expect(!takesPatch { $0.reply.key.raw ^= 1 })
    }

    @Test func timeoutIsSetInPlace() {
        var random = SeededGenerator(seed: 8)
        var encoded = EncodedFlowRecord(.random(.ipv6, .known, &random))
        encoded.setTimeout(4_711)
        let seconds = FlowRecordView(encoded.bytes).timeoutSeconds
        #expect(seconds == 4_711)
    }

    @Test func isOfTellsIdentitiesApart() {
        var random = SeededGenerator(seed: 9)
        for family in [AddressFamily.ipv4, .ipv6] {
            let wanted = Flow.random(family, .zone, &random)
            let bytes = record(of: wanted)
            func isOf(_ change: (inout FlowIdentity) -> Void) -> Bool {
                var identity = wanted.identity
                change(&identity)
                return FlowRecordView(bytes.span.bytes).isOf(identity)
            }
            #expect(isOf { _ in })
            #expect(!isOf { $0.tuple.source.high ^= UInt64(1).littleEndian })
            #expect(!isOf { $0.tuple.destination.high ^= UInt64(1 << 24).littleEndian })
            #expect(!isOf { $0.tuple.key.raw ^= 1 })
            #expect(!isOf { $0.tuple.protocolNumber ^= 1 })
            #expect(!isOf { $0.zone = .standard })
            #expect(!isOf { $0.zone.direction = $0.zone.direction == .both ? .reply : .both })
            #expect(!isOf { $0.tuple.family = family == .ipv4 ? .ipv6 : .ipv4 })
            if family == .ipv6 { #expect(!isOf { $0.tuple.destination.low ^= 1 << 63 }) }
        }
    }

    private func patch(_ bytes: inout [UInt8], with news: Flow) {
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        FlowRecord.patch(&raw, with: news)
    }
}
