internal import CNetfilter
public import SystemIO

/// The kernel's stream of conntrack events: new, changed and destroyed flows of this network namespace.
///
/// Each event is a message of its own in the socket's buffer, and waking up for each costs more than handling it, on
/// the forwarding path too (DESIGN §3): let them gather, then drain. A buffer that runs full loses events; that is
/// counted, and the cure is a dump.
public struct EventStream: ~Copyable {
    /// What one `drain` did.
    public struct DrainResult: Sendable {
        /// Messages handled, malformed ones included.
        public var messageCount = 0
        /// Whether nothing was left waiting.
        public var isEmpty = false
        /// How often the kernel reported lost events.
        public var overrunCount = 0
        /// Messages that were no conntrack events, by cause; they changed nothing.
        public var defects = MessageDefectCounts()
    }

    private let socket: NetlinkSocket
    private var batch = MessageBatch()
    /// Bytes of the socket's buffer in force.
    public private(set) var bufferByteCount: Int
    /// Whether the kernel drops what the attached filter excludes.
    public private(set) var isFiltered: Bool

    private init(_ socket: consuming NetlinkSocket, bufferByteCount: Int, isFiltered: Bool) {
        self.socket = socket
        self.bufferByteCount = bufferByteCount
        self.isFiltered = isFiltered
    }

    /// Subscribes to the events of the calling thread's network namespace.
    ///
    /// - Parameters:
    ///   - bufferByteCount: the socket's buffer; `bufferByteCount` says what came of it.
    ///   - filter: events that the kernel need not send; attached before the first one can arrive.
    /// - Throws: `SystemError`; `EPERM` from `bind` means that CAP_NET_ADMIN is missing.
    public static func open(
        bufferByteCount: Int,
        filter: KernelFilter? = nil
    ) throws(SystemError) -> EventStream {
        let socket = try NetlinkSocket.open(purpose: "conntrack events")
        let actual = try socket.setReceiveBuffer(byteCount: bufferByteCount)
        var isFiltered = false
        if let filter {
            try filter.attach(to: socket.descriptor)
            isFiltered = true
        }
        let groups = NF_NETLINK_CONNTRACK_NEW | NF_NETLINK_CONNTRACK_UPDATE | NF_NETLINK_CONNTRACK_DESTROY
        try socket.bind(groups: UInt32(groups))
        return EventStream(socket, bufferByteCount: actual, isFiltered: isFiltered)
    }

    /// The descriptor to watch; readable while events wait.
    public var descriptor: Int32 { socket.descriptor }

    /// Replaces the filter that the kernel applies; events already waiting stay.
    public mutating func attach(_ filter: KernelFilter) throws(SystemError) {
        try filter.attach(to: socket.descriptor)
        isFiltered = true
    }

    /// Asks for a larger buffer and returns the byte count that is in force.
    ///
    /// Less than asked for means that `net.core.rmem_max` stands in the way of a process without CAP_NET_ADMIN.
    @discardableResult
    public mutating func growBuffer(to byteCount: Int) throws(SystemError) -> Int {
        bufferByteCount = try socket.setReceiveBuffer(byteCount: byteCount)
        return bufferByteCount
    }

    /// Hands the waiting events to `body`, until none is left or the limit is reached.
    ///
    /// - Throws: `SystemError` if the socket itself failed; lost events and malformed messages are counted instead.
    public mutating func drain(
        limitMessages: Int,
        _ body: (borrowing ConntrackEvent) -> Void
    ) throws(SystemError) -> DrainResult {
        var result = DrainResult()
        while result.messageCount < limitMessages {
            let countMax = min(limitMessages - result.messageCount, MessageBatch.messageCountMax)
            switch try batch.receive(from: socket.descriptor, countMax: countMax, purpose: "conntrack events") {
            case .overrun:
                result.overrunCount += 1
            case .messages(let count):
                for index in 0..<count { Self.decode(batch.message(at: index), &result, body) }
                if count < countMax {
                    result.isEmpty = true
                    return result
                }
            }
        }
        return result
    }

    private static func decode(
        _ bytes: RawSpan,
        _ result: inout DrainResult,
        _ body: (borrowing ConntrackEvent) -> Void
    ) {
        var messages = MessageReader(bytes)
        while true {
            do throws(MessageDefect) {
                guard try messages.next() else { return }
                result.messageCount += 1
                body(try ConntrackEvent(decoding: messages.message))
            } catch {
                result.defects.count(error)
                if error == .truncatedMessage { return }
            }
        }
    }
}
