import Flow

/// Epochs that have been heard but not believed yet: none of their datagrams has answered this node's challenge.
///
/// Each is told that it is heard, with a number that this node has never used before in its own epoch; only who hears
/// that can echo it. So what was recorded earlier, of whatever life of either node, neither changes anything nor takes
/// a peer's place.
struct Candidates {
    static let countMax = 64
    static let helloMilliseconds: UInt64 = 50
    static let helloCountMax = 5
    static let patienceMilliseconds: UInt64 = 2_000

    private struct Candidate {
        var nodeID: UInt32
        var epoch: UInt64
        var challenge: UInt32
        /// Its own challenge, to be echoed.
        var echo: UInt32 = 0
        var heardAt: Instant
        var helloDueAt: Instant
        /// Hellos still to be sent unless it is heard again.
        var helloCount = helloCountMax
    }

    private var candidates: [Candidate] = []
    private var lastChallenge: UInt32 = 0

    /// When the next hello is due; nil if none is owed.
    var helloDueAt: Instant? {
        var due: Instant?
        for candidate in candidates where candidate.helloCount > 0 {
            due = min(due ?? candidate.helloDueAt, candidate.helloDueAt)
        }
        return due
    }

    /// Notes that an epoch was heard.
    ///
    /// - Parameter hello: what it says to this node in its present epoch, if anything.
    /// - Returns: whether it is heard for the first time, and whether it has answered its challenge.
    mutating func hear(_ header: DatagramHeader, _ hello: Hello?, now: Instant) -> (isNew: Bool, isProven: Bool) {
        let known = candidates.firstIndex { $0.nodeID == header.nodeID && $0.epoch == header.epoch }
        let index = known ?? append(header, now: now)
        candidates[index].heardAt = now
        candidates[index].helloCount = Self.helloCountMax
        guard let hello else { return (known == nil, false) }
        if hello.challenge != 0, hello.challenge != candidates[index].echo {
            candidates[index].echo = hello.challenge
            candidates[index].helloDueAt = now
        }
        return (known == nil, hello.echo == candidates[index].challenge)
    }

    private mutating func append(_ header: DatagramHeader, now: Instant) -> Int {
        candidates.removeAll { $0.heardAt.advanced(byMilliseconds: Self.patienceMilliseconds) <= now }
        // The first is the one that has had the longest time to answer.
        if candidates.count == Self.countMax { candidates.removeFirst() }
        // No number twice within this node's life; 0 means none.
        lastChallenge = lastChallenge == .max ? 1 : lastChallenge + 1
        candidates.append(
            Candidate(
                nodeID: header.nodeID,
                epoch: header.epoch,
                challenge: lastChallenge,
                heardAt: now,
                helloDueAt: now
            )
        )
        return candidates.count - 1
    }

    /// The challenge of an epoch; nil if it is no candidate.
    func challenge(to header: DatagramHeader) -> UInt32? {
        candidates.first { $0.nodeID == header.nodeID && $0.epoch == header.epoch }?.challenge
    }

    /// Forgets the epochs of a node that is believed now.
    mutating func remove(_ header: DatagramHeader) {
        candidates.removeAll { $0.nodeID == header.nodeID }
    }

    mutating func putHellos(_ writer: inout MessageWriter, now: Instant) {
        for index in candidates.indices where candidates[index].helloCount > 0 && candidates[index].helloDueAt <= now {
            guard writer.bodyByteCountMax >= Hello.byteCount else { return }
            let candidate = candidates[index]
            Hello(
                nodeID: candidate.nodeID,
                links: 0,
                epoch: candidate.epoch,
                challenge: candidate.challenge,
                echo: candidate.echo
            ).put(&writer)
            candidates[index].helloCount -= 1
            candidates[index].helloDueAt = now.advanced(byMilliseconds: Self.helloMilliseconds)
        }
    }
}
