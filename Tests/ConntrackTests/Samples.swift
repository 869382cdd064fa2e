import Flow

@testable import Conntrack

/// How a sample flow is translated.
enum Translation: String, CaseIterable, Sendable {
    case none, source, destination, both
}

/// Flows to test with, one for each protocol of the default list, family and translation.
struct Sample: Sendable, CustomStringConvertible {
    let flow: Flow
    let description: String

    static let all: [Sample] = [AddressFamily.ipv4, .ipv6].flatMap { family in
        IPProtocol.names.flatMap { name, number -> [Sample] in
            if number == IPProtocol.icmp, family == .ipv6 { return [] }
            if number == IPProtocol.icmpv6, family == .ipv4 { return [] }
            return Translation.allCases.map { translation in
                Sample(
                    flow: flow(number, family, translation, index: 1),
                    description: "\(name) IPv\(family.rawValue) translation: \(translation)")
            }
        }
    }

    static func address(_ family: AddressFamily, _ network: UInt8, _ host: UInt32) -> Address {
        switch family {
        case .ipv4:
            let (high, low) = (UInt8(truncatingIfNeeded: host >> 8), UInt8(truncatingIfNeeded: host))
            return Address(ipv4: (10, network, high, low))
        case .ipv6:
            return Address(ipv6High: 0xfd00_0077_0000_0000 | UInt64(network), low: UInt64(host))
        }
    }

    /// Flow `index` of its kind: the client's port (or ICMP identifier) and address follow from it.
    static func flow(_ number: UInt8, _ family: AddressFamily, _ translation: Translation, index: UInt32) -> Flow {
        let port = UInt16(1_024 + index % 60_000)
        let isICMP = IPProtocol.isICMP(number)
        let key =
            isICMP
            ? ProtocolKey(icmpIdentifier: port, type: number == IPProtocol.icmp ? 8 : 128, code: 0)
            : ProtocolKey(sourcePort: port, destinationPort: 5_000)
        let original = Tuple(
            source: address(family, 1, 1 + index / 60_000), destination: address(family, 2, 2), key: key,
            protocolNumber: number, family: family)
        var flow = Flow(original: original)
        if translation == .source || translation == .both {
            flow.reply.destination = address(family, 3, 1 + index / 60_000)
            flow.reply.key =
                isICMP
                ? ProtocolKey(
                    icmpIdentifier: port &+ 7, type: flow.reply.key.icmpType, code: flow.reply.key.icmpCode)
                : ProtocolKey(sourcePort: flow.reply.key.sourcePort, destinationPort: port &+ 7)
        }
        if translation == .destination || translation == .both {
            flow.reply.source = address(family, 4, 4)
            if !isICMP {
                flow.reply.key = ProtocolKey(sourcePort: 6_000, destinationPort: flow.reply.key.destinationPort)
            }
        }
        flow.attributes = [.status, .timeout, .mark]
        flow.status = [.seenReply, .assured, .confirmed]
        flow.timeoutSeconds = 300
        flow.mark = 0x0102_0304
        setProtocolState(number, &flow)
        return flow
    }

    private static func setProtocolState(_ number: UInt8, _ flow: inout Flow) {
        switch number {
        case IPProtocol.tcp:
            flow.attributes.formUnion([.protocolState, .tcpFlags, .tcpWindowScale])
            flow.protocolState = TCPState.established.rawValue
            flow.tcp.flagsOriginal = 0x03
            flow.tcp.flagsReply = 0x03
            flow.tcp.windowScaleOriginal = 7
            flow.tcp.windowScaleReply = 9
        case IPProtocol.sctp:
            flow.attributes.formUnion([.protocolState, .sctpVerificationTags])
            flow.protocolState = 4
            flow.sctpVerificationTags = (original: 0x0a0b_0c0d, reply: 0x1a1b_1c1d)
        case IPProtocol.dccp:
            flow.attributes.formUnion([.protocolState, .dccp])
            flow.protocolState = 4
            flow.dccp = (role: 1, handshakeSequence: 0x0000_1122_3344_5566)
        default:
            break
        }
    }
}
