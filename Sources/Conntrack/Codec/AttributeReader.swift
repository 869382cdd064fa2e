internal import Flow

/// Walks the attributes of a netlink message in place.
///
/// Every attribute is checked against its enclosing length before its payload can be read:
///
/// | offset | size | field |
/// | --- | --- | --- |
/// | 0 | 2 | length of header and payload, host order |
/// | 2 | 2 | type, host order; the top two bits are flags |
/// | 4 | … | payload, padded to four bytes |
///
/// The message is an argument of each call instead of a property: a reader of plain integers stays in registers, one
/// that holds a span does not (measured: 210 ns per message against 260).
struct AttributeReader: BitwiseCopyable {
    private let end: Int
    private var offset: Int
    private var payloadStart = 0
    private var payloadByteCount = 0
    /// The type of the current attribute, flags removed.
    private(set) var type: UInt16 = 0

    /// A reader of the attributes in `start..<end` of a message.
    @inline(__always)
    init(start: Int, end: Int) {
        self.offset = start
        self.end = end
    }

    /// Moves to the next attribute; false at the end.
    @inline(__always)
    mutating func next(_ message: RawSpan) throws(MessageDefect) -> Bool {
        guard offset < end else { return false }
        guard end - offset >= 4 else { throw .attributeOverrun }
        let header = message.word(at: offset, as: UInt32.self).littleEndian
        let byteCount = Int(header & 0xffff)
        guard byteCount >= 4, byteCount <= end - offset else { throw .attributeOverrun }
        // NLA_F_NESTED and NLA_F_NET_BYTEORDER are no part of the type.
        type = UInt16(truncatingIfNeeded: header >> 16) & 0x3fff
        payloadStart = offset + 4
        payloadByteCount = byteCount - 4
        // The last attribute's padding may be cut off.
        offset = min(offset + (byteCount + 3) & ~3, end)
        return true
    }

    /// A reader of the attributes inside the current one.
    @inline(__always)
    func nested() -> AttributeReader {
        AttributeReader(start: payloadStart, end: payloadStart + payloadByteCount)
    }

    /// The current attribute's payload.
    @inline(__always)
    @_lifetime(copy message)
    func payload(_ message: RawSpan) -> RawSpan {
        message.extracting(payloadStart..<payloadStart + payloadByteCount)
    }

    /// The current attribute's first byte.
    @inline(__always)
    func byte(_ message: RawSpan) throws(MessageDefect) -> UInt8 { try word(message, UInt8.self) }

    /// The current attribute's big-endian value.
    @inline(__always)
    func bigEndian<T: FixedWidthInteger & BitwiseCopyable>(
        _ message: RawSpan,
        _ type: T.Type
    ) throws(MessageDefect) -> T {
        T(bigEndian: try word(message, type))
    }

    /// The current attribute's value as it lies in memory.
    @inline(__always)
    func word<T: FixedWidthInteger & BitwiseCopyable>(
        _ message: RawSpan,
        _ type: T.Type,
        at start: Int = 0
    ) throws(MessageDefect) -> T {
        guard payloadByteCount >= start + MemoryLayout<T>.size else { throw .attributeTooShort }
        return message.word(at: payloadStart + start, as: type)
    }

    /// The current attribute's address of a family.
    @inline(__always)
    func address(_ message: RawSpan, _ family: AddressFamily) throws(MessageDefect) -> Address {
        switch family {
        case .ipv4:
            Address(high: UInt64(try word(message, UInt32.self).littleEndian).littleEndian, low: 0)
        case .ipv6:
            Address(high: try word(message, UInt64.self), low: try word(message, UInt64.self, at: 8))
        }
    }

    /// The first 16 bytes of the current attribute as they lie in memory; a shorter one is filled up with zeros.
    ///
    /// - Parameter endsAtZero: whether bytes after the first zero are zero too, as in a name.
    func sixteenBytes(_ message: RawSpan, endsAtZero: Bool = false) -> (low: UInt64, high: UInt64) {
        var words: (low: UInt64, high: UInt64) = (0, 0)
        for index in 0..<min(payloadByteCount, 16) {
            let byte = message.word(at: payloadStart + index, as: UInt8.self)
            if endsAtZero, byte == 0 { break }
            let shifted = UInt64(byte) << UInt64((index & 7) * 8)
            if index < 8 { words.low |= shifted.littleEndian } else { words.high |= shifted.littleEndian }
        }
        return words
    }

    /// Bytes of the current attribute's payload.
    var byteCount: Int { payloadByteCount }
}
