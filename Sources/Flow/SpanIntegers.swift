// Integers in spans. The spans check every offset; the loads are "unsafe" only in that any bit pattern becomes a value,
// which holds for every fixed-width integer.

extension RawSpan {
    /// The little-endian integer at `offset`; traps outside the span.
    @inlinable
    public func littleEndian<T: FixedWidthInteger & BitwiseCopyable>(at offset: Int, as type: T.Type) -> T {
        unsafe T(littleEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: T.self))
    }

    /// The integer at `offset` as it lies in memory; traps outside the span.
    @inlinable
    public func word<T: FixedWidthInteger & BitwiseCopyable>(at offset: Int, as type: T.Type) -> T {
        unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: T.self)
    }
}

extension MutableRawSpan {
    /// Stores `value` at `offset`, little-endian; traps outside the span.
    @inlinable
    @_lifetime(self: copy self)
    public mutating func storeLittleEndian<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at offset: Int) {
        storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
    }

    /// Stores the first `byteCount` bytes of `source`, a multiple of 4, at `offset`; traps outside either span.
    ///
    /// Records are whole 4-byte words, and most are whole 8-byte words.
    @inlinable
    @_lifetime(self: copy self)
    public mutating func storeWords(of source: RawSpan, byteCount: Int, at offset: Int) {
        var done = 0
        while done + 8 <= byteCount {
            storeWord(source.word(at: done, as: UInt64.self), at: offset + done)
            done += 8
        }
        if done < byteCount { storeWord(source.word(at: done, as: UInt32.self), at: offset + done) }
    }

    /// Stores `value` at `offset` as it lies in memory; traps outside the span.
    @inlinable
    @_lifetime(self: copy self)
    public mutating func storeWord<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at offset: Int) {
        storeBytes(of: value, toByteOffset: offset, as: T.self)
    }
}
