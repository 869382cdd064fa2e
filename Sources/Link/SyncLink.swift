internal import CLinux
internal import Glibc
public import SystemIO

/// What `SyncLink.refresh(with:)` did, with a line for the log.
public enum LinkChange: Equatable, Sendable {
    /// The link went live, or was reopened: watch this descriptor from now on.
    case opened(descriptor: Int32, text: String)
    /// The link is no longer live; its descriptor is closed and has left epoll by itself.
    case closed(text: String)
    /// The link is still not live, for another reason than before.
    case waiting(text: String)
    /// The link is live as before, with another `payloadByteCountMax`.
    case resized(text: String)
}

/// One sync link: datagrams to and from the peers over one interface, by multicast, UDP or TCP.
///
/// It never fails to exist. While its interface is missing, down, without address, or its port taken, it is not live,
/// `stateText` says why, and what is sent is counted and dropped: the protocol above sends again what matters. Call
/// `refresh(with:)` at the start, whenever the `InterfaceMonitor` reports a change, and every second or so while the
/// link is not live (a port that becomes free, say, is reported by nobody). A tcp link also wants `step(now:)` when
/// `nextDeadline()` has come; the others never do.
public struct SyncLink: ~Copyable {
    /// What the link was made for.
    public let settings: LinkSettings
    /// Bytes that one datagram may carry: the MTU less the headers (udp, multicast), at most 8,900.
    ///
    /// Kept while the link is not live.
    public private(set) var payloadByteCountMax: Int
    private var state = "not started"
    private var socket: LinkSocket?
    private var stream: TCPLink?
    private var totals = LinkCounters()
    private let peers: [IPAddress]

    /// A link that is not live yet.
    public init(_ settings: LinkSettings) {
        self.settings = settings
        // What every network carries (IPv6's smallest MTU), until the interface is known.
        payloadByteCountMax = 1_280 - 48
        switch settings.transport {
        case .multicast:
            peers = []
        case .udp(_, let listed, _):
            peers = listed
        case .tcp(_, let listed, _):
            peers = listed
            payloadByteCountMax = LinkPlan.payloadByteCountLimit
        }
    }

    /// `live`, or why it is not; of a tcp link also which peers are connected.
    public var stateText: String {
        guard let stream else { return state }
        return "\(state); \(stream.peerText)"
    }

    /// Whether the link's sockets are open: datagrams can be received, and sent unless `canSend` says otherwise.
    public var isLive: Bool { descriptor != nil }

    /// Whether datagrams can be sent to anybody now: for tcp that takes a connection, for the others no more than to be
    /// live.
    public var canSend: Bool { stream.map(\.isConnected) ?? isLive }

    /// The descriptor to watch for reading; nil while the link is not live.
    ///
    /// Of a tcp link it is an epoll that holds its sockets.
    public var descriptor: Int32? {
        if let stream { return stream.descriptor }
        switch socket {
        case .some(let socket): return socket.descriptor.rawValue
        case .none: return nil
        }
    }

    /// All counters; costs two system calls while the link is live.
    public var counters: LinkCounters {
        var sum = totals
        switch socket {
        case .some(let socket):
            sum.droppedForeignInterface += socket.strayCount
            sum.droppedByKernel += socket.dropCount
        case .none:
            break
        }
        return sum
    }

    /// Opens, closes or reopens the sockets as the interfaces now are; nil if nothing changed.
    public mutating func refresh(with interfaces: [Interface]) -> LinkChange? {
        switch LinkPlan(settings, interfaces) {
        case .wait(let reason):
            return close(reason)
        case .open(let plan):
            if plan.interfaceIndex == openInterfaceIndex {
                return resize(plan)
            }
            return open(plan)
        }
    }

    /// Dials, gives up and dials again what a tcp link connects to; `now` is monotonic, in nanoseconds.
    public mutating func step(now: UInt64) {
        stream?.step(now: now, &totals)
    }

