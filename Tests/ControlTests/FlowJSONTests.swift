import Control
import Flow
import Testing

@Suite struct FlowJSONTests {
    private func line(_ flow: Flow, activeSeconds: UInt32 = 3) -> String {
        var output = Array("before\n".utf8)
        FlowJSON.append(flow, activeSeconds: activeSeconds, to: &output)
        return String(decoding: output, as: UTF8.self)
    }

    private func tcp() -> Flow {
        let original = Tuple(
            source: Address(ipv4: (10, 77, 1, 2)),
            destination: Address(ipv4: (10, 77, 2, 2)),
            key: ProtocolKey(sourcePort: 41_021, destinationPort: 21),
            protocolNumber: IPProtocol.tcp,
            family: .ipv4
        )
        return Flow(original: original)
    }

    @Test func everythingKnownIsWritten() {
        var flow = tcp()
        flow.reply.destination = Address(ipv4: (10, 77, 2, 100))
        flow.zone = Zone(id: 7, direction: .original)
        flow.attributes = [.status, .timeout, .mark, .protocolState, .labels, .helper, .tcpWindowScale, .master]
        flow.status = [.seenReply, .assured, .confirmed, .sourceNAT]
        flow.timeoutSeconds = 431_999
        flow.mark = 7
        flow.protocolState = TCPState.established.rawValue
        flow.labels.low = UInt64(littleEndian: 0x0201)
        flow.helper = Flow.HelperName("ftp") ?? Flow.HelperName()
        flow.tcp.windowScaleOriginal = 7
        flow.tcp.windowScaleReply = 9
        flow.master = flow.original
        #expect(
            line(flow) == "before\n"
                + #"{"protocol":"tcp","protocolNumber":6,"state":"ESTABLISHED","#
                + #""original":{"source":"10.77.1.2","destination":"10.77.2.2","sourcePort":41021,"#
                + #""destinationPort":21},"reply":{"source":"10.77.2.2","destination":"10.77.2.100","#
                + #""sourcePort":21,"destinationPort":41021},"zone":7,"zoneDirection":"original","#
                + #""seenReply":true,"assured":true,"sourceNAT":true,"destinationNAT":false,"status":30,"#
                + #""timeoutSeconds":431999,"mark":7,"labels":"01020000000000000000000000000000","helper":"ftp","#
                + #""windowScaleOriginal":7,"windowScaleReply":9,"master":{"source":"10.77.1.2","#
                + #""destination":"10.77.2.2","sourcePort":41021,"destinationPort":21},"activeSeconds":3}"#
                + "\n"
        )
    }

    @Test func whatIsUnknownIsLeftOut() {
        let text = line(tcp())
        for key in ["state", "zone", "status", "timeoutSeconds", "mark", "labels", "helper", "master"] {
            #expect(!text.contains("\"\(key)\""), "\(key)")
        }
    }

    @Test func icmpAndGREHaveTheirOwnKeys() {
        var flow = tcp()
        flow.original.protocolNumber = IPProtocol.icmp
        flow.original.key = ProtocolKey(icmpIdentifier: 20_849, type: 8, code: 0)
        #expect(line(Flow(original: flow.original)).contains(#""icmpType":8,"icmpCode":0,"icmpIdentifier":20849}"#))
        #expect(line(Flow(original: flow.original)).contains(#""icmpType":0,"icmpCode":0,"icmpIdentifier":20849}"#))
        flow.original.protocolNumber = IPProtocol.gre
        flow.original.key = ProtocolKey(sourcePort: 1, destinationPort: 2)
        #expect(line(Flow(original: flow.original)).contains(#""sourceKey":1,"destinationKey":2}"#))
        flow.original.protocolNumber = 89
        #expect(line(Flow(original: flow.original)).contains(#""protocol":"unknown","protocolNumber":89,"#))
    }

    @Test(arguments: [
        (IPProtocol.tcp, 9, "SYN_SENT2"), (IPProtocol.sctp, 4, "ESTABLISHED"), (IPProtocol.dccp, 4, "OPEN"),
    ])
    func statesHaveTheKernelsNames(protocolNumber: UInt8, state: UInt8, name: String) {
        var flow = tcp()
        flow.original.protocolNumber = protocolNumber
        flow.attributes = .protocolState
        flow.protocolState = state
        #expect(line(flow).contains("\"state\":\"\(name)\""))
        flow.protocolState = 200
        #expect(!line(flow).contains("\"state\""))
    }

    @Test func aHostileHelperNameStaysInsideItsString() {
        var flow = tcp()
        flow.attributes = .helper
        flow.helper = Flow.HelperName("a\"b\\c\nd") ?? Flow.HelperName()
        #expect(line(flow).contains(#""helper":"a\"b\\c\u000ad""#))
    }
}
