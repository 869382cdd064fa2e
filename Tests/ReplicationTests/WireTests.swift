import Flow
import Testing

@testable import Replication

@Suite("The wire, byte by byte")
struct WireTests {
    private static let headerHex = """
        4653 01 03 44332211 0807060504030201
        2211000000000000 050000 03 07000000
        """
    private static let sampleHeader = DatagramHeader(
        flags: [.sequenced, .claiming],
        nodeID: 0x1122_3344,
        epoch: 0x0102_0304_0506_0708,
        sequence: 0x1122,
        floorDistance: 5,
        group: 3,
        takeoverNumber: 7
    )
    /// `makeFlow(1, mark: 0x1122)` with 300 seconds left: 36 bytes, status, TCP, established; tuple, then the reply's
    /// destination.
    private static let recordHex = """
        09 10 0200 0e00 06 03 2c010000 22110000 00 00 00 0f
        0a000001 c0000201 0401 01bb c6336401
        """

    private func message(_ write: (inout MessageWriter) -> Void) -> [UInt8] {
        Array(HandMade(greeting: nil).datagram(write).dropFirst(DatagramHeader.byteCount))
    }

    @Test("the header")
    func header() throws {
        var buffer = [UInt8](repeating: 0xee, count: 32)
        var span = buffer.mutableSpan
        var target = span.mutableBytes
        Self.sampleHeader.encode(into: &target)
        #expect(buffer == bytes(Self.headerHex))
        let decoded = try DatagramHeader(decoding: buffer.span.bytes)
        #expect(decoded == Self.sampleHeader)
        #expect(decoded.floor == 0x1122 + 1 - 5)
    }

    @Test(
        "the floor, from the distance",
        arguments: [(0, 0, 1), (0, 1, 1), (9, 0, 10), (9, 1, 9), (9, 9, 1), (9, 10, 1), (9, UInt32.max, 1)]
    )
    func floor(sequence: UInt64, distance: UInt32, expected: UInt64) {
        var header = Self.sampleHeader
        header.sequence = sequence
        header.floorDistance = distance
        #expect(header.floor == expected)
    }

    @Test("a distance that three bytes cannot hold leaves the traffic group alone")
    func distanceSaturates() throws {
        var header = Self.sampleHeader
        header.floorDistance = .max
        var buffer = [UInt8](repeating: 0, count: 32)
        var span = buffer.mutableSpan
        var target = span.mutableBytes
        header.encode(into: &target)
        let decoded = try DatagramHeader(decoding: buffer.span.bytes)
        #expect(decoded.floorDistance == 0xff_ffff)
        #expect(decoded.group == 3)
        #expect(ReplicationNode.group(of: buffer.span.bytes) == 3)
        #expect(ReplicationNode.group(of: buffer.span.bytes.extracting(0..<31)) == nil)
    }

    @Test("an upsert")
    func upsert() {
        let written = message { $0.put(.upsert, makeFlow(1, mark: 0x1122, timeoutSeconds: 300)) }
        #expect(written == bytes("01 00 2400" + Self.recordHex))
    }

    @Test("a delete says no time left")
    func delete() {
        let written = message { $0.put(.delete, makeFlow(1, mark: 0x1122, timeoutSeconds: 300)) }
        #expect(written == bytes("02 00 2400" + Self.recordHex.replacing("2c010000", with: "00000000")))
    }

    @Test("an IPv6 upsert")
    func upsert6() {
        let source = Address(ipv6High: 0x2001_0db8_0000_0001, low: 0x10)
        let destination = Address(ipv6High: 0x2001_0db8_0000_0002, low: 0x20)
        var flow = Flow(
            original: Tuple(
                source: source,
                destination: destination,
                key: ProtocolKey(icmpIdentifier: 0x1234, type: 128, code: 0),
                protocolNumber: IPProtocol.icmpv6,
                family: .ipv6
            )
        )
        flow.zone = Zone(id: 0x0102, direction: .original)
        flow.attributes = [.timeout]
        flow.timeoutSeconds = 30
        let expected = """
            01 00 3c00
            0f 11 0800 0000 3a 00 1e000000 00000000 00 00 00 02
            20010db8000000010000000000000010 20010db8000000020000000000000020 1234 80 00
            0201 01 00
            """
        #expect(message { $0.put(.upsert, flow) } == bytes(expected))
    }

