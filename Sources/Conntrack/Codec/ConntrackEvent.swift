public import Flow

/// What the kernel says of one flow: an event, or an entry of a dump.
///
/// | offset | size | field |
/// | --- | --- | --- |
/// | 0 | 4 | message length, host order |
/// | 4 | 2 | type: subsystem (high byte), message |
/// | 6 | 2 | flags |
/// | 8 | 4 | sequence number |
/// | 12 | 4 | port ID of the socket that caused the event |
/// | 16 | 1 | address family |
/// | 17 | 3 | nfnetlink version, resource |
/// | 20 | … | attributes |
public struct ConntrackEvent: Sendable {
    /// What happened to the flow.
    public enum Kind: UInt8, Sendable {
        /// The kernel has a new flow.
        case new
        /// A known flow changed, or a dump lists it.
        case update
        /// The flow is gone.
        case destroy
    }

    /// What happened.
    public var kind: Kind
    /// The port ID of the netlink socket that caused the event; 0 if a packet or a timeout did.
    public var portID: UInt32
    /// The flow, with the attributes that the message carries.
    public var flow: Flow

    /// An event of its parts.
    public init(kind: Kind, portID: UInt32, flow: Flow) {
        self.kind = kind
        self.portID = portID
        self.flow = flow
    }

    /// Decodes one whole netlink message.
    ///
    /// - Parameter message: the bytes from `nlmsghdr` on; bytes after the message's own length are ignored.
    /// - Throws: `MessageDefect`, with what is wrong; never traps, whatever the bytes.
    public init(decoding message: RawSpan) throws(MessageDefect) {
        guard message.byteCount >= Netlink.flowHeaderByteCount else { throw .truncatedMessage }
        let byteCount = Int(message.word(at: 0, as: UInt32.self))
        guard byteCount >= Netlink.flowHeaderByteCount, byteCount <= message.byteCount else {
            throw .truncatedMessage
        }
        switch message.word(at: 4, as: UInt16.self) {
        case Netlink.messageNew:
            let flags = message.word(at: 6, as: UInt16.self)
            // ctnetlink marks events of new entries with both flags, of changed ones with neither.
            kind = flags & (Netlink.create | Netlink.exclusive) != 0 ? .new : .update
        case Netlink.messageDelete:
            kind = .destroy
        default:
            throw .foreignType
        }
        portID = message.word(at: 12, as: UInt32.self)
        flow = Flow(
            original: Tuple(
                source: .zero,
                destination: .zero,
                key: ProtocolKey(raw: 0),
                protocolNumber: 0,
                family: .ipv4
            )
        )
        try FlowDecoder.decode(message, end: byteCount, into: &flow)
    }
}
