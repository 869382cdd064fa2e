public import Flow

/// One flow of a dump as one line of JSON.
///
/// Written by hand into a reused buffer: a dump has as many lines as the cache has flows, and JSONEncoder would make
/// a dictionary of each. Keys stand in a fixed order; attributes that are not known are left out.
public enum FlowJSON {
    /// Appends the line of `flow`, its newline included.
    public static func append(_ flow: Flow, activeSeconds: UInt32, to output: inout [UInt8]) {
        // The buffer is moved, not shared: a second owner would make every append copy all lines before it.
        var buffer: [UInt8] = []
        swap(&buffer, &output)
        var object = JSONObject(output: consume buffer)
        write(flow, activeSeconds: activeSeconds, to: &object)
        object.end()
        output = object.finish()
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
    /// The bytes written so far, and whatever stood before them.
    private var output: [UInt8]
    private var needsComma = false

    /// Opens an object at the end of `output`.
    init(output: consuming [UInt8]) {
        self.output = output
        self.output.append(UInt8(ascii: "{"))
    }

    /// Hands the bytes back.
    consuming func finish() -> [UInt8] { output }

    mutating func begin(_ name: String) {
        key(name)
        output.append(UInt8(ascii: "{"))
        needsComma = false
    }

    mutating func end() {
        output.append(UInt8(ascii: "}"))
        needsComma = true
    }

    mutating func field(_ name: String, _ value: UInt64) {
        key(name)
        output.append(contentsOf: String(value).utf8)
    }

    mutating func field(_ name: String, _ value: Bool) {
        key(name)
        output.append(contentsOf: (value ? "true" : "false").utf8)
    }

    /// A text field.
    ///
    /// Helper names come from a peer, so whatever JSON does not take as it stands is escaped.
    mutating func field(_ name: String, _ value: String) {
        key(name)
        output.append(UInt8(ascii: "\""))
        for byte in value.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                output.append(UInt8(ascii: "\\"))
                output.append(byte)
            case 0..<0x20:
                output.append(contentsOf: "\\u00".utf8)
                output.append(contentsOf: (byte < 16 ? "0" : "").utf8)
                output.append(contentsOf: String(byte, radix: 16).utf8)
            default:
                output.append(byte)
            }
        }
        output.append(UInt8(ascii: "\""))
    }

    private mutating func key(_ name: String) {
        if needsComma { output.append(UInt8(ascii: ",")) }
        needsComma = true
        output.append(UInt8(ascii: "\""))
        output.append(contentsOf: name.utf8)
        output.append(contentsOf: "\":".utf8)
    }
}