    @Test("an acknowledgement")
    func ack() {
        let ack = Ack(nodeID: 0x1122_3344, epoch: 9, cumulative: 100, ranges: [102..<105, 109..<110])
        let written = message { $0.put(ack) }
        let expected = """
            03 00 2000 44332211 02000000 0900000000000000 6400000000000000
            0200 0300 0900 0100
            """
        #expect(written == bytes(expected))
        let isSame = Ack(decoding: written.span.bytes.extracting(4..<36)) == ack
        #expect(isSame)
    }

    @Test("a heartbeat; its name is padded to whole words")
    func heartbeat() {
        let shared = SharedSettings(mode: 1, protocols: 2, ignoredAddresses: 0x0a0b_0c0d, groups: 0x2222_1111)
        let heartbeat = Heartbeat(
            role: NodeRole.backup.rawValue,
            number: 7,
            flowCount: 0x0102_0304,
            shared: shared,
            name: "r1"
        )
        let written = message { $0.put(heartbeat) }
        #expect(written == bytes("04 00 1c00 02 02 0700 04030201 01000000 02000000 0d0c0b0a 11112222 72310000"))
        let isSame = Heartbeat(decoding: written.span.bytes.extracting(4..<32)) == heartbeat
        #expect(isSame)
        #expect(
            message { $0.put(Heartbeat(role: 1, number: 7, flowCount: 0, shared: shared, name: "four")) }.count == 32
        )
        let long = String(repeating: "n", count: 99)
        let cut = message { $0.put(Heartbeat(role: 1, number: 7, flowCount: 0, shared: shared, name: long)) }
        #expect(cut.count == 4 + 24 + 64 && cut[5] == 64)
    }

    @Test("request, transfer end and behind")
    func words() {
        let expected: [(MessageKind, String)] = [
            (.resyncRequest, "05 00 1000 44332211 02000000 0900000000000000"),
            (.transferEnd, "06 00 1000 44332211 02000000 0900000000000000"),
            (.behind, "07 00 1000 44332211 02000000 0900000000000000"),
        ]
        for (kind, hexadecimal) in expected {
            #expect(message { $0.putWords(kind, 0x1122_3344, 2, 9) } == bytes(hexadecimal))
        }
    }

    /// A datagram's bytes after the header's first four, and why it is refused; nil if it is not.
    private static let validations: [(hexadecimal: String, error: WireError?)] = [
        ("", nil),
        ("01", .malformedMessage),
        ("01 00 24", .malformedMessage),
        ("01 00 2400", .malformedMessage),
        ("01 00 2400" + recordHex, nil),
        ("02 00 2400" + recordHex, nil),
        // The record is shorter than the body, longer than it, of another version, or ends within a section.
        ("01 00 2800" + recordHex + "00000000", .malformedRecord),
        ("01 00 2400" + recordHex.replacing("09 10", with: "0a 10"), .malformedRecord),
        ("01 00 2400" + recordHex.replacing("09 10", with: "09 20"), .malformedRecord),
        ("01 00 2400" + recordHex.replacing("0200 0e00", with: "0300 0e00"), .malformedRecord),
        ("01 00 0000", .malformedRecord),
        // A later version's section after those that are known is passed over.
        ("01 00 2800" + recordHex.replacing("09 10 0200", with: "0a 10 0208") + "aabbccdd", nil),
        // Bodies are whole words.
        ("63 00 0300 000000", .malformedMessage),
        ("63 00 0400 00000000", nil),
        // Acknowledgements: too short; fewer and more ranges than announced; so many that a product would overflow.
        ("03 00 1400" + String(repeating: "00", count: 20), .malformedMessage),
        ("03 00 1800 00000000 00000000" + String(repeating: "00", count: 16), nil),
        ("03 00 1800 00000000 01000000" + String(repeating: "00", count: 16), .malformedMessage),
        ("03 00 1c00 00000000 00000000" + String(repeating: "00", count: 20), .malformedMessage),
        ("03 00 1800 00000000 ffffffff" + String(repeating: "00", count: 16), .malformedMessage),
        // Heartbeats: too short; a name beyond the body.
        ("04 00 0400 00000000", .malformedMessage),
        ("04 00 1400 00 00 0000 00000000 000000000000000000000000", .malformedMessage),
        ("04 00 1800 00 00 0000 00000000 000000000000000000000000 00000000", nil),
        ("04 00 1800 00 01 0000 00000000 000000000000000000000000 00000000", .malformedMessage),
        ("04 00 1c00 00 04 0000 00000000 000000000000000000000000 00000000 61626364", nil),
        ("05 00 0c00" + String(repeating: "00", count: 12), .malformedMessage),
        ("06 00 0c00" + String(repeating: "00", count: 12), .malformedMessage),
        ("07 00 0c00" + String(repeating: "00", count: 12), .malformedMessage),
        // Longer than this version knows.
        ("05 00 1400" + String(repeating: "00", count: 20), nil),
        // A good message does not excuse a bad one behind it.
        ("63 00 0000 01 00 0000", .malformedRecord),
    ]

    @Test("every message is checked before any is applied", arguments: validations)
    func validation(hexadecimal: String, error: WireError?) {
        let datagram = bytes(Self.headerHex + hexadecimal)
        var thrown: WireError?
        do { try MessageReader.validate(datagram.span.bytes) } catch { thrown = error }
        #expect(thrown == error)
    }

    @Test("a header is refused by cause")
    func headerErrors() {
        func error(_ change: (inout [UInt8]) -> Void) -> WireError? {
            var datagram = bytes(Self.headerHex)
            change(&datagram)
            do {
                _ = try DatagramHeader(decoding: datagram.span.bytes)
                return nil
            } catch {
                return error
            }
        }
        #expect(error { _ in } == nil)
        #expect(error { $0.removeLast() } == .truncated)
        #expect(error { $0.removeAll() } == .truncated)
        #expect(error { $0[0] = 0x47 } == .foreign)
        #expect(error { $0[2] = 2 } == .unknownVersion)
        #expect(error { $0[3] = 0x7c } == nil, "flags of later versions")
        #expect(error { $0[23] = 0x40 } == .malformedMessage)
        #expect(error { $0[23] = 0x3f } == nil)
        #expect(error { $0[31] = 0xff } == .malformedMessage)
    }

    @Test("acknowledged ranges that overflow are left out")
    func ackOverflow() {
        // 2^64 - 10 is acknowledged; the second range would end beyond the last number, the third begins anew at 0.
        let body = bytes("44332211 03000000 0900000000000000 f6ffffffffffffff 0100 0200 0700 0900 0b00 0300")
        let ranges = Ack(decoding: body.span.bytes).ranges
        #expect(ranges == [UInt64.max - 8..<UInt64.max - 6, 1..<4])
    }

    @Test("a peer's name comes without control characters")
    func name() {
        let heartbeat = Heartbeat(
            role: 0,
            number: 7,
            flowCount: 0,
            shared: SharedSettings(),
            name: "r\u{1b}[2J\n1\u{7f}\u{9b}31mé"
        )
        let written = message { $0.put(heartbeat) }
        let name = Heartbeat(decoding: written.span.bytes.extracting(4..<written.count)).name
        #expect(name == "r[2J131mé")
    }
}
