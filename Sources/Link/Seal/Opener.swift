/// Opens sealed datagrams; refuses and counts what is not sealed with a key of the ring, or has been seen before.
///
/// It remembers the counters it saw in each of the last 1,024 sessions. A session is remembered only once a datagram of
/// it has proved to be sealed with the key, so that strangers cannot make it forget. It cannot see that a whole session
/// is replayed which it does not remember, such as one that ended before it began: that is for the protocol inside,
/// which believes a node's epoch only after it has been answered.
public struct Opener: ~Copyable {
    /// What a session is called: its sealer's random number, with the key, on which the number's meaning depends.
    private struct SessionName: Hashable {
        let keyID: UInt32
        let number: UInt64
    }

    /// What is remembered of a session.
    private struct Session {
        let key: SessionKey
        var window = ReplayWindow()
        /// The number of the opened datagram that was the session's last.
        var lastOpened: UInt64 = 0
    }

    /// The most sessions remembered: every start of a node and every key makes one.
    static let sessionCountMax = 1_024

    /// What became of the datagrams so far.
    public private(set) var counters = SealCounters()

    private var keys: [KeyRing.Key]
    private var sessions: [SessionName: Session] = [:]
    /// Where plain bytes appear before they are known to be genuine; as long as the longest datagram so far.
    private var plain: [UInt8] = []

    /// How many sessions are remembered now.
    var sessionCount: Int { sessions.count }

    /// An opener that has seen nothing yet.
    public init(_ ring: KeyRing) {
        keys = ring.keys
    }

    /// Goes on with another ring; what has been seen is not forgotten.
    public mutating func replace(_ ring: KeyRing) {
        keys = ring.keys
    }

    /// Opens the sealed datagram in the first `byteCount` bytes where it lies, and returns how many bytes it has then.
    ///
    /// Nil if it is refused; `counters` says why, and the buffer holds what it held.
    public mutating func open(_ buffer: inout MutableRawSpan, byteCount: Int) -> Int? {
        precondition(
            byteCount >= 0 && byteCount <= buffer.byteCount,
            "opening \(byteCount) bytes in a buffer of \(buffer.byteCount)"
        )
        do {
            let header = try SealHeader(decoding: buffer.bytes, byteCount: byteCount)
            let plainByteCount = try open(&buffer, byteCount: byteCount, header)
            counters.opened += 1
            return plainByteCount
        } catch {
            counters.note(error)
            return nil
        }
    }

    private mutating func open(
        _ buffer: inout MutableRawSpan,
        byteCount: Int,
        _ header: SealHeader
    ) throws(SealRefusal) -> Int {
        guard let key = keys.first(where: { $0.id == header.keyID }) else { throw .unknownKey }
        let name = SessionName(keyID: header.keyID, number: header.session)
        guard let index = sessions.index(forKey: name) else {
            var session = Session(key: key.sessionKey(header.session))
            let plainByteCount = try Self.decrypt(&buffer, byteCount: byteCount, header, session.key, by: &plain)
            session.window.insert(header.counter)
            session.lastOpened = counters.opened
            remember(session, as: name)
            return plainByteCount
        }
        // Before decrypting, since it is cheaper by far: what comes twice over redundant links ends here.
        switch sessions.values[index].window.verdict(on: header.counter) {
        case .fresh: break
        case .replayed: throw .replayed
        case .tooOld: throw .tooOld
        }
        let sessionKey = sessions.values[index].key
        let plainByteCount = try Self.decrypt(&buffer, byteCount: byteCount, header, sessionKey, by: &plain)
        // Only now: else a stranger could keep out a datagram by sending its counter first.
        sessions.values[index].window.insert(header.counter)
        sessions.values[index].lastOpened = counters.opened
        return plainByteCount
    }

    /// Keeps a new session, in the place of the one that has been silent for the most datagrams if there is no other.
    private mutating func remember(_ session: Session, as name: SessionName) {
        if sessions.count >= Self.sessionCountMax,
            let oldest = sessions.min(by: { $0.value.lastOpened < $1.value.lastOpened })
        {
            sessions[oldest.key] = nil
            counters.sessionsFull += 1
        }
        sessions[name] = session
    }

    /// Moves the plain datagram to the start of the buffer if the tag is right, and touches nothing if not.
    private static func decrypt(
        _ buffer: inout MutableRawSpan,
        byteCount: Int,
        _ header: SealHeader,
        _ key: SessionKey,
        by plain: inout [UInt8]
    ) throws(SealRefusal) -> Int {
        let plainByteCount = byteCount - Sealer.overheadByteCount
        if plain.count < byteCount { plain = Array(repeating: 0, count: byteCount) }
        // SAFETY: the pointers are used only while the closures run, and what they reach lies inside the buffers.
        let isOpened = unsafe buffer.withUnsafeMutableBytes { all in
            unsafe plain.withUnsafeMutableBytes { plain in
                let datagram = unsafe UnsafeRawBufferPointer(rebasing: all[..<byteCount])
                guard unsafe key.open(datagram, counter: header.counter, into: plain) else { return false }
                unsafe all.copyMemory(from: UnsafeRawBufferPointer(rebasing: plain[..<plainByteCount]))
                return true
            }
        }
        guard isOpened else { throw .forged }
        return plainByteCount
    }
}
