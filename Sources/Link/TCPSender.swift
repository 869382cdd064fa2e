internal import CLinux
internal import Glibc
internal import SystemIO

/// The connection to one peer: dialled by this node, and used for sending only.
///
/// `RedialTimer` decides when, `StreamOutbox` what; this type performs it.
final class TCPSender {
    let peer: IPAddress
    /// Why there is no connection; nil while there is one, or before the first attempt has ended.
    private(set) var problem: String?
    private let token: UInt64
    private let destination: clinux_endpoint
    private var timer = RedialTimer()
    private var outbox = StreamOutbox()
    private var socket: OwnedDescriptor?
    private(set) var isConnected = false
    /// What the loop watches the socket for.
    private var interest: Interest = []

    init(_ peer: IPAddress, token: UInt64, port: UInt16, interfaceIndex: UInt32) {
        self.peer = peer
        self.token = token
        destination = peer.endpoint(port: port, interfaceIndex: interfaceIndex)
    }

    /// When `step` wants to run.
    var deadline: UInt64? { timer.deadline }

    /// Dials, gives up, or lets time pass.
    func step(now: UInt64, _ source: TCPSource, _ loop: borrowing EventLoop, _ totals: inout LinkCounters) {
        switch timer.step(now: now) {
        case .none:
            break
        case .dial:
            dial(source, loop)
        case .giveUp:
            problem = "no answer"
            discard(loop, &totals)
        }
    }

    /// Sends what there is room for, and counts the rest.
    func send(_ frames: borrowing StreamFrames, _ loop: borrowing EventLoop, _ totals: inout LinkCounters) {
        guard isConnected, let descriptor else {
            totals.droppedNotConnected += UInt64(frames.count)
            return
        }
        let progress = outbox.send(frames) { TCPSender.write($0, descriptor) }
        if let errno = progress.failure {
            totals.sendErrors[errno, default: 0] += UInt64(progress.droppedCount)
        } else {
            totals.droppedBufferFull += UInt64(progress.droppedCount)
        }
        settle(progress, loop, &totals)
    }

    /// The loop has something to tell about the socket.
    func handle(_ ready: Interest, _ loop: borrowing EventLoop, _ totals: inout LinkCounters) {
        guard let descriptor else { return }
        guard isConnected else {
            let error = clinux_socket_error(descriptor)
            if error < 0 { end(-error, loop, &totals) } else { connected(loop, &totals) }
            return
        }
        if ready.contains(.writable) {
            settle(outbox.flush { TCPSender.write($0, descriptor) }, loop, &totals)
        }
        if isConnected, ready.contains(.readable) { listen(descriptor, loop, &totals) }
    }

    /// Closes the connection for good.
    func close(_ loop: borrowing EventLoop, _ totals: inout LinkCounters) {
        discard(loop, &totals)
    }

    private var descriptor: Int32? {
        switch socket {
        case .some(let socket): socket.rawValue
        case .none: nil
        }
    }

    private func dial(_ source: TCPSource, _ loop: borrowing EventLoop) {
        do throws(OpenFailure) {
            let opened = try source.openDialler()
            let result = clinux_tcp_connect(opened.rawValue, destination)
            guard result == 0 || result == -EINPROGRESS else {
                throw OpenFailure(text: OpenFailure.reason(-result))
            }
            // Connected or refused: both make it writable.
            try watch(opened.rawValue, loop)
            socket = .some(opened)
        } catch {
            problem = error.text
            timer.ended()
        }
    }

    private func watch(_ opened: Int32, _ loop: borrowing EventLoop) throws(OpenFailure) {
        do {
            try loop.add(opened, token: token, interest: .writable)
            interest = .writable
        } catch {
            throw OpenFailure(text: error.description)
        }
    }

    private func connected(_ loop: borrowing EventLoop, _ totals: inout LinkCounters) {
        isConnected = true
        problem = nil
        totals.connectionsOpened += 1
        timer.connected()
        watch(loop, &totals)
    }

    /// The peer never sends here: what comes is the end, or garbage.
    private func listen(_ descriptor: Int32, _ loop: borrowing EventLoop, _ totals: inout LinkCounters) {
        var byte: UInt8 = 0
        // SAFETY: one byte is asked for, and there is room for one.
        let result = unsafe clinux_stream_receive(descriptor, &byte, 1)
        if result == -EAGAIN { return }
        if result > 0 {
            totals.connectionsGarbled += 1
            problem = "it sent bytes where none belong: no FlowSync node listens there"
        } else {
            problem = result == 0 ? "it closed the connection" : OpenFailure.reason(-result)
        }
        discard(loop, &totals)
        timer.ended()
    }

    /// Counts what was sent, and sees to it that what was begun goes on.
    private func settle(_ progress: StreamProgress, _ loop: borrowing EventLoop, _ totals: inout LinkCounters) {
        totals.datagramsSent += UInt64(progress.sentCount)
        totals.bytesSent += UInt64(progress.sentByteCount)
        if let errno = progress.failure {
            end(errno, loop, &totals)
        } else {
            watch(loop, &totals)
        }
    }

    private func watch(_ loop: borrowing EventLoop, _ totals: inout LinkCounters) {
        let wanted: Interest = outbox.isInMidst ? [.readable, .writable] : .readable
        guard wanted != interest, let descriptor else { return }
        do {
            try loop.modify(descriptor, token: token, interest: wanted)
            interest = wanted
        } catch {
            end(error.errno, loop, &totals)
        }
    }

    private func end(_ errno: Int32, _ loop: borrowing EventLoop, _ totals: inout LinkCounters) {
        problem = OpenFailure.reason(errno)
        discard(loop, &totals)
        timer.ended()
    }

    private func discard(_ loop: borrowing EventLoop, _ totals: inout LinkCounters) {
        if outbox.isInMidst { totals.droppedNotConnected += 1 }
        outbox = StreamOutbox()
        // A child process between fork and exec may hold a copy, so that closing alone would leave it in the loop.
        if let descriptor { _ = try? loop.remove(descriptor) }
        socket = nil
        isConnected = false
    }

    private static func write(_ bytes: RawSpan, _ descriptor: Int32) -> Int {
        // SAFETY: the pointer covers exactly the bytes whose count is given.
        unsafe bytes.withUnsafeBytes { buffer in
            let bytes = unsafe buffer.assumingMemoryBound(to: UInt8.self)
            return Int(unsafe clinux_stream_send(descriptor, bytes.baseAddress, bytes.count))
        }
    }
}
