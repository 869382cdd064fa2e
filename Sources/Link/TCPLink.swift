internal import CLinux
internal import Glibc
internal import SystemIO

/// The open sockets of a live tcp link.
///
/// Every node listens, and dials every peer. A connection carries datagrams from the node that dialled it to the one
/// that accepted it, and nothing back: two nodes have two connections, and neither needs to know which of two is the
/// one to keep. All sockets sit in one epoll, whose own descriptor is the link's.
///
/// A class because its connections are classes: a SyncLink owns it alone.
final class TCPLink {
    /// Connections of one peer that are kept: the newest, and the one before it until it is read to its end.
    static let connectionCountMaxPerPeer = 2
    /// Connections accepted in one turn.
    static let acceptCountMax = 16
    /// How long nothing is accepted after that failed, such as for want of descriptors.
    static let acceptPause: UInt64 = 500_000_000

    /// What the loop's tokens mean: the senders' indices, these two, and above them each receiver's own.
    private enum Token {
        static let listener: UInt64 = 1 << 32
        static let leftovers: UInt64 = listener + 1
        static let firstReceiver: UInt64 = listener + 2
    }

    let interfaceIndex: UInt32
    private let source: TCPSource
    private let listener: TCPListener
    private var loop: EventLoop
    private let senders: [TCPSender]
    /// By age, oldest first.
    private var receivers: [TCPReceiver] = []
    private var nextToken = Token.firstReceiver
    /// Whose turn it is to fill the batch first.
    private var turn: UInt = 0
    private var frames = StreamFrames()
    /// Readable while datagrams wait that were read from a socket, but had no room in the batch: no socket would tell.
    private let leftovers: Wakeup
    private var hasLeftovers = false
    private var acceptance = Acceptance.open

    private enum Acceptance {
        case open
        /// Accepting failed; since then the listener is not watched.
        case failed
        case paused(until: UInt64)
    }

    init(_ source: TCPSource, peers: [IPAddress]) throws(OpenFailure) {
        self.source = source
        interfaceIndex = source.interfaceIndex
        let listener = try source.openListener()
        senders = peers.enumerated().map { index, peer in
            TCPSender(peer, token: UInt64(index), port: source.port, interfaceIndex: source.interfaceIndex)
        }
        do {
            loop = try EventLoop.open()
            leftovers = try Wakeup()
            try loop.add(listener.socket.rawValue, token: Token.listener, interest: .readable)
            try loop.add(leftovers.descriptor, token: Token.leftovers, interest: .readable)
        } catch {
            throw OpenFailure(text: "\(error)")
        }
        self.listener = listener
    }

    /// Readable when there is something to receive, or a connection wants to be looked after: `receive` does both.
    var descriptor: Int32 { loop.descriptor }

    /// The size of the smaller one of a connection's two buffers.
    var bufferByteCount: Int { listener.bufferByteCount }

    /// Whether any peer can be sent to.
    var isConnected: Bool { senders.contains { $0.isConnected } }

    /// Closes all connections and counts what was lost with them.
    func close(_ totals: inout LinkCounters) {
        for sender in senders { sender.close(loop, &totals) }
        while let receiver = receivers.first { drop(receiver, &totals) }
    }

    // -- Time

    /// When `step` wants to run; nil if only events matter.
    var deadline: UInt64? {
        var earliest: UInt64? =
            switch acceptance {
            case .open: nil
            case .failed: 0
            case .paused(let until): until
            }
        for sender in senders {
            guard let deadline = sender.deadline else { continue }
            earliest = min(earliest ?? deadline, deadline)
        }
        return earliest
    }

    func step(now: UInt64, _ totals: inout LinkCounters) {
        for sender in senders { sender.step(now: now, source, loop, &totals) }
        switch acceptance {
        case .failed:
            acceptance = .paused(until: now + TCPLink.acceptPause)
        case .paused(let until) where now >= until:
            acceptance = .open
            watchListener(.readable)
        default:
            break
        }
    }

    // -- Datagrams

    /// Sends every datagram of the batch to each peer that is connected and has room for it.
    func send(_ batch: borrowing SendBatch, _ totals: inout LinkCounters) {
        frames.set(batch)
        for sender in senders { sender.send(frames, loop, &totals) }
    }

