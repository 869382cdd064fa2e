/// One tracked connection, unpacked: what a kernel message or a record says of it.
///
/// All attributes are values of fixed size, so decoding a message allocates nothing. Optional attributes count only if
/// their bit is in `attributes`: kernel events leave out what did not change.
public struct Flow: BitwiseCopyable, Sendable {
    /// The attributes that a flow may or may not carry.
    public struct Attributes: OptionSet, Hashable, BitwiseCopyable, Sendable {
        /// One bit per attribute; internal to this process.
        public let rawValue: UInt16

        /// A set of attribute bits.
        @inlinable
        public init(rawValue: UInt16) { self.rawValue = rawValue }

        /// `status` (`CTA_STATUS`).
        @inlinable public static var status: Attributes { Attributes(rawValue: 1 << 0) }
        /// `timeoutSeconds` (`CTA_TIMEOUT`).
        @inlinable public static var timeout: Attributes { Attributes(rawValue: 1 << 1) }
        /// `mark` (`CTA_MARK`).
        @inlinable public static var mark: Attributes { Attributes(rawValue: 1 << 2) }
        /// `protocolState` (`CTA_PROTOINFO`: TCP, SCTP or DCCP state).
        @inlinable public static var protocolState: Attributes { Attributes(rawValue: 1 << 3) }
        /// `tcp.flagsOriginal` and `tcp.flagsReply` (`CTA_PROTOINFO_TCP_FLAGS_*`).
        @inlinable public static var tcpFlags: Attributes { Attributes(rawValue: 1 << 4) }
        /// `tcp.windowScaleOriginal` and `tcp.windowScaleReply` (`CTA_PROTOINFO_TCP_WSCALE_*`).
        @inlinable public static var tcpWindowScale: Attributes { Attributes(rawValue: 1 << 5) }
        /// `labels` (`CTA_LABELS`).
        @inlinable public static var labels: Attributes { Attributes(rawValue: 1 << 6) }
        /// `helper` (`CTA_HELP_NAME`).
        @inlinable public static var helper: Attributes { Attributes(rawValue: 1 << 7) }
        /// `sequenceAdjustmentOriginal` and `…Reply` (`CTA_SEQ_ADJ_*`).
        @inlinable public static var sequenceAdjustment: Attributes { Attributes(rawValue: 1 << 8) }
        /// `master` (`CTA_TUPLE_MASTER`).
        @inlinable public static var master: Attributes { Attributes(rawValue: 1 << 9) }
        /// `sctpVerificationTags` (`CTA_PROTOINFO_SCTP_VTAG_*`).
        @inlinable public static var sctpVerificationTags: Attributes { Attributes(rawValue: 1 << 10) }
        /// `dccp` (`CTA_PROTOINFO_DCCP_ROLE`, `…_HANDSHAKE_SEQ`).
        @inlinable public static var dccp: Attributes { Attributes(rawValue: 1 << 11) }
        /// `synproxy` (`CTA_SYNPROXY`).
        @inlinable public static var synproxy: Attributes { Attributes(rawValue: 1 << 12) }
    }

    /// TCP details beside the state.
    public struct TCP: Hashable, BitwiseCopyable, Sendable {
        /// `IP_CT_TCP_FLAG_*` bits of the original direction.
        public var flagsOriginal: UInt8 = 0
        /// `IP_CT_TCP_FLAG_*` bits of the reply direction.
        public var flagsReply: UInt8 = 0
        /// Window scale shift (0…14) of the original direction.
        public var windowScaleOriginal: UInt8 = 0
        /// Window scale shift (0…14) of the reply direction.
        public var windowScaleReply: UInt8 = 0

        /// No flags, no scaling.
        public init() {}
    }

    /// A TCP sequence adjustment of one direction (`enum ctattr_seqadj`), host order.
    public struct SequenceAdjustment: Hashable, BitwiseCopyable, Sendable {
        /// The sequence number from which `offsetAfter` holds.
        public var correctionPosition: UInt32 = 0
        /// What is added before that position, two's complement.
        public var offsetBefore: UInt32 = 0
        /// What is added from that position on, two's complement.
        public var offsetAfter: UInt32 = 0

        /// No adjustment.
        public init() {}
    }

    /// SYNPROXY's values (`enum ctattr_synproxy`), host order.
    public struct Synproxy: Hashable, BitwiseCopyable, Sendable {
        /// The initial sequence number.
        public var initialSequenceNumber: UInt32 = 0
        /// The initial timestamp.
        public var initialTimestamp: UInt32 = 0
        /// The timestamp offset.
        public var timestampOffset: UInt32 = 0

        /// All zero.
        public init() {}
    }

    /// Connection labels, 128 bits as the kernel lays them in memory (`CTA_LABELS`).
    public struct Labels: Hashable, BitwiseCopyable, Sendable {
        /// Bits 0…63 as they lie in memory.
        public var low: UInt64 = 0
        /// Bits 64…127 as they lie in memory.
        public var high: UInt64 = 0

        /// No label set.
        public init() {}
    }

