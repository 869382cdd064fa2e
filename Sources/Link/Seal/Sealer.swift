/// Encrypts and authenticates whole datagrams, so that only who has a key of the ring can read or make one.
///
/// Each sealer has a session of its own: a random number from which, with the key, the key for its datagrams is
/// derived. The nonce is a counter that never goes back, so no nonce is ever used twice with one key, over restarts and
/// among nodes that share a key file, too.
public struct Sealer: ~Copyable {
    /// Bytes that sealing adds to a datagram.
    public static let overheadByteCount = SealHeader.byteCount + SealHeader.tagByteCount

    private var key: KeyRing.Key
    private var session: UInt64
    private var sessionKey: SessionKey
    private var counter: UInt64 = 0

    /// Begins a session with the ring's first key.
    public init(_ ring: KeyRing) {
        self.init(ring, session: UInt64.random(in: 0 ... .max))
    }

    /// A sealer of a known session, to compare its bytes with what others compute.
    init(_ ring: KeyRing, session: UInt64) {
        key = ring.keys[0]
        self.session = session
        sessionKey = key.sessionKey(session)
    }

    /// Goes on with another ring; a new session begins if it has another first key.
    public mutating func replace(_ ring: KeyRing) {
        if ring.keys[0] != key { self = Sealer(ring) }
    }

    /// Seals the datagram in the first `byteCount` bytes where it lies, and returns how many bytes it has then.
    ///
    /// The buffer must have room for `overheadByteCount` bytes more.
    public mutating func seal(_ buffer: inout MutableRawSpan, byteCount: Int) -> Int {
        let sealedByteCount = byteCount + Sealer.overheadByteCount
        precondition(
            byteCount >= 0 && sealedByteCount <= buffer.byteCount,
            "sealing \(byteCount) bytes in a buffer of \(buffer.byteCount)"
        )
        counter += 1
        let header = SealHeader(keyID: key.id, session: session, counter: counter)
        // SAFETY: the pointers are used only while the closure runs, and what they reach lies inside the buffer.
        unsafe buffer.withUnsafeMutableBytes { all in
            let datagram = unsafe UnsafeMutableRawBufferPointer(rebasing: all[..<sealedByteCount])
            // Two places of one buffer, which the function knows to copy.
            let place = unsafe UnsafeMutableRawBufferPointer(rebasing: datagram[SealHeader.byteCount...])
            unsafe place.copyMemory(from: UnsafeRawBufferPointer(rebasing: datagram[..<byteCount]))
            unsafe datagram.storeBytes(of: header, as: SealHeader.self)
            unsafe sessionKey.seal(datagram, counter: counter)
        }
        return sealedByteCount
    }
}
