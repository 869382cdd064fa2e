/// The kernel's status bits of a flow (`enum ip_conntrack_status`, `nf_conntrack_common.h`).
public struct FlowStatus: OptionSet, Hashable, BitwiseCopyable, Sendable {
    /// The bits as the kernel numbers them.
    public let rawValue: UInt16

    /// A set of the bits as the kernel numbers them.
    @inlinable
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// The flow was expected (it has a master).
    @inlinable public static var expected: FlowStatus { FlowStatus(rawValue: 0x1) }
    /// Packets were seen in both directions.
    @inlinable public static var seenReply: FlowStatus { FlowStatus(rawValue: 0x2) }
    /// The flow is not dropped early when the table is full.
    @inlinable public static var assured: FlowStatus { FlowStatus(rawValue: 0x4) }
    /// The flow is in the table.
    @inlinable public static var confirmed: FlowStatus { FlowStatus(rawValue: 0x8) }
    /// The source is translated.
    @inlinable public static var sourceNAT: FlowStatus { FlowStatus(rawValue: 0x10) }
    /// The destination is translated.
    @inlinable public static var destinationNAT: FlowStatus { FlowStatus(rawValue: 0x20) }
    /// TCP sequence numbers are adjusted.
    @inlinable public static var sequenceAdjusted: FlowStatus { FlowStatus(rawValue: 0x40) }
    /// Source NAT was set up (even if nothing is translated).
    @inlinable public static var sourceNATDone: FlowStatus { FlowStatus(rawValue: 0x80) }
    /// Destination NAT was set up (even if nothing is translated).
    @inlinable public static var destinationNATDone: FlowStatus { FlowStatus(rawValue: 0x100) }
    /// The flow is being deleted.
    @inlinable public static var dying: FlowStatus { FlowStatus(rawValue: 0x200) }
    /// The timeout does not change.
    @inlinable public static var fixedTimeout: FlowStatus { FlowStatus(rawValue: 0x400) }
    /// A template, never a flow of its own.
    @inlinable public static var template: FlowStatus { FlowStatus(rawValue: 0x800) }
    /// A translation clashed.
    @inlinable public static var natClash: FlowStatus { FlowStatus(rawValue: 0x1000) }
    /// A helper was set explicitly.
    @inlinable public static var helper: FlowStatus { FlowStatus(rawValue: 0x2000) }
    /// Packets go through a flowtable.
    @inlinable public static var offload: FlowStatus { FlowStatus(rawValue: 0x4000) }
    /// Packets go through hardware.
    @inlinable public static var hardwareOffload: FlowStatus { FlowStatus(rawValue: 0x8000) }

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
