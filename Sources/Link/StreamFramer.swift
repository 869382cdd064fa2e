/// How datagrams lie in a byte stream: each is preceded by its byte count.
///
///     0  2  byte count n, little-endian, 4...9216
///     2  n  the datagram
///
/// Any other count means that the other side speaks another language, or that the two have lost step; there is no way
/// to find the next boundary, so the stream is of no use any more.
enum StreamFormat {
    static let headerByteCount = 2
    static let datagramByteCountMin = 4
    static let datagramByteCountMax = ReceiveBatch.slotByteCount
    static let frameByteCountMax = headerByteCount + datagramByteCountMax
}

/// Cuts a byte stream back into datagrams, whatever pieces it comes in.
///
/// Pure: bytes go in with `fill`, datagrams come out with `next`. Holds 64 KiB and never more: when it is full, it has
/// a whole datagram or a broken count at hand.
struct StreamFramer: ~Copyable {
    /// What lies next in the stream.
    enum Step: Equatable {
        /// A datagram of this size was copied out.
        case datagram(byteCount: Int)
        /// More bytes must come first.
        case incomplete
        /// A count that no datagram has: nothing can be read from this stream any more.
        case broken(byteCount: Int)
    }

    static let capacity = 65_536
    private var bytes = [UInt8](repeating: 0, count: capacity)
    /// The bytes that wait are `start..<end`.
    private var start = 0
    private var end = 0

    /// Whether the stream would end in the middle of a datagram here.
    var isInMidst: Bool { start < end && nextByteCount.map(StreamFramer.isCount) ?? true }

    /// Whether `next` has something to say other than "incomplete".
    var hasNext: Bool {
        guard let byteCount = nextByteCount else { return false }
        return !StreamFramer.isCount(byteCount) || end - start >= StreamFormat.headerByteCount + byteCount
    }

    /// Lets `read` write the bytes that came next; it returns how many, or an error below zero, which is handed on.
    ///
    /// The span is empty only if a datagram waits to be taken. `isFilled` says whether `read` used all of it, so that
    /// more may wait where it reads from.
    mutating func fill(_ read: (inout MutableRawSpan) -> Int) -> (result: Int, isFilled: Bool) {
        compact()
        let free = end..<bytes.count
        var all = bytes.mutableSpan
        // SAFETY: the elements are bytes: any value may be written over them.
        var raw = unsafe all.mutableBytes
        var room = raw._mutatingExtracting(free)
        let result = read(&room)
        precondition(result <= free.count, "\(result) bytes written into \(free.count)")
        end += max(result, 0)
        return (result, result == free.count)
    }

    /// Copies the next datagram to the start of `slot`, which holds the largest one.
    mutating func next(into slot: inout MutableRawSpan) -> Step {
        guard let byteCount = nextByteCount else { return .incomplete }
        guard StreamFramer.isCount(byteCount) else { return .broken(byteCount: byteCount) }
        let first = start + StreamFormat.headerByteCount
        guard end - first >= byteCount else { return .incomplete }
        start = first + byteCount
        // SAFETY: the elements are bytes already: there is no padding that a raw view could show.
        slot.replaceBytes(from: unsafe bytes.span.bytes.extracting(first..<first + byteCount))
        return .datagram(byteCount: byteCount)
    }

    private static func isCount(_ byteCount: Int) -> Bool {
        byteCount >= StreamFormat.datagramByteCountMin && byteCount <= StreamFormat.datagramByteCountMax
    }

    private var nextByteCount: Int? {
        guard end - start >= StreamFormat.headerByteCount else { return nil }
        return Int(bytes[start]) | Int(bytes[start + 1]) << 8
    }

    /// Moves what waits to the front, once that is worth it.
    private mutating func compact() {
        if start == end {
            start = 0
            end = 0
        } else if bytes.count - end < StreamFormat.frameByteCountMax {
            let rest = end - start
            // SAFETY: both ranges lie inside the array; memmove's semantics allow them to overlap.
            unsafe bytes.withUnsafeMutableBytes { buffer in
                let source = unsafe UnsafeRawBufferPointer(rebasing: buffer[start..<end])
                unsafe buffer.copyMemory(from: source)
            }
            start = 0
            end = rest
        }
    }
}

extension MutableRawSpan {
    /// Overwrites the first bytes with all bytes of `source`.
    mutating func replaceBytes(from source: RawSpan) {
        precondition(source.byteCount <= byteCount, "\(source.byteCount) bytes into \(byteCount)")
        // SAFETY: the destination holds at least as many bytes as the source, and the spans cannot overlap: one of them
        // is writable, so nobody else has it.
        unsafe withUnsafeMutableBytes { destination in
            unsafe source.withUnsafeBytes { unsafe destination.copyMemory(from: $0) }
        }
    }
}
