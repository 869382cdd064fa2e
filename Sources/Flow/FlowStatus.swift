/// The kernel's status bits of a flow (`enum ip_conntrack_status`, `nf_conntrack_common.h`).
public struct FlowStatus: OptionSet, Hashable, BitwiseCopyable, Sendable {
    /// The bits as the kernel numbers them.
    public let rawValue: UInt16

    /// A set of the bits as the kernel numbers them.
    @inlinable
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// The flow was expected (it has a master).
    public static let expected = FlowStatus(rawValue: 0x1)
    /// Packets were seen in both directions.
    public static let seenReply = FlowStatus(rawValue: 0x2)
    /// The flow is not dropped early when the table is full.
    public static let assured = FlowStatus(rawValue: 0x4)
    /// The flow is in the table.
    public static let confirmed = FlowStatus(rawValue: 0x8)
    /// The source is translated.
    public static let sourceNAT = FlowStatus(rawValue: 0x10)
    /// The destination is translated.
    public static let destinationNAT = FlowStatus(rawValue: 0x20)
    /// TCP sequence numbers are adjusted.
    public static let sequenceAdjusted = FlowStatus(rawValue: 0x40)
    /// Source NAT was set up (even if nothing is translated).
    public static let sourceNATDone = FlowStatus(rawValue: 0x80)
    /// Destination NAT was set up (even if nothing is translated).
    public static let destinationNATDone = FlowStatus(rawValue: 0x100)
    /// The flow is being deleted.
    public static let dying = FlowStatus(rawValue: 0x200)
    /// The timeout does not change.
    public static let fixedTimeout = FlowStatus(rawValue: 0x400)
    /// A template, never a flow of its own.
    public static let template = FlowStatus(rawValue: 0x800)
    /// A translation clashed.
    public static let natClash = FlowStatus(rawValue: 0x1000)
    /// A helper was set explicitly.
    public static let helper = FlowStatus(rawValue: 0x2000)
    /// Packets go through a flowtable.
    public static let offload = FlowStatus(rawValue: 0x4000)
    /// Packets go through hardware.
    public static let hardwareOffload = FlowStatus(rawValue: 0x8000)

    /// Bits that belong to one kernel's handling of the flow and are not set in another's (DESIGN §3).
    public static let ownedByKernel: FlowStatus = [
        .expected, .sourceNAT, .destinationNAT, .sourceNATDone, .destinationNATDone, .dying, .template, .natClash,
        .offload, .hardwareOffload,
    ]
}

/// The kernel's TCP states (`enum tcp_conntrack`, `nf_conntrack_tcp.h`).
public enum TCPState: UInt8, Sendable {
    /// No state.
    case none = 0
    /// SYN seen.
    case synSent = 1
    /// SYN/ACK seen.
    case synReceived = 2
    /// Established.
    case established = 3
    /// FIN seen.
    case finWait = 4
    /// FIN answered.
    case closeWait = 5
    /// FIN seen in both directions.
    case lastAck = 6
    /// Last ACK seen.
    case timeWait = 7
    /// RST seen.
    case close = 8
    /// SYN seen in both directions.
    case synSent2 = 9
}
