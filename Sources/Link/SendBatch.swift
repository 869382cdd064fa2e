internal import CLinux

/// Datagrams on their way out, built in place in memory that is allocated once.
public struct SendBatch: ~Copyable {
    static let slotByteCount = 9_216
    static let slotCount = Int(CLINUX_DATAGRAM_COUNT_MAX)

    /// Datagrams built since the last `clear`.
    public private(set) var count = 0

    var bytes = [UInt8](repeating: 0, count: slotByteCount * slotCount)
    var byteCounts = [UInt32](repeating: 0, count: slotCount)

    /// An empty batch.
    public init() {}

    /// Whether no further datagram fits: send and clear it.
    public var isFull: Bool { count == SendBatch.slotCount }

    /// Forgets all datagrams.
    public mutating func clear() {
        count = 0
    }

    /// Lets `body` write one more datagram, and keeps it if it wrote any bytes.
    ///
    /// The span is `byteCountMax` long (the link's `payloadByteCountMax`) and holds old bytes. `body` returns how many
    /// it wrote; 0 means that there is nothing to send. Returns whether a datagram was added: never when the batch is
    /// full, in which case `body` does not run.
    public mutating func withNextDatagram(
        byteCountMax: Int,
        _ body: (inout MutableRawSpan) -> Int
    ) -> Bool {
        guard !isFull else { return false }
        precondition(byteCountMax <= SendBatch.slotByteCount, "datagram of \(byteCountMax) bytes")
        let start = count * SendBatch.slotByteCount
        var all = bytes.mutableSpan
        // SAFETY: the elements are bytes: any value may be written over them.
        var raw = unsafe all.mutableBytes
        var slot = raw._mutatingExtracting(start..<start + byteCountMax)
        let byteCount = body(&slot)
        guard byteCount > 0 else { return false }
        precondition(byteCount <= byteCountMax, "\(byteCount) bytes written into \(byteCountMax)")
        byteCounts[count] = UInt32(byteCount)
        count += 1
        return true
    }

    /// Lets `body` change datagram `index` where it lies, such as to stamp a copy that goes over another link.
    ///
    /// The span is as long as the datagram, and its length stays.
    public mutating func withDatagram<Result>(at index: Int, _ body: (inout MutableRawSpan) -> Result) -> Result {
        precondition(index >= 0 && index < count, "datagram \(index) of \(count)")
        let start = index * SendBatch.slotByteCount
        let end = start + Int(byteCounts[index])
        var all = bytes.mutableSpan
        // SAFETY: the elements are bytes: any value may be written over them.
        var raw = unsafe all.mutableBytes
        var datagram = raw._mutatingExtracting(start..<end)
        return body(&datagram)
    }

    /// The datagram at `index`, as it was written.
    @_lifetime(borrow self)
    func datagram(at index: Int) -> RawSpan {
        precondition(index >= 0 && index < count, "datagram \(index) of \(count)")
        let start = index * SendBatch.slotByteCount
        // SAFETY: the elements are bytes already: there is no padding that a raw view could show.
        return unsafe bytes.span.bytes.extracting(start..<start + Int(byteCounts[index]))
    }
}
