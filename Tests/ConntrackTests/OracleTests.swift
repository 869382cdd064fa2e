import CNetfilter
import Flow
import Testing

@testable import Conntrack

/// The same bytes say the same to libnetfilter_conntrack and to our codec.
struct OracleTests {
    @Test(arguments: Sample.all)
    func describedFlowIsReadAlike(_ sample: Sample) throws {
        let message = encoded(.description, sample.flow)
        let event = try ConntrackEvent(decoding: message.span.bytes)
        #expect(event.flow.fields == sample.flow.fields)
        #expect(Oracle.fields(of: message) == sample.flow.fields)
        #expect(event.flow.reply == sample.flow.reply)
    }

    /// A create carries the untranslated reply tuple, the bits we may set, and BE_LIBERAL; all else as it is.
    @Test(arguments: Sample.all)
    func createIsReadAsMeant(_ sample: Sample) throws {
        let message = encoded(.create, sample.flow)
        var expected = sample.flow
        expected.reply = expected.original.inverted
        if expected.original.protocolNumber == IPProtocol.gre { expected.reply.key = sample.flow.reply.key }
        expected.status = expected.status.subtracting(.ownedByKernel).union(.confirmed)
        if expected.attributes.contains(.tcpFlags) {
            expected.tcp.flagsOriginal = expected.tcp.flagsOriginal & 0x07 | 0x08
            expected.tcp.flagsReply = expected.tcp.flagsReply & 0x07 | 0x08
        }
        #expect(Oracle.fields(of: message) == expected.fields)
        #expect(try ConntrackEvent(decoding: message.span.bytes).flow.fields == expected.fields)
    }

    @Test(arguments: [AddressFamily.ipv4, .ipv6], Sample.rareAttributes)
    func rareAttributeIsReadAlike(_ family: AddressFamily, _ rare: RareAttribute) throws {
        var flow = Sample.flow(IPProtocol.tcp, family, .both, index: 3)
        rare.set(&flow)
        let message = encoded(.description, flow)
        #expect(Oracle.fields(of: message) == flow.fields)
        #expect(try ConntrackEvent(decoding: message.span.bytes).flow.fields == flow.fields)
    }

    @Test(arguments: Sample.all)
    func printedLineIsTheLibrarys(_ sample: Sample) throws {
        let printer = FlowPrinter()
        var line: [UInt8] = []
        printer.append(sample.flow, activeSeconds: 3, to: &line)
        let expected = try #require(Oracle.text(of: encoded(.description, sample.flow)))
        #expect(String(decoding: line, as: UTF8.self) == expected + " [active since 3s]\n")
    }

    @Test func printedLineHasTheKnownLayout() {
        let printer = FlowPrinter()
        var line: [UInt8] = []
        printer.append(Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 1), activeSeconds: nil, to: &line)
        #expect(
            String(decoding: line, as: UTF8.self)
                == "tcp      6 ESTABLISHED src=10.1.0.1 dst=10.2.0.2 sport=1025 dport=5000 src=10.2.0.2 dst=10.3.0.1 "
                + "sport=5000 dport=1032 [ASSURED] mark=16909060\n"
        )
    }

    /// Messages as the kernel makes them, of flows that packets or a writer put into its table.
    @Test(
        .enabled(if: TestNamespace.isAvailable, "needs root and the packages iproute2, nftables, conntrack"),
        arguments: [AddressFamily.ipv4, .ipv6]
    )
    func kernelMessageIsReadAlike(_ family: AddressFamily) throws {
        let namespace = try TestNamespace()
        let samples = Sample.all.filter { $0.flow.original.family == family }
        let messages = try namespace.run {
            for (index, sample) in samples.enumerated() {
                // Samples share their original tuple; each gets a client of its own.
                var flow = sample.flow
                flow.original.source = Sample.address(family, 1, 100 + UInt32(index))
                if flow.reply.destination == sample.flow.original.source {
                    flow.reply.destination = flow.original.source
                }
                let outcome = try KernelWriterTests.perform(.create, [flow])
                #expect(outcome.created == 1, "\(sample): \(outcome.failures)")
            }
            return try RawDump.messages()
        }
        #expect(messages.count == samples.count)
        for message in messages {
            let event = try ConntrackEvent(decoding: message.span.bytes)
            #expect(Oracle.fields(of: message) == event.flow.fields)
            let printer = FlowPrinter()
            var line: [UInt8] = []
            printer.append(event.flow, activeSeconds: nil, to: &line)
            #expect(String(decoding: line, as: UTF8.self) == Oracle.text(of: message).map { $0 + "\n" })
        }
    }
}

/// Encodes one message.
func encoded(_ request: RequestEncoder.Request, _ flow: Flow) -> [UInt8] {
    let buffer = SendBuffer(byteCount: RequestEncoder.encodedByteCountMax)
    let byteCount = buffer.write { output in
        _ = RequestEncoder.encode(request, of: flow, sequence: 7, isAcknowledged: true, into: &output)
    }
    let bytes = buffer.bytes(to: byteCount)
    return (0..<byteCount).map { bytes.word(at: $0, as: UInt8.self) }
}

/// A dump by libmnl alone, as messages.
enum RawDump {
    static func messages() throws -> [[UInt8]] {
        let socket = try #require(mnl_socket_open(NETLINK_NETFILTER))
        defer { mnl_socket_close(socket) }
        try #require(mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) == 0)
        let request = SendBuffer(byteCount: 64)
        let byteCount = request.write { _ = RequestEncoder.encodeDump(sequence: 1, into: &$0) }
        let sent = request.bytes(to: byteCount).withUnsafeBytes { mnl_socket_sendto(socket, $0.baseAddress, $0.count) }
        try #require(sent == byteCount)
        var messages: [[UInt8]] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let received = mnl_socket_recvfrom(socket, &buffer, buffer.count)
            try #require(received > 0)
            var offset = 0
            while offset < received {
                let length = buffer[offset...].withUnsafeBytes { Int($0.loadUnaligned(as: UInt32.self)) }
                let type = UInt16(buffer[offset + 4]) | UInt16(buffer[offset + 5]) << 8
                if type == UInt16(NLMSG_DONE) { return messages }
                messages.append(Array(buffer[offset..<offset + length]))
                offset += (length + 3) & ~3
            }
        }
    }
}
