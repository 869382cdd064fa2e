internal import Flow

// Appends netlink messages and attributes to a buffer, each padded to four bytes.
//
// The buffer must have room for the whole message (`RequestEncoder.encodedByteCountMax`); an append beyond it traps.
extension OutputRawSpan {
    /// Appends `struct nlmsghdr` and `struct nfgenmsg`; give what it returns to `endMessage`.
    @_lifetime(self: copy self)
    mutating func beginMessage(type: UInt16, flags: UInt16, sequence: UInt32, family: UInt8) -> Int {
        let start = byteCount
        appendWord(UInt32(0))
        appendWord(type)
        appendWord(flags)
        appendWord(sequence)
        appendWord(UInt32(0))
        // nfgen_family, NFNETLINK_V0, resource 0.
        appendWord(UInt32(family).littleEndian)
        return start
    }

    /// Sets the length of the message that `beginMessage` opened at `start`, and returns it.
    @_lifetime(self: copy self)
    mutating func endMessage(_ start: Int) -> Int {
        let messageByteCount = byteCount - start
        var written = mutableBytes
        written.storeWord(UInt32(messageByteCount), at: start)
        return messageByteCount
    }

    /// Opens a nested attribute; give what it returns to `endNest`.
    @inline(__always)
    @_lifetime(self: copy self)
    mutating func beginNest(_ type: UInt16) -> Int {
        let start = byteCount
        appendWord(header(type | 0x8000, payloadByteCount: 0))  // NLA_F_NESTED
        return start
    }

    /// Opens a nested attribute of a known length; nothing closes it.
    @inline(__always)
    @_lifetime(self: copy self)
    mutating func putNestHeader(_ type: UInt16, payloadByteCount: Int) {
        appendWord(header(type | 0x8000, payloadByteCount: payloadByteCount))
    }

    /// Closes the nested attribute that `beginNest` opened at `start`.
    @inline(__always)
    @_lifetime(self: copy self)
    mutating func endNest(_ start: Int) {
        let nestByteCount = UInt16(byteCount - start)
        var written = mutableBytes
        written.storeWord(nestByteCount, at: start)
    }

    /// Appends a big-endian integer attribute.
    @inline(__always)
    @_lifetime(self: copy self)
    mutating func put<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(_ type: UInt16, _ value: T) {
        putRaw(type, value.bigEndian)
    }

    /// Appends an integer attribute as it lies in memory.
    ///
    /// One of at most four bytes goes in as one word, padding and all: nearly all attributes are such (measured: 4 ns
    /// each instead of 9).
    @inline(__always)
    @_lifetime(self: copy self)
    mutating func putRaw<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(_ type: UInt16, _ value: T) {
        let header = header(type, payloadByteCount: MemoryLayout<T>.size)
        if MemoryLayout<T>.size <= 4 {
            appendWord((UInt64(header.littleEndian) | UInt64(value.littleEndian) << 32).littleEndian)
        } else {
            appendWord(header)
            appendWord(value)
        }
    }

    /// `struct nlattr` as one word.
    @inline(__always)
    private func header(_ type: UInt16, payloadByteCount: Int) -> UInt32 {
        (UInt32(type) << 16 | UInt32(payloadByteCount + 4)).littleEndian
    }

    /// Appends an address of a family.
    @inline(__always)
    @_lifetime(self: copy self)
    mutating func put(_ type: UInt16, _ address: Address, _ family: AddressFamily) {
        if family == .ipv4 {
            putRaw(type, UInt32(truncatingIfNeeded: address.high.littleEndian).littleEndian)
        } else {
            putSixteenBytes(type, low: address.high, high: address.low)
        }
    }

    /// Appends an attribute of 16 bytes, given as two words as they lie in memory.
    @_lifetime(self: copy self)
    mutating func putSixteenBytes(_ type: UInt16, low: UInt64, high: UInt64) {
        appendWord(header(type, payloadByteCount: 16))
        appendWord(low)
        appendWord(high)
    }

    /// Appends a zero-terminated name of at most 15 bytes.
    @_lifetime(self: copy self)
    mutating func putName(_ type: UInt16, low: UInt64, high: UInt64) {
        let start = byteCount
        appendWord(UInt16(0))
        appendWord(type)
        for index in 0..<15 {
            let word = index < 8 ? low : high
            let byte = UInt8(truncatingIfNeeded: word.littleEndian >> UInt64((index & 7) * 8))
            if byte == 0 { break }
            append(byte)
        }
        append(0)
        endNest(start)
        pad()
    }

    @inline(__always)
    @_lifetime(self: copy self)
    private mutating func appendWord<T: FixedWidthInteger & BitwiseCopyable>(_ value: T) {
        // SAFETY: the append checks the capacity; it is "unsafe" for types with padding, and integers have none.
        unsafe append(value, as: T.self)
    }

    @_lifetime(self: copy self)
    private mutating func pad() {
        while byteCount & 3 != 0 { append(0) }
    }
}