    /// When `step` wants to run: nil if there is nothing to wait for, a time in the past for at once.
    ///
    /// Ask after every other call: all can change it.
    public func nextDeadline() -> UInt64? { stream?.deadline }

    private var openInterfaceIndex: UInt32? {
        if let stream { return stream.interfaceIndex }
        switch socket {
        case .some(let socket): return socket.interfaceIndex
        case .none: return nil
        }
    }

    private mutating func resize(_ plan: OpenPlan) -> LinkChange? {
        guard plan.payloadByteCountMax != payloadByteCountMax else { return nil }
        payloadByteCountMax = plan.payloadByteCountMax
        return .resized(text: "\(settings): datagrams now carry up to \(payloadByteCountMax) bytes")
    }

    private mutating func open(_ plan: OpenPlan) -> LinkChange? {
        let wasLive = isLive
        retire()
        do {
            let bufferByteCount = try openSockets(plan)
            payloadByteCountMax = plan.payloadByteCountMax
            state = "live"
            guard let descriptor else { preconditionFailure("\(settings): opened, and no descriptor") }
            let limit = "up to \(payloadByteCountMax) bytes per datagram"
            return .opened(
                descriptor: descriptor,
                text: "\(settings): live, \(limit)\(bufferText(bufferByteCount))"
            )
        } catch {
            return report(error.text, wasLive: wasLive)
        }
    }

    /// Opens what the transport needs, and returns the size of its smaller buffer.
    private mutating func openSockets(_ plan: OpenPlan) throws(OpenFailure) -> Int {
        if case .tcp(let local, let peers, let port) = settings.transport {
            let source = TCPSource(
                settings: settings,
                local: local,
                port: port,
                interfaceIndex: plan.interfaceIndex
            )
            let opened = try TCPLink(source, peers: peers)
            stream = opened
            return opened.bufferByteCount
        }
        let opened = try LinkSocket.open(settings, plan)
        let byteCount = min(opened.receiveBufferByteCount, opened.sendBufferByteCount)
        socket = .some(opened)
        return byteCount
    }

    private mutating func close(_ reason: String) -> LinkChange? {
        let wasLive = isLive
        retire()
        return report(reason, wasLive: wasLive)
    }

    private mutating func report(_ reason: String, wasLive: Bool) -> LinkChange? {
        guard wasLive || reason != state else { return nil }
        state = reason
        let text = "\(settings): not live: \(reason)"
        return wasLive ? .closed(text: text) : .waiting(text: text)
    }

    /// Closes the sockets and keeps what the kernel counted at them.
    private mutating func retire() {
        totals = counters
        socket = nil
        stream?.close(&totals)
        stream = nil
    }

    private func bufferText(_ smallest: Int) -> String {
        let wish = settings.socketBufferByteCount
        guard smallest < wish else { return "" }
        return "; socket buffers are \(smallest >> 10) KiB instead of \(wish >> 10) KiB: give it CAP_NET_ADMIN, or "
            + "raise net.core.rmem_max and net.core.wmem_max"
    }
}

// MARK: - Datagrams

extension SyncLink {
    /// Takes up to 64 datagrams from the kernel and returns how many of them are acceptable.
    ///
    /// What came in by another interface, from an unlisted host (udp), or did not fit, is dropped and counted. 0 does
    /// not mean that nothing is left: go on while `batch.isFull`. A tcp link accepts and ends connections here too.
    public mutating func receive(into batch: inout ReceiveBatch) throws(SystemError) -> Int {
        batch.count = 0
        batch.isFull = false
        if let stream {
            try stream.receive(into: &batch, &totals)
            return batch.count
        }
        guard let descriptor, let interfaceIndex = openInterfaceIndex else { return 0 }
        // SAFETY: `slotCount` slots of `slotByteCount` bytes and as many descriptions are allocated, and not touched by
        // anyone else during the call.
        let result = unsafe batch.bytes.withUnsafeMutableBufferPointer { bytes in
            unsafe batch.datagrams.withUnsafeMutableBufferPointer { datagrams in
                unsafe clinux_receive(
                    descriptor,
                    bytes.baseAddress,
                    ReceiveBatch.slotByteCount,
                    datagrams.baseAddress,
                    UInt32(ReceiveBatch.slotCount)
                )
            }
        }
        guard result >= 0 else {
            totals.receiveErrors += 1
            throw SystemError(call: "recvmmsg", errno: -result, context: settings.description)
        }
        batch.isFull = result == ReceiveBatch.slotCount
        for slot in 0..<Int(result) where accept(batch.datagrams[slot], on: interfaceIndex) {
            batch.acceptedSlots[batch.count] = UInt8(slot)
            batch.count += 1
        }
        return batch.count
    }