    /// A helper's name, at most 15 bytes of ASCII, padded with zeros to 16 (`NF_CT_HELPER_NAME_LEN`).
    public struct HelperName: Hashable, BitwiseCopyable, Sendable {
        /// Bytes 0…7 as they lie in memory.
        public var low: UInt64 = 0
        /// Bytes 8…15 as they lie in memory; the last byte is 0.
        public var high: UInt64 = 0

        /// The empty name.
        public init() {}

        /// A name of ASCII text; nil if it is longer than 15 bytes.
        public init?(_ text: String) {
            let bytes = Array(text.utf8)
            guard bytes.count <= 15 else { return nil }
            for (index, byte) in bytes.enumerated() {
                let shifted = UInt64(byte) << UInt64((index & 7) * 8)
                if index < 8 { low |= shifted.littleEndian } else { high |= shifted.littleEndian }
            }
        }

        /// The name as text, up to the first zero byte.
        public var text: String {
            var bytes: [UInt8] = []
            for index in 0..<16 {
                let word = index < 8 ? low : high
                let byte = UInt8(truncatingIfNeeded: word.littleEndian >> UInt64((index & 7) * 8))
                if byte == 0 { break }
                bytes.append(byte)
            }
            return String(decoding: bytes, as: UTF8.self)
        }
    }

    /// The original direction: the first packet's tuple.
    public var original: Tuple
    /// The reply direction; it differs from `original.inverted` by what NAT translates.
    public var reply: Tuple
    /// The conntrack zone.
    public var zone: Zone = .standard
    /// Which of the attributes below are known.
    public var attributes: Attributes = []
    /// The kernel's status bits.
    public var status: FlowStatus = []
    /// Seconds left until the flow expires.
    public var timeoutSeconds: UInt32 = 0
    /// The connection mark, host order.
    public var mark: UInt32 = 0
    /// TCP, SCTP or DCCP state, as the kernel numbers it.
    public var protocolState: UInt8 = 0
    /// TCP flags and window scales.
    public var tcp = TCP()
    /// Connection labels.
    public var labels = Labels()
    /// The conntrack helper's name.
    public var helper = HelperName()
    /// The sequence adjustment of the original direction.
    public var sequenceAdjustmentOriginal = SequenceAdjustment()
    /// The sequence adjustment of the reply direction.
    public var sequenceAdjustmentReply = SequenceAdjustment()
    /// The original tuple of the flow that this one was expected by.
    public var master: Tuple
    /// SCTP verification tags, original and reply, as they lie in memory (network order).
    public var sctpVerificationTags: (original: UInt32, reply: UInt32) = (0, 0)
    /// DCCP role (0 client, 1 server) and handshake sequence number (host order).
    public var dccp: (role: UInt8, handshakeSequence: UInt64) = (0, 0)
    /// SYNPROXY's values.
    public var synproxy = Synproxy()

    /// A flow of its two tuples, with no attributes.
    @inlinable
    public init(original: Tuple, reply: Tuple) {
        self.original = original
        self.reply = reply
        self.master = original
    }

    /// An untranslated flow of its original tuple, with no attributes.
    @inlinable
    public init(original: Tuple) {
        self.init(original: original, reply: original.inverted)
    }

    /// What tells this flow from every other one.
    @inlinable
    public var identity: FlowIdentity {
        FlowIdentity(tuple: original, zone: zone)
    }

    /// Takes over every attribute that `news` carries and keeps the others: how an event changes a known flow.
    ///
    /// The tuples are taken from `news`, since every kernel message carries both. An offloaded flow's messages carry
    /// neither timeout nor TCP state: those last known stay (DESIGN §3).
    public mutating func merge(_ news: Flow) {
        original = news.original
        reply = news.reply
        zone = news.zone
        let present = news.attributes
        if present.contains(.status) { status = news.status }
        if present.contains(.timeout) { timeoutSeconds = news.timeoutSeconds }
        if present.contains(.mark) { mark = news.mark }
        if present.contains(.protocolState) { protocolState = news.protocolState }
        if present.contains(.tcpFlags) {
            tcp.flagsOriginal = news.tcp.flagsOriginal
            tcp.flagsReply = news.tcp.flagsReply
        }
        if present.contains(.tcpWindowScale) {
            tcp.windowScaleOriginal = news.tcp.windowScaleOriginal
            tcp.windowScaleReply = news.tcp.windowScaleReply
        }
        if present.contains(.labels) { labels = news.labels }
        if present.contains(.helper) { helper = news.helper }
        if present.contains(.sequenceAdjustment) {
            sequenceAdjustmentOriginal = news.sequenceAdjustmentOriginal
            sequenceAdjustmentReply = news.sequenceAdjustmentReply
        }
        if present.contains(.master) { master = news.master }
        if present.contains(.sctpVerificationTags) { sctpVerificationTags = news.sctpVerificationTags }
        if present.contains(.dccp) { dccp = news.dccp }
        if present.contains(.synproxy) { synproxy = news.synproxy }
        attributes.formUnion(present)
    }
}
