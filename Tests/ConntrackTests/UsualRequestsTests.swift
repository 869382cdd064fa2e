import Flow
import Testing

@testable import Conntrack

@Suite("Requests written straight from records")
struct UsualRequestsTests {
    private static func request(_ body: (inout OutputRawSpan) -> Void) -> [UInt8] {
        let buffer = SendBuffer(byteCount: 1_024)
        let byteCount = buffer.write { body(&$0) }
        return buffer.bytes(to: byteCount).withUnsafeBytes { Array($0) }
    }

    /// The request from the record, or nil if it is none of the usual ones; and the one that the encoder writes.
    private static func both(
        _ request: RequestEncoder.Request,
        of flow: Flow,
        isAcknowledged: Bool = false
    ) -> (fast: [UInt8]?, general: [UInt8]) {
        let record = EncodedFlowRecord(flow)
        var isUsual = false
        let fast = Self.request { output in
            isUsual = UsualRequests.encode(
                request,
                of: FlowRecordView(record.bytes),
                sequence: 0x0102_0304,
                isAcknowledged: isAcknowledged,
                into: &output
            )
        }
        let general = Self.request { output in
            _ = RequestEncoder.encode(
                request,
                of: FlowRecordView(record.bytes).flow,
                sequence: 0x0102_0304,
                isAcknowledged: isAcknowledged,
                into: &output
            )
        }
        #expect(isUsual || fast.isEmpty)
        return (isUsual ? fast : nil, general)
    }

    struct Change: Sendable, CustomStringConvertible {
        let description: String
        let make: @Sendable (inout Flow) -> Void
    }

    static let changes = [
        Change(description: "nothing") { _ in },
        Change(description: "no mark") { $0.attributes.remove(.mark) },
        Change(description: "mark 0") { $0.mark = 0 },
        Change(description: "no timeout known") { $0.attributes.remove(.timeout) },
        Change(description: "all status bits") { $0.status = FlowStatus(rawValue: .max) },
        Change(description: "no status bits") { $0.status = [] },
        Change(description: "all TCP flags") { ($0.tcp.flagsOriginal, $0.tcp.flagsReply) = (0xff, 0xf0) },
        Change(description: "largest scales") { ($0.tcp.windowScaleOriginal, $0.tcp.windowScaleReply) = (14, 13) },
        Change(description: "one port translated") { flow in
            flow.reply.key = ProtocolKey(sourcePort: flow.reply.key.sourcePort, destinationPort: 61_111)
        },
        Change(description: "everything translated") { flow in
            (flow.reply.source, flow.reply.destination) = (flow.reply.destination, flow.reply.source)
            flow.reply.key = ProtocolKey(sourcePort: 0x1234, destinationPort: 0x5678)
        },
    ]

    @Test(arguments: [IPProtocol.tcp, IPProtocol.udp], changes)
    func areThoseOfTheEncoder(_ number: UInt8, _ change: Change) {
        for family in [AddressFamily.ipv4, .ipv6] {
            for translation in Translation.allCases {
                var flow = Sample.flow(number, family, translation, index: 61_234)
                change.make(&flow)
                for request in [RequestEncoder.Request.create, .get] {
                    for isAcknowledged in [false, true] {
                        let (fast, general) = Self.both(request, of: flow, isAcknowledged: isAcknowledged)
                        #expect(fast == general)
                    }
                }
            }
        }
    }

    @Test func othersAreLeftToTheEncoder() {
        for sample in Sample.all where ![IPProtocol.tcp, IPProtocol.udp].contains(sample.flow.original.protocolNumber) {
            #expect(Self.both(.create, of: sample.flow).fast == nil)
        }
        for rare in Sample.rareAttributes {
            var flow = Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 1)
            rare.set(&flow)
            #expect(Self.both(.create, of: flow).fast == nil, "\(rare)")
        }
        let plain = Sample.flow(IPProtocol.tcp, .ipv4, .source, index: 1)
        for attribute in [Flow.Attributes.status, .protocolState, .tcpFlags, .tcpWindowScale] {
            var flow = plain
            flow.attributes.remove(attribute)
            #expect(Self.both(.create, of: flow).fast == nil)
        }
        for request in [RequestEncoder.Request.update, .delete, .getByReply, .description] {
            #expect(Self.both(request, of: plain).fast == nil)
        }
    }
}
