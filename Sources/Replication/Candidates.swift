import Flow

/// Epochs that have been heard but not believed yet: none of their datagrams has named this node's own epoch.
///
/// Each is told that it is heard, so that it can. A recorded datagram of another life cannot answer that, so what an
/// attacker replays neither changes anything nor takes a peer's place.
struct Candidates {
    static let countMax = 64
    static let helloMilliseconds: UInt64 = 50
    static let helloCountMax = 5
    static let patienceMilliseconds: UInt64 = 2_000

    private struct Candidate {
        var nodeID: UInt32
        var epoch: UInt64
        var heardAt: Instant
        var helloDueAt: Instant
        /// Hellos still to be sent unless it is heard again.
        var helloCount: Int
    }

    private var candidates: [Candidate] = []

    /// When the next hello is due; nil if none is owed.
    var helloDueAt: Instant? {
        var due: Instant?
        for candidate in candidates where candidate.helloCount > 0 {
            due = min(due ?? candidate.helloDueAt, candidate.helloDueAt)
        }
        return due
    }

    /// Notes that an epoch was heard; whether for the first time.
    mutating func hear(_ header: DatagramHeader, now: Instant) -> Bool {
        if let index = candidates.firstIndex(where: { $0.nodeID == header.nodeID && $0.epoch == header.epoch }) {
            candidates[index].heardAt = now
            candidates[index].helloCount = Self.helloCountMax
            return false
        }
        candidates.removeAll { $0.heardAt.advanced(byMilliseconds: Self.patienceMilliseconds) <= now }
        guard candidates.count < Self.countMax else { return false }
        candidates.append(
            Candidate(
                nodeID: header.nodeID,
                epoch: header.epoch,
                heardAt: now,
                helloDueAt: now,
                helloCount: Self.helloCountMax
            )
        )
        return true
    }

    /// Forgets an epoch that is believed now.
    mutating func remove(_ header: DatagramHeader) {
        candidates.removeAll { $0.nodeID == header.nodeID }
    }

    mutating func putHellos(_ writer: inout MessageWriter, now: Instant) {
        for index in candidates.indices where candidates[index].helloCount > 0 && candidates[index].helloDueAt <= now {
            guard writer.bodyByteCountMax >= 16 else { return }
            writer.putWords(.hello, candidates[index].nodeID, 0, candidates[index].epoch)
            candidates[index].helloCount -= 1
            candidates[index].helloDueAt = now.advanced(byMilliseconds: Self.helloMilliseconds)
        }
    }
}
