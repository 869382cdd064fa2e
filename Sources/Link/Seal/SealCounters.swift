/// What became of the datagrams that were to be opened.
public struct SealCounters: Sendable, Equatable {
    /// Opened: sealed with a key of the ring, and not seen before.
    public var opened: UInt64 = 0
    /// Refused: not sealed at all, such as what a node sends whose configuration says `insecure = true`.
    public var notSealed: UInt64 = 0
    /// Refused: too short, of another version, or otherwise not as a sealer writes it.
    public var malformed: UInt64 = 0
    /// Refused: sealed with a key that is not in the ring.
    public var unknownKey: UInt64 = 0
    /// Refused: the tag does not fit, so that whoever wrote or changed it does not have the key.
    public var forged: UInt64 = 0
    /// Refused: its counter has been seen in its session.
    public var replayed: UInt64 = 0
    /// Refused: too far behind its session's highest counter for anybody to remember whether it has been seen.
    public var tooOld: UInt64 = 0
    /// Sessions forgotten because a new one came and no more can be remembered.
    public var sessionsFull: UInt64 = 0

    /// All counters at 0.
    public init() {}

    /// Datagrams refused, whatever the cause.
    public var refused: UInt64 { notSealed + malformed + unknownKey + forged + replayed + tooOld }

    mutating func note(_ refusal: SealRefusal) {
        switch refusal {
        case .notSealed: notSealed += 1
        case .malformed: malformed += 1
        case .unknownKey: unknownKey += 1
        case .forged: forged += 1
        case .replayed: replayed += 1
        case .tooOld: tooOld += 1
        }
    }
}

/// Why a datagram is not opened; each cause has its counter.
enum SealRefusal: Error {
    case notSealed
    case malformed
    case unknownKey
    case forged
    case replayed
    case tooOld
}
