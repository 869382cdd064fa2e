import Flow
import Testing

@testable import Conntrack

/// Bytes that are no conntrack message are told apart by cause, and never trap.
struct DecoderTests {
    private static let message = encoded(.description, Sample.flow(IPProtocol.tcp, .ipv4, .both, index: 1))

    private static func defect(_ bytes: [UInt8]) -> MessageDefect? {
        do throws(MessageDefect) {
            _ = try ConntrackEvent(decoding: bytes.span.bytes)
            return nil
        } catch {
            return error
        }
    }

    /// A message with one byte changed.
    private static func changed(_ offset: Int, to value: UInt8) -> [UInt8] {
        var bytes = message
        bytes[offset] = value
        return bytes
    }

    @Test func kindComesFromTypeAndFlags() throws {
        let flow = Sample.flow(IPProtocol.udp, .ipv6, .none, index: 1)
        let description = encoded(.description, flow)
        #expect(try ConntrackEvent(decoding: description.span.bytes).kind == .update)
        var new = description
        new[7] |= 0x06  // NLM_F_CREATE | NLM_F_EXCL
        #expect(try ConntrackEvent(decoding: new.span.bytes).kind == .new)
        var destroy = description
        destroy[4] = 2  // IPCTNL_MSG_CT_DELETE
        #expect(try ConntrackEvent(decoding: destroy.span.bytes).kind == .destroy)
        var ours = description
        ours.replaceSubrange(12..<16, with: [1, 2, 3, 4])
        #expect(try ConntrackEvent(decoding: ours.span.bytes).portID == 0x0403_0201)
    }

    /// Offsets: 20 tuple header, 24 addresses header, 28 source header, 32 source, 36 destination header.
    @Test(arguments: [
        (Array(message.prefix(19)), MessageDefect.truncatedMessage),
        (Array(message.dropLast(4)), .truncatedMessage),
        (changed(0, to: 19), .truncatedMessage),
        (changed(5, to: 2), .foreignType),
        (changed(4, to: 9), .foreignType),
        (changed(16, to: 7), .foreignFamily),
        (changed(20, to: 3), .attributeOverrun),
        (changed(21, to: 0xff), .attributeOverrun),
        (changed(28, to: 200), .attributeOverrun),
        (changed(28, to: 6), .attributeTooShort),
        (changed(30, to: 99), .incompleteTuple),
        (changed(22, to: 99), .incompleteTuple),
        (changed(16, to: 10), .incompleteTuple),
    ])
    func defectHasItsCause(_ bytes: [UInt8], _ defect: MessageDefect) {
        #expect(Self.defect(bytes) == defect)
    }

    /// Without the flag of nested attributes nothing has the kernel's usual shape, and everything is walked.
    @Test(arguments: Sample.all)
    func walkedMessageSaysTheSame(_ sample: Sample) throws {
        let usual = encoded(.description, sample.flow)
        var walked = usual
        for offset in stride(from: 20, to: walked.count - 3, by: 4) {
            // A type above, a length below; no value of a sample looks like that.
            if walked[offset + 3] == 0x80, walked[offset + 2] < 32, walked[offset + 1] == 0 { walked[offset + 3] = 0 }
        }
        #expect(walked != usual)
        let flow = try ConntrackEvent(decoding: walked.span.bytes).flow
        #expect(flow.fields == sample.flow.fields)
        #expect(flow.reply == sample.flow.reply)
        #expect(Oracle.fields(of: walked) == sample.flow.fields)
    }

    @Test func tuplesOfDifferentProtocolsAreRefused() {
        var flow = Sample.flow(IPProtocol.tcp, .ipv4, .none, index: 1)
        flow.reply.protocolNumber = IPProtocol.udp
        #expect(Self.defect(encoded(.description, flow)) == .protocolMismatch)
    }

    @Test func helperNameWithoutEndIsRefused() {
        var flow = Sample.flow(IPProtocol.tcp, .ipv4, .none, index: 1)
        flow.attributes.insert(.helper)
        flow.helper.low = .max
        flow.helper.high = .max
        var bytes = encoded(.description, flow)
        // The encoder ends every name: take the end away.
        let end = bytes.indices.last { bytes[$0] == 0xff && bytes[$0 - 14] == 0xff }
        if let end { bytes[end + 1] = 0xff }
        #expect(Self.defect(bytes) == .invalidValue)
    }

    @Test func everyPrefixIsRefused() {
        for count in Self.message.indices {
            #expect(Self.defect(Array(Self.message.prefix(count))) == .truncatedMessage)
        }
    }

    /// A seed replays its mutations.
    ///
    /// Whatever is decoded must also survive as a record.
    @Test(arguments: 0..<8 as Range<UInt64>)
    func mutatedMessageNeverTraps(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var messages: [[UInt8]] = Sample.all.map { encoded(.description, $0.flow) }
        for rare in Sample.rareAttributes {
            var flow = Sample.flow(IPProtocol.tcp, .ipv6, .both, index: 1)
            rare.set(&flow)
            messages.append(encoded(.description, flow))
        }
        var decodedCount = 0
        for _ in 0..<3_000 {
            guard var bytes = messages.randomElement(using: &random) else { return }
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let offset = Int.random(in: bytes.indices, using: &random)
                // Small values are lengths and types that mean something.
                bytes[offset] = Bool.random(using: &random) ? .random(in: 0...40, using: &random) : random.byte
            }
            guard let event = try? ConntrackEvent(decoding: bytes.span.bytes) else { continue }
            decodedCount += 1
            let record = EncodedFlowRecord(event.flow)
            let byteCount = try FlowRecord.validate(record.bytes)
            #expect(byteCount == record.byteCount)
        }
        // Mutations must reach beyond the first check.
        #expect(decodedCount > 300)
    }

    @Test func messageReaderStopsAtBrokenLength() throws {
        let bytes = Self.message + Self.message + [UInt8](repeating: 0, count: 20)
        var reader = MessageReader(bytes.span.bytes)
        #expect(try reader.next())
        #expect(try reader.next())
        #expect(throws: MessageDefect.truncatedMessage) { try reader.next() }
        #expect(try reader.next() == false)
    }
}

/// A random source that a seed replays (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }

    var byte: UInt8 { mutating get { UInt8(truncatingIfNeeded: next()) } }
}
