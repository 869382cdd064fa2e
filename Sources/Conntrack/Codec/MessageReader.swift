internal import Flow

/// Walks the netlink messages of one receive call.
struct MessageReader: ~Escapable {
    private let bytes: RawSpan
    private var start: Int
    private var end: Int

    /// A reader that stands before the message at `offset`.
    @_lifetime(copy bytes)
    init(_ bytes: RawSpan, from offset: Int = 0) {
        self.bytes = bytes
        start = offset
        end = offset
    }

    /// Moves to the next message; false at the end.
    mutating func next() throws(MessageDefect) -> Bool {
        let available = bytes.byteCount - end
        guard available > 0 else { return false }
        start = end
        guard available >= Netlink.headerByteCount else {
            end = bytes.byteCount
            throw .truncatedMessage
        }
        let byteCount = Int(bytes.word(at: start, as: UInt32.self))
        guard byteCount >= Netlink.headerByteCount, byteCount <= available else {
            end = bytes.byteCount
            throw .truncatedMessage
        }
        // The last message's padding may be cut off.
        end = min(start + (byteCount + 3) & ~3, bytes.byteCount)
        return true
    }

    /// Where the next message starts.
    var offset: Int { end }

    /// The current message, header included.
    var message: RawSpan {
        @_lifetime(copy self)
        get { bytes.extracting(start..<end) }
    }

    /// The current message's type.
    var type: UInt16 { bytes.word(at: start + 4, as: UInt16.self) }

    /// The current message's flags.
    var flags: UInt16 { bytes.word(at: start + 6, as: UInt16.self) }

    /// The current message's sequence number.
    var sequence: UInt32 { bytes.word(at: start + 8, as: UInt32.self) }

    /// The errno of an answer (`struct nlmsgerr`) or of the end of a dump, positive; 0 is success.
    var errorNumber: Int32 {
        guard end - start >= Netlink.headerByteCount + 4 else { return 0 }
        return 0 &- bytes.word(at: start + Netlink.headerByteCount, as: Int32.self)
    }
}
