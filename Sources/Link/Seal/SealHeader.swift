/// The part of a sealed datagram that everybody can read, and nobody can change.
///
/// | offset | bytes | holds |
/// | --- | --- | --- |
/// | 0 | 2 | magic, "FX" |
/// | 2 | 1 | version, 1 |
/// | 3 | 1 | zero |
/// | 4 | 4 | key id |
/// | 8 | 8 | session: random, chosen when the sealer begins |
/// | 16 | 8 | counter, little-endian, from 1 |
/// | 24 | n | the inner datagram, encrypted |
/// | 24 + n | 16 | tag over all of it |
///
/// The value lies in memory as it lies in the datagram, so that its bytes can be authenticated and stored at once.
struct SealHeader: BitwiseCopyable {
    static let byteCount = 24
    static let tagByteCount = 16

    /// "FX", version and zero, as a little-endian word.
    private static let preamble: UInt64 = 0x0001_5846

    private let preambleAndKeyID: UInt64
    private let sessionWord: UInt64
    private let counterWord: UInt64

    /// The header of a session's datagram.
    init(keyID: UInt32, session: UInt64, counter: UInt64) {
        preambleAndKeyID = (Self.preamble | UInt64(keyID) << 32).littleEndian
        sessionWord = session.littleEndian
        counterWord = counter.littleEndian
    }

    /// Reads the header of a datagram of `byteCount` bytes.
    init(decoding datagram: RawSpan, byteCount: Int) throws(SealRefusal) {
        // SAFETY: the span checks the offsets, and every bit pattern is an integer.
        guard
            byteCount >= 2,
            unsafe UInt16(littleEndian: datagram.unsafeLoadUnaligned(as: UInt16.self))
                == UInt16(truncatingIfNeeded: Self.preamble)
        else { throw .notSealed }
        guard byteCount >= Self.byteCount + Self.tagByteCount else { throw .malformed }
        unsafe self = datagram.unsafeLoadUnaligned(as: SealHeader.self)
        let preamble = UInt64(littleEndian: preambleAndKeyID) & 0xffff_ffff
        guard preamble == Self.preamble, counter != 0 else { throw .malformed }
    }

    var keyID: UInt32 { UInt32(UInt64(littleEndian: preambleAndKeyID) >> 32) }
    var session: UInt64 { UInt64(littleEndian: sessionWord) }
    var counter: UInt64 { UInt64(littleEndian: counterWord) }
}
