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

    /// Stores `value` at `offset` as it lies in memory; traps outside the span.
    @inlinable
    @_lifetime(self: copy self)
    public mutating func storeWord<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at offset: Int) {
        storeBytes(of: value, toByteOffset: offset, as: T.self)
    }
}
