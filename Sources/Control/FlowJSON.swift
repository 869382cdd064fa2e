public import Flow

/// One flow of a dump as one line of JSON.
///
/// Written by hand: a dump has as many lines as the cache has flows, and JSONEncoder would make a dictionary of each.
/// Keys stand in a fixed order; attributes that are not known are left out.
public enum FlowJSON {
    /// Appends the line of `flow`, its newline included.
    public static func append(_ flow: Flow, activeSeconds: UInt32, to output: inout [UInt8]) {
        var object = JSONObject(byteCountExpected: 512)
        write(flow, activeSeconds: activeSeconds, to: &object)
        object.end()
        output.append(contentsOf: object.bytes)
        output.append(UInt8(ascii: "\n"))
    }

    private static func write(_ flow: Flow, activeSeconds: UInt32, to object: inout JSONObject) {
        let known = flow.attributes
        let number = flow.original.protocolNumber
        object.field("protocol", IPProtocol.names.first { $0.number == number }?.name ?? "unknown")
        object.field("protocolNumber", UInt64(number))
        if known.contains(.protocolState), let name = ProtocolStateName.of(flow.protocolState, number) {
            object.field("state", name)
        }
        tuple("original", flow.original, to: &object)
        tuple("reply", flow.reply, to: &object)
        if flow.zone.id != 0 {
            object.field("zone", UInt64(flow.zone.id))
            let direction =
                switch flow.zone.direction {
                case .both: "both"
                case .original: "original"
                case .reply: "reply"
                }
            object.field("zoneDirection", direction)
        }
        if known.contains(.status) { status(flow.status, to: &object) }
        if known.contains(.timeout) { object.field("timeoutSeconds", UInt64(flow.timeoutSeconds)) }
        if known.contains(.mark) { object.field("mark", UInt64(flow.mark)) }
        if known.contains(.labels) { object.field("labels", hex(flow.labels)) }
        if known.contains(.helper) { object.field("helper", flow.helper.text) }
        if known.contains(.tcpWindowScale) {
            object.field("windowScaleOriginal", UInt64(flow.tcp.windowScaleOriginal))
            object.field("windowScaleReply", UInt64(flow.tcp.windowScaleReply))
        }
        if known.contains(.master) { tuple("master", flow.master, to: &object) }
        object.field("activeSeconds", UInt64(activeSeconds))
    }

    private static func tuple(_ name: String, _ tuple: Tuple, to object: inout JSONObject) {
        object.begin(name)
        object.field("source", tuple.source.text(tuple.family))
        object.field("destination", tuple.destination.text(tuple.family))
        if IPProtocol.isICMP(tuple.protocolNumber) {
            object.field("icmpType", UInt64(tuple.key.icmpType))
            object.field("icmpCode", UInt64(tuple.key.icmpCode))
            object.field("icmpIdentifier", UInt64(tuple.key.icmpIdentifier))
        } else if IPProtocol.hasPorts(tuple.protocolNumber) {
            let isGRE = tuple.protocolNumber == IPProtocol.gre
            object.field(isGRE ? "sourceKey" : "sourcePort", UInt64(tuple.key.sourcePort))
            object.field(isGRE ? "destinationKey" : "destinationPort", UInt64(tuple.key.destinationPort))
        }
        object.end()
    }

    private static func status(_ status: FlowStatus, to object: inout JSONObject) {
        object.field("seenReply", status.contains(.seenReply))
        object.field("assured", status.contains(.assured))
        object.field("sourceNAT", status.contains(.sourceNAT))
        object.field("destinationNAT", status.contains(.destinationNAT))
        object.field("status", UInt64(status.rawValue))
    }

    /// The 128 label bits as the kernel lays them in memory, two digits per byte.
    private static func hex(_ labels: Flow.Labels) -> String {
        func digits(_ word: UInt64) -> String {
            let text = String(word.bigEndian, radix: 16)
            return String(repeating: "0", count: 16 - text.utf8.count) + text
        }
        return digits(labels.low) + digits(labels.high)
    }
}

/// The names of the kernel's protocol states, as `conntrack -L` prints them.
enum ProtocolStateName {
    private static let tcp = [
        "NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE",
        "SYN_SENT2",
    ]
    private static let sctp = [
        "NONE", "CLOSED", "COOKIE_WAIT", "COOKIE_ECHOED", "ESTABLISHED", "SHUTDOWN_SENT", "SHUTDOWN_RECD",
        "SHUTDOWN_ACK_SENT", "HEARTBEAT_SENT", "HEARTBEAT_ACKED",
    ]
    private static let dccp = [
        "NONE", "REQUEST", "RESPOND", "PARTOPEN", "OPEN", "CLOSEREQ", "CLOSING", "TIMEWAIT", "IGNORE", "INVALID",
    ]

    /// The name of a state; nil if the protocol has no states or the kernel knows one that we do not.
    static func of(_ state: UInt8, _ protocolNumber: UInt8) -> String? {
        let names =
            switch protocolNumber {
            case IPProtocol.tcp: tcp
            case IPProtocol.sctp: sctp
            case IPProtocol.dccp: dccp
            default: [String]()
            }
        return Int(state) < names.count ? names[Int(state)] : nil
    }
}

/// A JSON object that is written field by field.
private struct JSONObject {
    /// What has been written so far.
    private(set) var bytes: [UInt8]
    private var needsComma = false

    /// Opens an object that will have about so many bytes.
    init(byteCountExpected: Int) {
        bytes = []
        bytes.reserveCapacity(byteCountExpected)
        bytes.append(UInt8(ascii: "{"))
    }

    mutating func begin(_ name: String) {
        key(name)
        bytes.append(UInt8(ascii: "{"))
        needsComma = false
    }

    mutating func end() {
        bytes.append(UInt8(ascii: "}"))
        needsComma = true
    }

    mutating func field(_ name: String, _ value: UInt64) {
        key(name)
        bytes.append(contentsOf: String(value).utf8)
    }

    mutating func field(_ name: String, _ value: Bool) {
        key(name)
        bytes.append(contentsOf: (value ? "true" : "false").utf8)
    }

    /// A text field.
    ///
    /// Helper names come from a peer, so whatever JSON does not take as it stands is escaped.
    mutating func field(_ name: String, _ value: String) {
        key(name)
        bytes.append(UInt8(ascii: "\""))
        for byte in value.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(byte)
            case 0..<0x20:
                bytes.append(contentsOf: "\\u00".utf8)
                bytes.append(contentsOf: (byte < 16 ? "0" : "").utf8)
                bytes.append(contentsOf: String(byte, radix: 16).utf8)
            default:
                bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private mutating func key(_ name: String) {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = true
        bytes.append(UInt8(ascii: "\""))
        bytes.append(contentsOf: name.utf8)
        bytes.append(contentsOf: "\":".utf8)
    }
}
