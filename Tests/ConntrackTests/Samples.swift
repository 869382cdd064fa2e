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
                    description: "\(name) IPv\(family.rawValue) translation: \(translation)"
                )
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
            source: address(family, 1, 1 + index / 60_000),
            destination: address(family, 2, 2),
            key: key,
            protocolNumber: number,
            family: family
        )
        var flow = Flow(original: original)
        if translation == .source || translation == .both {
            flow.reply.destination = address(family, 3, 1 + index / 60_000)
            flow.reply.key =
                isICMP
                ? ProtocolKey(
                    icmpIdentifier: port &+ 7,
                    type: flow.reply.key.icmpType,
                    code: flow.reply.key.icmpCode
                )
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

/// One of the attributes that few flows have.
struct RareAttribute: Sendable, CustomStringConvertible {
    let description: String
    let set: @Sendable (inout Flow) -> Void
}

extension Sample {
    static let rareAttributes: [RareAttribute] = [
        RareAttribute(description: "zone") { $0.zone = Zone(id: 7) },
        RareAttribute(description: "zone, original") { $0.zone = Zone(id: 0x1234, direction: .original) },
        RareAttribute(description: "zone, reply") { $0.zone = Zone(id: 9, direction: .reply) },
        RareAttribute(description: "labels") { flow in
            flow.attributes.insert(.labels)
            flow.labels.low = 1 << 63 | 1 << 5
            flow.labels.high = 1 << 1
        },
        RareAttribute(description: "helper") { flow in
            flow.attributes.insert(.helper)
            flow.status.insert(.helper)
            flow.helper = Flow.HelperName("ftp") ?? Flow.HelperName()
        },
        RareAttribute(description: "helper, longest name") { flow in
            flow.attributes.insert(.helper)
            flow.status.insert(.helper)
            flow.helper = Flow.HelperName("netbios-ns-long") ?? Flow.HelperName()
        },
        RareAttribute(description: "sequence adjustment") { flow in
            flow.attributes.insert(.sequenceAdjustment)
            flow.status.insert(.sequenceAdjusted)
            flow.sequenceAdjustmentOriginal.correctionPosition = 0x0102_0304
            flow.sequenceAdjustmentOriginal.offsetBefore = 5
            flow.sequenceAdjustmentOriginal.offsetAfter = .max - 2
            flow.sequenceAdjustmentReply.correctionPosition = 0x0a0b_0c0d
            flow.sequenceAdjustmentReply.offsetBefore = .max
            flow.sequenceAdjustmentReply.offsetAfter = 9
        },
        RareAttribute(description: "master") { flow in
            flow.attributes.insert(.master)
            flow.master = flow.original
            flow.master.key = ProtocolKey(sourcePort: 40_000, destinationPort: 21)
        },
        RareAttribute(description: "SYNPROXY") { flow in
            flow.attributes.insert(.synproxy)
            flow.synproxy.initialSequenceNumber = 0x0102_0304
            flow.synproxy.initialTimestamp = 0x0506_0708
            flow.synproxy.timestampOffset = 0x090a_0b0c
        },
    ]
}
