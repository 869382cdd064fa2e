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

/// The sync link: datagrams to and from the peers over one interface, by multicast or UDP.
///
/// It never fails to exist. While its interface is missing, down, without address, or its port taken, it is not live,
/// `stateText` says why, and what is sent is counted and dropped: the protocol above sends again what matters. Call
/// `refresh(with:)` at the start, whenever the `InterfaceMonitor` reports a change, and every second or so while the
/// link is not live (a port that becomes free, say, is reported by nobody).
public struct SyncLink: ~Copyable {
    /// What the link was made for.
    public let settings: LinkSettings
    /// Bytes that one datagram may carry: the MTU less the headers, at most 8,900.
    ///
    /// Kept while the link is not live.
    public private(set) var payloadByteCountMax: Int
    /// `live`, or why it is not.
    public private(set) var stateText = "not started"
    private var socket: LinkSocket?
    private var totals = LinkCounters()
    private let peers: [IPAddress]

    /// A link that is not live yet.
    public init(_ settings: LinkSettings) {
        self.settings = settings
        // What every network carries (IPv6's smallest MTU), until the interface is known.
        payloadByteCountMax = 1_280 - 48
        switch settings.transport {
        case .multicast: peers = []
        case .udp(_, let listed, _): peers = listed
        }
    }

    /// Whether datagrams can be sent and received now.
    public var isLive: Bool { descriptor != nil }

    /// The descriptor to watch for reading; nil while the link is not live.
    public var descriptor: Int32? {
        switch socket {
        case .some(let socket): socket.descriptor.rawValue
        case .none: nil
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

    private var openInterfaceIndex: UInt32? {
        switch socket {
        case .some(let socket): socket.interfaceIndex
        case .none: nil
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
            let opened = try LinkSocket.open(settings, plan)
            payloadByteCountMax = plan.payloadByteCountMax
            stateText = "live"
            let text = "\(settings): live, up to \(payloadByteCountMax) bytes per datagram\(bufferText(opened))"
            let descriptor = opened.descriptor.rawValue
            socket = .some(opened)
            return .opened(descriptor: descriptor, text: text)
        } catch {
            return report(error.text, wasLive: wasLive)
        }
    }

    private mutating func close(_ reason: String) -> LinkChange? {
        let wasLive = isLive
        retire()
        return report(reason, wasLive: wasLive)
    }

    private mutating func report(_ reason: String, wasLive: Bool) -> LinkChange? {
        guard wasLive || reason != stateText else { return nil }
        stateText = reason
        let text = "\(settings): not live: \(reason)"
        return wasLive ? .closed(text: text) : .waiting(text: text)
    }

    /// Closes the sockets and keeps what the kernel counted at them.
    private mutating func retire() {
        totals = counters
        socket = nil
    }

    private func bufferText(_ opened: borrowing LinkSocket) -> String {
        let wish = settings.socketBufferByteCount
        let smallest = min(opened.receiveBufferByteCount, opened.sendBufferByteCount)
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
    /// not mean that nothing is left: go on while `batch.isFull`. Allocates nothing.
    public mutating func receive(into batch: inout ReceiveBatch) throws(SystemError) -> Int {
        batch.count = 0
        batch.isFull = false
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
    /// What the kernel does not take is counted by errno and dropped. Never blocks.
    public mutating func send(_ batch: borrowing SendBatch) {
        guard batch.count > 0 else { return }
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
