/// What went over a link since the start, and what did not.
public struct LinkCounters: Sendable, Equatable {
    /// Datagrams the kernel took; one to each peer counts each.
    public var datagramsSent: UInt64 = 0
    /// Payload bytes of these.
    public var bytesSent: UInt64 = 0
    /// Datagrams not sent, by errno.
    public var sendErrors: [Int32: UInt64] = [:]
    /// Datagrams not sent because the link was not live.
    public var droppedNotLive: UInt64 = 0
    /// Datagrams accepted.
    public var datagramsReceived: UInt64 = 0
    /// Payload bytes of these.
    public var bytesReceived: UInt64 = 0
    /// Failed receive calls.
    public var receiveErrors: UInt64 = 0
    /// Datagrams that came in by another interface.
    public var droppedForeignInterface: UInt64 = 0
    /// Datagrams from a host that is no listed peer (udp).
    public var droppedForeignAddress: UInt64 = 0
    /// Datagrams longer than any node sends.
    public var droppedTruncated: UInt64 = 0
    /// Datagrams the kernel discarded: the receive buffer was full, or the checksum wrong.
    public var droppedByKernel: UInt64 = 0
    /// Datagrams for a peer that no connection led to, or whose connection broke in the midst of them (tcp).
    public var droppedNotConnected: UInt64 = 0
    /// Datagrams not sent because the connection's send buffer was full (tcp).
    public var droppedBufferFull: UInt64 = 0
    /// Datagrams whose connection broke before they were there as a whole (tcp).
    public var droppedIncomplete: UInt64 = 0
    /// Connections to peers that came about (tcp).
    public var connectionsOpened: UInt64 = 0
    /// Connections of hosts that are no listed peers, closed at once (tcp).
    public var connectionsRefused: UInt64 = 0
    /// Connections closed because bytes came over them that are no datagrams (tcp).
    public var connectionsGarbled: UInt64 = 0

    /// All counters at 0.
    public init() {}

    /// Datagrams not sent, whatever the errno.
    public var sendErrorCount: UInt64 { sendErrors.values.reduce(0, +) }
}
