import Testing

@testable import Flow

/// Records come from peers: whatever the bytes, they are judged and never trap.
struct FlowRecordValidationTests {
    private static func sample(_ family: AddressFamily, _ sections: FlowRecord.Section) -> [UInt8] {
        var random = SeededGenerator(seed: 3)
        return record(of: .random(family, sections, &random))
    }

    private static func changed(_ offset: Int, to value: UInt8, in bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        bytes[offset] = value
        return bytes
    }

    private static let plain = sample(.ipv4, [])
    private static let zoned = sample(.ipv4, .zone)
    private static let helped = sample(.ipv4, .helper)

    @Test(
        arguments: [
            ([], .truncated(neededByteCount: 32, availableByteCount: 0)),
            (Array(plain.dropLast()), .truncated(neededByteCount: 32, availableByteCount: 31)),
            (changed(0, to: 9, in: plain), .truncated(neededByteCount: 36, availableByteCount: 32)),
            (changed(0, to: 7, in: plain), .sectionsExceedRecord),
            (changed(0, to: 0, in: plain), .sectionsExceedRecord),
            (changed(0, to: 9, in: plain + [0, 0, 0, 0]), .sectionsExceedRecord),
            (changed(1, to: 0x20, in: plain), .unknownVersion(2)),
            (changed(1, to: 0x00, in: plain), .unknownVersion(0)),
            (changed(1, to: 0x14, in: plain), .invalidField(offset: 1)),
            (changed(1, to: 0x18, in: plain), .invalidField(offset: 1)),
            (changed(1, to: 0x11, in: plain), .sectionsExceedRecord),
            (changed(2, to: 0x01, in: plain), .sectionsExceedRecord),
            (changed(18, to: 0x0f, in: plain), .invalidField(offset: 18)),
            (changed(18, to: 0xf0, in: plain), .invalidField(offset: 18)),
            (changed(19, to: 0x40, in: plain), .invalidField(offset: 19)),
            (changed(34, to: 3, in: zoned), .invalidField(offset: 32)),
            (changed(32, to: 0, in: changed(33, to: 0, in: zoned)), .invalidField(offset: 32)),
            (changed(32, to: 0, in: helped), .invalidField(offset: 32)),
            (changed(47, to: 1, in: helped), .invalidField(offset: 32)),
        ] as [([UInt8], FlowRecord.Malformation)]
    )
    func malformationHasItsCause(_ bytes: [UInt8], _ expected: FlowRecord.Malformation) {
        #expect(malformation(of: bytes) == expected)
    }

    @Test func theTalkingMarkIsNoPartOfTheFlow() throws {
        for family in [AddressFamily.ipv4, .ipv6] {
            let silent = Self.sample(family, .known)
            var bytes = silent
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            FlowRecord.setTalking(true, in: &raw)
            #expect(malformation(of: bytes) == nil)
            let view = FlowRecordView(bytes.span.bytes)
            let (isTalking, digest, isSame) = (
                view.isTalking, view.digest, flow(of: bytes).difference(from: flow(of: silent)) == nil
            )
            #expect(isTalking && isSame)
            #expect(digest != FlowRecordView(silent.span.bytes).digest, "peers compare it too")
        }
    }

    @Test func bytesAfterTheRecordAreAnothersMatter() throws {
        let bytes = Self.zoned + [1, 2, 3]
        #expect(try FlowRecord.validate(bytes.span.bytes) == Self.zoned.count)
    }

    /// Sections of a later version come last and are passed over.
    @Test(arguments: 11..<16)
    func sectionOfALaterVersionIsPassedOver(_ bit: Int) throws {
        let known = Self.sample(.ipv6, .known)
        var bytes = known + [0xde, 0xad, 0xbe, 0xef, 0xde, 0xad, 0xbe, 0xef]
        bytes[0] += 2
        bytes[3] |= UInt8(1 << (bit - 8))
        #expect(try FlowRecord.validate(bytes.span.bytes) == bytes.count)
        let difference = flow(of: bytes).difference(from: flow(of: known))
        #expect(difference == nil)
    }

    @Test func everyPrefixIsRefused() {
        for family in [AddressFamily.ipv4, .ipv6] {
            let bytes = Self.sample(family, .known)
            for count in bytes.indices {
                #expect(malformation(of: Array(bytes.prefix(count))) != nil)
            }
        }
    }

    /// A seed replays its mutations; what passes must read and pack again without loss.
    @Test(arguments: 0..<8 as Range<UInt64>)
    func mutatedRecordNeverTraps(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var acceptedCount = 0
        for round in 0..<3_000 {
            let sections = FlowRecord.Section(rawValue: random.word() & FlowRecord.Section.known.rawValue)
            var bytes = record(of: .random(round % 2 == 0 ? .ipv4 : .ipv6, sections, &random))
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                // Mostly the header, where the lengths come from.
                let end = Bool.random(using: &random) ? 20 : bytes.count
                bytes[Int.random(in: 0..<end, using: &random)] = random.word()
            }
            guard malformation(of: bytes) == nil else { continue }
            acceptedCount += 1
            let view = FlowRecordView(bytes.span.bytes)
            let read = view.flow
            let isSame = view.isOf(read.identity) && view.identity == read.identity && view.replyTuple == read.reply
            try #require(isSame)
            let again = record(of: read)
            try #require(malformation(of: again) == nil)
            let difference = flow(of: again).difference(from: read)
            try #require(difference == nil)
        }
        #expect(acceptedCount > 300)
    }

    @Test(arguments: 0..<8 as Range<UInt64>)
    func noiseNeverTraps(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<3_000 {
            var bytes: [UInt8] = (0..<Int.random(in: 0...300, using: &random)).map { _ in random.word() }
            // Without a right version byte nothing else would be looked at.
            if bytes.count > 1 { bytes[1] = 0x10 | bytes[1] & 1 }
            if malformation(of: bytes) == nil { _ = flow(of: bytes) }
        }
    }
}
