internal import CLinux
internal import Glibc
internal import SystemIO

/// The connection of one peer: accepted by this node, and used for receiving only.
final class TCPReceiver {
    /// How a turn of receiving ended.
    enum Outcome {
        /// Everything that had come is in the batch.
        case drained
        /// The batch is full; more may wait.
        case batchFull
        /// The connection is over, and everything that came before is in the batch.
        case ended
        /// Something came that is no datagram.
        case garbled
    }

    let peer: IPAddress
    let token: UInt64
    let socket: OwnedDescriptor
    /// Whether the loop said so in this turn.
    var isReadable = false
    private var framer = StreamFramer()

    init(_ peer: IPAddress, token: UInt64, _ socket: consuming OwnedDescriptor) {
        self.peer = peer
        self.token = token
        self.socket = socket
    }

    /// Whether there is something to take without reading from the socket.
    var hasDatagram: Bool { framer.hasNext }

    /// Whether the stream would end in the middle of a datagram here.
    var isInMidst: Bool { framer.isInMidst }

    /// Fills the batch with datagrams until either has no more.
    func receive(into batch: inout ReceiveBatch, _ totals: inout LinkCounters) -> Outcome {
        while true {
            while !batch.isFull, framer.hasNext {
                guard case .datagram(let byteCount) = batch.take(from: &framer) else { return .garbled }
                totals.datagramsReceived += 1
                totals.bytesReceived += UInt64(byteCount)
            }
            if batch.isFull { return .batchFull }
            guard isReadable else { return .drained }
            let descriptor = socket.rawValue
            let (result, isFilled) = framer.fill { TCPReceiver.read(&$0, descriptor) }
            // Less than there was room for: that was all. What comes meanwhile wakes the loop again.
            isReadable = isFilled
            if result == 0 { return .ended }
            if result == -Int(EAGAIN) { return .drained }
            if result < 0 {
                totals.receiveErrors += 1
                return .ended
            }
        }
    }

    private static func read(_ free: inout MutableRawSpan, _ descriptor: Int32) -> Int {
        // SAFETY: the pointer covers exactly the bytes whose count is given.
        unsafe free.withUnsafeMutableBytes { buffer in
            let bytes = unsafe buffer.assumingMemoryBound(to: UInt8.self)
            return Int(unsafe clinux_stream_receive(descriptor, bytes.baseAddress, bytes.count))
        }
    }
}
