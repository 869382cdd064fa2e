internal import Configuration
internal import Link

/// What stands between the protocol and the links: the seal, or nothing where `insecure = true`.
struct LinkSecurity: ~Copyable {
    private var sealer: Sealer?
    private var opener: Opener?

    /// Security of a key ring; nil for none.
    init(_ ring: KeyRing?) {
        if let ring {
            sealer = Sealer(ring)
            opener = Opener(ring)
        } else {
            sealer = nil
            opener = nil
        }
    }

    /// Reads the keys that the settings name; nil where the links are not sealed.
    static func ring(_ settings: SyncSettings) throws(KeyFileError) -> KeyRing? {
        switch settings.security {
        case .insecure: nil
        case .sealed(let keyFile): try KeyRing.load(path: keyFile)
        }
    }

    /// Bytes that a datagram grows by.
    var overheadByteCount: Int {
        switch sealer {
        case .some: Sealer.overheadByteCount
        case .none: 0
        }
    }

    /// What became of the datagrams that arrived; nil where the links are not sealed.
    var counters: SealCounters? {
        switch opener {
        case .some(let opener): opener.counters
        case .none: nil
        }
    }

    /// Takes over other keys, or gives up or begins sealing.
    mutating func replace(_ ring: KeyRing?) {
        guard let ring, overheadByteCount > 0 else {
            self = LinkSecurity(ring)
            return
        }
        sealer?.replace(ring)
        opener?.replace(ring)
    }

    /// Seals a datagram in place; returns its bytes afterwards.
    mutating func seal(_ buffer: inout MutableRawSpan, byteCount: Int) -> Int {
        sealer?.seal(&buffer, byteCount: byteCount) ?? byteCount
    }

    /// Opens a datagram in place; nil if it is not to be believed.
    mutating func open(_ buffer: inout MutableRawSpan) -> Int? {
        guard overheadByteCount > 0 else { return buffer.byteCount }
        return opener?.open(&buffer, byteCount: buffer.byteCount) ?? nil
    }
}