    /// Looks after the connections and fills the batch, which is empty.
    func receive(into batch: inout ReceiveBatch, _ totals: inout LinkCounters) throws(SystemError) {
        let readyCount = try loop.wait(timeoutMilliseconds: 0)
        for index in 0..<readyCount {
            let (token, interest) = loop.ready(at: index)
            switch token {
            case Token.listener: accept(&totals)
            case Token.leftovers: break
            case Token.firstReceiver...: receivers.first { $0.token == token }?.isReadable = true
            default: senders[Int(token)].handle(interest, loop, &totals)
            }
        }
        fill(&batch, &totals)
    }

    private func fill(_ batch: inout ReceiveBatch, _ totals: inout LinkCounters) {
        // A busy peer must not keep the others from being heard: each turn begins with another one.
        turn &+= 1
        var over: [TCPReceiver] = []
        for offset in receivers.indices where !batch.isFull {
            let receiver = receivers[Int(turn % UInt(receivers.count) + UInt(offset)) % receivers.count]
            switch receiver.receive(into: &batch, &totals) {
            case .drained, .batchFull:
                break
            case .ended:
                over.append(receiver)
            case .garbled:
                totals.connectionsGarbled += 1
                _ = clinux_tcp_reset_on_close(receiver.socket.rawValue)
                over.append(receiver)
            }
        }
        for receiver in over { drop(receiver, &totals) }
        let remains = receivers.contains { $0.hasDatagram }
        if remains != hasLeftovers {
            if remains { leftovers.signal() } else { leftovers.drain() }
            hasLeftovers = remains
        }
    }

    // -- Accepting

    private func accept(_ totals: inout LinkCounters) {
        guard case .open = acceptance else { return }
        for _ in 0..<TCPLink.acceptCountMax {
            var address = clinux_endpoint()
            // SAFETY: the pointer is to a local that outlives the call.
            let result = unsafe clinux_tcp_accept(listener.socket.rawValue, &address)
            if result == -EAGAIN { return }
            guard result >= 0 else {
                // The connection still waits, so the listener would wake the loop for ever.
                totals.receiveErrors += 1
                acceptance = .failed
                watchListener([])
                return
            }
            admit(OwnedDescriptor(adopting: result), from: IPAddress(address), &totals)
        }
    }

    private func admit(
        _ socket: consuming OwnedDescriptor,
        from address: IPAddress?,
        _ totals: inout LinkCounters
    ) {
        guard let address, senders.contains(where: { $0.peer == address }) else {
            totals.connectionsRefused += 1
            _ = clinux_tcp_reset_on_close(socket.rawValue)
            return
        }
        let older = receivers.filter { $0.peer == address }
        if older.count >= TCPLink.connectionCountMaxPerPeer { drop(older[0], &totals) }
        let receiver = TCPReceiver(address, token: nextToken, socket)
        nextToken += 1
        do {
            try loop.add(receiver.socket.rawValue, token: receiver.token, interest: .readable)
        } catch {
            totals.receiveErrors += 1
            return
        }
        // What came with the handshake is taken in this turn already.
        receiver.isReadable = true
        receivers.append(receiver)
    }

    private func watchListener(_ interest: Interest) {
        do {
            try loop.modify(listener.socket.rawValue, token: Token.listener, interest: interest)
        } catch {
            preconditionFailure("\(source.settings): \(error)")
        }
    }

    private func drop(_ receiver: TCPReceiver, _ totals: inout LinkCounters) {
        if receiver.isInMidst { totals.droppedIncomplete += 1 }
        // A child process between fork and exec may hold a copy, so that closing alone would leave it in the loop.
        _ = try? loop.remove(receiver.socket.rawValue)
        receivers.removeAll { $0 === receiver }
    }

    // -- For people

    /// Which peers are connected, such as `192.168.100.2 connected, 192.168.100.3 not connected (no answer)`.
    var peerText: String {
        senders.map { sender in
            let hears = receivers.contains { $0.peer == sender.peer }
            switch (sender.isConnected, hears) {
            case (true, true):
                return "\(sender.peer) connected"
            case (true, false):
                return "\(sender.peer) connected, but it has not connected to this node"
            case (false, _):
                let reason = sender.problem ?? "connecting"
                return
                    "\(sender.peer) \(hears ? "connected to this node, but not from it" : "not connected") (\(reason))"
            }
        }.joined(separator: "; ")
    }
}
