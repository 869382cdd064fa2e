internal import CLinux

/// Room for the datagrams of one receive call, allocated once.
///
/// 64 datagrams of up to 9,216 bytes: more than any node sends (`payloadByteCountMax` ends at 8,900), so what does not
/// fit is not ours.
public struct ReceiveBatch: ~Copyable {
    static let slotByteCount = 9_216
    static let slotCount = Int(CLINUX_DATAGRAM_COUNT_MAX)

    /// Datagrams accepted by the last receive call.
    public internal(set) var count = 0
    /// Whether the kernel filled every slot, so that more may wait.
    public internal(set) var isFull = false

    var bytes = [UInt8](repeating: 0, count: slotByteCount * slotCount)
    var datagrams = [clinux_datagram](repeating: clinux_datagram(), count: slotCount)
    /// The slots whose datagrams were accepted, in order of arrival; `count` of them.
    var acceptedSlots = [UInt8](repeating: 0, count: slotCount)

    /// An empty batch.
    public init() {}

    /// The payload of accepted datagram `index`; valid until the next receive call.
    @_lifetime(borrow self)
    public func datagram(at index: Int) -> RawSpan {
        precondition(index >= 0 && index < count, "datagram \(index) of \(count)")
        let slot = Int(acceptedSlots[index])
        let start = slot * ReceiveBatch.slotByteCount
        // SAFETY: the elements are bytes already: there is no padding that a raw view could show.
        return unsafe bytes.span.bytes.extracting(start..<start + Int(datagrams[slot].byte_count))
    }

    /// Lets `body` change the payload of accepted datagram `index` where it lies, such as to open a sealed one.
    ///
    /// The span is as long as the datagram. What `body` writes is what `datagram(at:)` shows until the next receive
    /// call; its length stays.
    public mutating func withDatagram<Result>(at index: Int, _ body: (inout MutableRawSpan) -> Result) -> Result {
        precondition(index >= 0 && index < count, "datagram \(index) of \(count)")
        let slot = Int(acceptedSlots[index])
        let start = slot * ReceiveBatch.slotByteCount
        let end = start + Int(datagrams[slot].byte_count)
        var all = bytes.mutableSpan
        // SAFETY: the elements are bytes: any value may be written over them.
        var raw = unsafe all.mutableBytes
        var datagram = raw._mutatingExtracting(start..<end)
        return body(&datagram)
    }

    /// Takes the next datagram out of a byte stream, if a whole one is there; the batch must not be full.
    mutating func take(from framer: inout StreamFramer) -> StreamFramer.Step {
        let start = count * ReceiveBatch.slotByteCount
        var all = bytes.mutableSpan
        // SAFETY: as above.
        var raw = unsafe all.mutableBytes
        var slot = raw._mutatingExtracting(start..<start + ReceiveBatch.slotByteCount)
        let step = framer.next(into: &slot)
        if case .datagram(let byteCount) = step {
            datagrams[count].byte_count = UInt32(byteCount)
            acceptedSlots[count] = UInt8(count)
            count += 1
            isFull = count == ReceiveBatch.slotCount
        }
        return step
    }
}