    private mutating func accept(_ datagram: clinux_datagram, on interfaceIndex: UInt32) -> Bool {
        guard datagram.interface_index == interfaceIndex else {
            totals.droppedForeignInterface += 1
            return false
        }
        guard isPeer(datagram.source) else {
            totals.droppedForeignAddress += 1
            return false
        }
        guard datagram.is_truncated == 0 else {
            totals.droppedTruncated += 1
            return false
        }
        totals.datagramsReceived += 1
        totals.bytesReceived += UInt64(datagram.byte_count)
        return true
    }

    private func isPeer(_ source: clinux_endpoint) -> Bool {
        // Everybody who is on the multicast network may speak there; sealing decides whom to believe.
        if peers.isEmpty { return true }
        for index in peers.indices where peers[index].high == source.address.0 && peers[index].low == source.address.1 {
            return true
        }
        return false
    }

    /// Sends the batch's datagrams to the group, or to each peer; the batch stays as it is.
    ///
    /// What the kernel does not take is counted by cause and dropped. Never blocks. Over tcp a datagram must have 4
    /// bytes at least.
    public mutating func send(_ batch: borrowing SendBatch) {
        guard batch.count > 0 else { return }
        if let stream {
            stream.send(batch, &totals)
            return
        }
        switch socket {
        case .some(let open):
            for destination in open.destinations {
                SyncLink.send(batch, open.descriptor.rawValue, destination, &totals)
            }
        case .none:
            totals.droppedNotLive += UInt64(batch.count)
        }
    }

    private static func send(
        _ batch: borrowing SendBatch,
        _ descriptor: Int32,
        _ destination: clinux_endpoint,
        _ totals: inout LinkCounters
    ) {
        var next = 0
        while next < batch.count {
            let result = sendOnce(batch, from: next, descriptor, destination)
            guard result < 0 else {
                for index in next..<next + Int(result) {
                    totals.datagramsSent += 1
                    totals.bytesSent += UInt64(batch.byteCounts[index])
                }
                next += Int(result)
                continue
            }
            // The kernel reports an error only for the first datagram of a call. A firewall's verdict (EPERM) or a
            // wrong size concerns that one alone; everything else would meet the rest too.
            let isOneOnly = -result == EPERM || -result == EMSGSIZE
            let lost = isOneOnly ? 1 : batch.count - next
            totals.sendErrors[-result, default: 0] += UInt64(lost)
            next += lost
        }
    }

    private static func sendOnce(
        _ batch: borrowing SendBatch,
        from first: Int,
        _ descriptor: Int32,
        _ destination: clinux_endpoint
    ) -> Int32 {
        // SAFETY: datagrams `first..<count` lie inside both arrays, which the call only reads.
        unsafe batch.bytes.withUnsafeBufferPointer { bytes in
            unsafe batch.byteCounts.withUnsafeBufferPointer { byteCounts in
                guard let bytes = bytes.baseAddress, let byteCounts = byteCounts.baseAddress else { return 0 }
                return unsafe clinux_send(
                    descriptor,
                    bytes + first * SendBatch.slotByteCount,
                    SendBatch.slotByteCount,
                    byteCounts + first,
                    UInt32(batch.count - first),
                    destination
                )
            }
        }
    }
}
