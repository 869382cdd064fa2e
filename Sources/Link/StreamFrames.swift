/// A batch of datagrams as they go into a byte stream (see `StreamFormat`), laid out once for all connections.
struct StreamFrames: ~Copyable {
    /// Datagrams in it.
    private(set) var count = 0
    private var bytes: [UInt8]
    /// Where each frame ends.
    private var ends: [Int]

    /// No frames, and room for a full batch.
    init() {
        bytes = [UInt8](repeating: 0, count: SendBatch.slotCount * StreamFormat.frameByteCountMax)
        ends = [Int](repeating: 0, count: SendBatch.slotCount)
    }

    /// The bytes of all frames.
    var byteCount: Int { count == 0 ? 0 : ends[count - 1] }

    /// Takes over a batch in place of what was there.
    mutating func set(_ batch: borrowing SendBatch) {
        count = 0
        for index in 0..<batch.count { append(batch.datagram(at: index)) }
    }

    private mutating func append(_ datagram: RawSpan) {
        let size = datagram.byteCount
        precondition(
            size >= StreamFormat.datagramByteCountMin && size <= StreamFormat.datagramByteCountMax,
            "a datagram of \(size) bytes"
        )
        let start = byteCount
        let end = start + StreamFormat.headerByteCount + size
        bytes[start] = UInt8(truncatingIfNeeded: size)
        bytes[start + 1] = UInt8(truncatingIfNeeded: size >> 8)
        var all = bytes.mutableSpan
        // SAFETY: the elements are bytes: any value may be written over them.
        var raw = unsafe all.mutableBytes
        var slot = raw._mutatingExtracting(start + StreamFormat.headerByteCount..<end)
        slot.replaceBytes(from: datagram)
        ends[count] = end
        count += 1
    }

    /// The bytes in this range.
    @_lifetime(borrow self)
    func extracting(_ range: Range<Int>) -> RawSpan {
        // SAFETY: the elements are bytes already: there is no padding that a raw view could show.
        unsafe bytes.span.bytes.extracting(range)
    }

    /// The number of frames that lie whole in the first `byteCount` bytes.
    func wholeCount(in byteCount: Int) -> Int {
        var whole = 0
        while whole < count, ends[whole] <= byteCount { whole += 1 }
        return whole
    }

    /// Where frame `index` ends.
    func end(of index: Int) -> Int { ends[index] }
}
