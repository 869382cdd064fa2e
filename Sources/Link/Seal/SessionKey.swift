internal import CSeal
internal import Crypto

/// The key of one session, made ready, and what it does with a datagram.
///
/// A datagram is a `SealHeader` in clear, bytes, and the tag over both.
@safe
final class SessionKey: Sendable {
    // SAFETY: made in init, never changed, destroyed in deinit. The functions only read it, from whatever thread.
    nonisolated(unsafe) private let key: OpaquePointer

    init(_ secret: SymmetricKey) {
        // SAFETY: the bytes are there while the function copies them.
        let made = unsafe secret.withUnsafeBytes { bytes in
            precondition(bytes.count == Int(CSEAL_KEY_BYTE_COUNT), "session key of \(bytes.count) bytes")
            return unsafe cseal_key_create(bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
        }
        guard let made = unsafe made else { preconditionFailure("no memory for a session key") }
        unsafe key = made
    }

    deinit {
        unsafe cseal_key_destroy(key)
    }

    /// Seals the datagram whose header and plain bytes lie at their places; the tag follows them.
    func seal(_ datagram: UnsafeMutableRawBufferPointer, counter: UInt64) {
        let (start, plainByteCount) = unsafe Self.parts(UnsafeRawBufferPointer(datagram))
        let bytes = unsafe UnsafeMutablePointer(mutating: start) + SealHeader.byteCount
        // SAFETY: header, bytes and tag lie in the datagram, and do not overlap.
        let isSealed = unsafe Self.withNonce(counter) { nonce in
            unsafe cseal_seal(key, nonce, start, SealHeader.byteCount, bytes, plainByteCount)
        }
        // It refuses what is longer than 256 GiB.
        precondition(isSealed != 0, "sealing \(plainByteCount) bytes")
    }

    /// Opens a sealed datagram into other memory, of as many bytes as it has without header and tag; false, and
    /// nothing there, if the tag is wrong.
    func open(_ datagram: UnsafeRawBufferPointer, counter: UInt64, into plain: UnsafeMutableRawBufferPointer) -> Bool {
        let (start, plainByteCount) = unsafe Self.parts(datagram)
        precondition(plain.count >= plainByteCount, "opening \(plainByteCount) bytes into \(plain.count)")
        // SAFETY: header, bytes and tag lie in the datagram, and there is room for the plain bytes.
        return unsafe Self.withNonce(counter) { nonce in
            unsafe cseal_open(
                key,
                nonce,
                start,
                SealHeader.byteCount,
                start + SealHeader.byteCount,
                plainByteCount,
                plain.baseAddress?.assumingMemoryBound(to: UInt8.self)
            )
        } != 0
    }

    /// Where a datagram begins, and how many bytes lie between its header and its tag.
    private static func parts(
        _ datagram: UnsafeRawBufferPointer
    ) -> (start: UnsafePointer<UInt8>, plainByteCount: Int) {
        let plainByteCount = datagram.count - Sealer.overheadByteCount
        guard plainByteCount >= 0, let start = datagram.baseAddress else {
            preconditionFailure("sealed datagram of \(datagram.count) bytes")
        }
        return unsafe (start.assumingMemoryBound(to: UInt8.self), plainByteCount)
    }

    /// Four zero bytes and the counter.
    private static func withNonce<Result>(_ counter: UInt64, _ body: (UnsafePointer<UInt8>?) -> Result) -> Result {
        unsafe withUnsafeBytes(of: (UInt64(0), counter.littleEndian)) { words in
            unsafe body((words.baseAddress.map { unsafe $0 + 4 })?.assumingMemoryBound(to: UInt8.self))
        }
    }
}
