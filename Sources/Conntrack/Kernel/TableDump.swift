public import Flow
internal import Glibc
public import SystemIO

/// One dump of the kernel's table, both families, read in slices so that its reader can do other work in between.
///
/// It has a socket of its own: the kernel goes on dumping only as it is read, and events never wait behind it. A dump
/// is no snapshot: entries that change meanwhile show in events.
public struct TableDump: ~Copyable {
    /// How far a dump has come.
    public enum Progress: Sendable {
        /// There is more to read.
        case more
        /// All entries were read.
        case done
        /// All entries were read, but the table changed its size meanwhile and some may be missing: dump again.
        case interrupted
    }

    private let socket: NetlinkSocket
    private let buffer: ReceiveBuffer
    private var bufferedByteCount = 0
    private var offset = 0
    private var isInterrupted = false
    private var isDone = false
    /// Messages that were no entries, by cause; they were passed over.
    public private(set) var defects = MessageDefectCounts()

    private init(_ socket: consuming NetlinkSocket) {
        self.socket = socket
        // The kernel fills at most 32 KiB per call (`netlink_recvmsg`).
        buffer = ReceiveBuffer(byteCount: 65_536)
    }

    /// Starts a dump of the calling thread's network namespace.
    ///
    /// - Throws: `SystemError`; `EPERM` from `read` means that CAP_NET_ADMIN is missing.
    public static func start() throws(SystemError) -> TableDump {
        let socket = try NetlinkSocket.open(purpose: "conntrack dump")
        try socket.bind()
        let request = SendBuffer(byteCount: 64)
        let byteCount = request.write { _ = RequestEncoder.encodeDump(sequence: 1, into: &$0) }
        try socket.send(request.bytes(to: byteCount))
        return TableDump(socket)
    }

    /// The descriptor to watch; readable while entries wait.
    public var descriptor: Int32 { socket.descriptor }

    /// Hands the next entries to `body`, at most `limitMessages`.
    ///
    /// - Throws: `SystemError` if the kernel ended the dump with an error; start another one.
    public mutating func read(
        limitMessages: Int,
        _ body: (borrowing Flow) -> Void
    ) throws(SystemError) -> Progress {
        var left = limitMessages
        while left > 0, !isDone {
            if offset == bufferedByteCount {
                switch try socket.receive(into: buffer) {
                case .wouldBlock: return .more
                case .overrun: throw SystemError(call: "recvmsg", errno: ENOBUFS, context: "conntrack dump")
                case .bytes(let byteCount): (offset, bufferedByteCount) = (0, byteCount)
                }
            }
            try decode(&left, body)
        }
        guard isDone else { return .more }
        return isInterrupted ? .interrupted : .done
    }

    private mutating func decode(_ left: inout Int, _ body: (borrowing Flow) -> Void) throws(SystemError) {
        var number: Int32 = 0
        var (consumed, isDone, isInterrupted, defects) = (bufferedByteCount, isDone, isInterrupted, defects)
        var messages = MessageReader(buffer.bytes(from: 0, to: bufferedByteCount), from: offset)
        while left > 0, !isDone {
            do throws(MessageDefect) {
                guard try messages.next() else { break }
                if messages.flags & Netlink.dumpInterrupted != 0 { isInterrupted = true }
                switch messages.type {
                case Netlink.done, Netlink.error:
                    number = messages.errorNumber
                    isDone = true
                default:
                    left -= 1
                    body(try ConntrackEvent(decoding: messages.message).flow)
                }
            } catch {
                defects.count(error)
            }
        }
        consumed = messages.offset
        (self.isDone, self.isInterrupted, self.defects, offset) = (isDone, isInterrupted, defects, consumed)
        if number != 0 { throw SystemError(call: "dump", errno: number, context: "conntrack table") }
    }
}
