internal import Flow
internal import FlowTable

// Whose datagram this is, whether it is to be believed, and what its header says.

extension ReplicationNode {
    /// The session a datagram belongs to: begun, and begun anew with a new epoch, by a datagram that names this node's
    /// own epoch.
    mutating func session(
        _ header: DatagramHeader,
        _ datagram: RawSpan,
        now: Instant,
        internalCache: inout InternalCache,
        externalCache: inout ExternalCache
    ) -> Int? {
        let known = peers.firstIndex { $0.nodeID == header.nodeID }
        if let known, isStale(header.epoch, known) {
            received.staleEpoch += 1
            return nil
        }
        if let known, peers[known].epoch == header.epoch { return known }
        guard known != nil || peers.count < Self.peerCountMax else {
            received.tooManyPeers += 1
            return nil
        }
        let hello = hello(in: datagram)
        let (isNew, isProven) = candidates.hear(header, hello, now: now)
        guard isProven else {
            received.unproven += 1
            if isNew { heartbeatDueAt = now }
            return nil
        }
        candidates.remove(header)
        // Its name, and this node's, are to be known from the start.
        heartbeatDueAt = now
        guard let known else {
            var peer = PeerSession(header, now: now)
            peer.echo = hello?.challenge ?? 0
            peer.beginRequest(isWhole: true, now: now)
            peer.epochGeneration = peer.generation
            peers.append(peer)
            return peers.count - 1
        }
        sender.removeMember(known, cache: &internalCache)
        summaries.removeAll(of: known)
        dropTombstones(known, &externalCache)
        peers[known].restart(header, isWhole: wantsWhole(known, externalCache), now: now)
        peers[known].echo = hello?.challenge ?? 0
        events.append(.peerRestarted(name: peers[known].displayName))
        return known
    }

    /// Whether an epoch is one that its node has left behind: lower than the one that is heard.
    ///
    /// While the peer is silent a lower one may be new, its clock set back over a restart: the challenge tells.
    private func isStale(_ epoch: UInt64, _ index: Int) -> Bool {
        epoch < peers[index].epoch && peers[index].isUp
    }

    /// What a datagram says to this node in its present epoch.
    func hello(in datagram: RawSpan) -> Hello? {
        var reader = MessageReader(datagram)
        while let message = try? reader.next() {
            guard MessageKind(rawValue: message.kind) == .hello else { continue }
            let hello = Hello(decoding: datagram.extracting(message.body))
            if hello.nodeID == nodeID, hello.epoch == settings.epoch { return hello }
        }
        return nil
    }

    /// Whether a peer's whole state is asked for: nothing of it is here that a digest could be compared with.
    func wantsWhole(_ index: Int, _ externalCache: borrowing ExternalCache) -> Bool {
        externalCache.table.total(owner: UInt16(index)).flowCount == 0
    }

    /// Notes that a peer lives and what its header says.
    mutating func hear(
        _ header: DatagramHeader,
        _ index: Int,
        _ externalCache: borrowing ExternalCache,
        now: Instant
    ) {
        peers[index].lastHeard = now
        peers[index].heardOnLink[header.link] = now
        peers[index].isReliable = !header.flags.contains(.bestEffort)
        if !peers[index].isUp {
            peers[index].isUp = true
            owesAck(index, due: now)
            // What was missed meanwhile only the peer knows.
            peers[index].beginRequest(isWhole: wantsWhole(index, externalCache), now: now)
            events.append(.peerUp(name: peers[index].displayName))
        }
        // A datagram that was overtaken on its way says how things were.
        if header.sequence >= peers[index].latestSequence {
            peers[index].latestSequence = header.sequence
            let isClaiming = header.flags.contains(.claiming)
            let wasClaiming = peers[index].isClaiming
            peers[index].isClaiming = isClaiming
            if wasClaiming, !isClaiming { peers[index].endComparison(now: now) }
            let outranksItself = header.takeoverNumber > peers[index].takeoverNumber
            // What it claims from now on is known only by its whole state.
            if isClaiming, !wasClaiming || outranksItself {
                requestAgain(index, isWhole: wantsWhole(index, externalCache), now: now)
            }
            hearTakeoverNumber(header, index)
        }
        if isOwner(index) { peers[index].ownedUntil = now }
    }

    /// Whether another peer claims flows under a higher rank.
    func isOutranked(_ index: Int) -> Bool {
        let rank = peers[index].rank
        // Asked for every flow received: no copies of sessions.
        for other in peers.indices where peers[other].isUp && peers[other].isClaiming {
            if peers[other].rank > rank { return true }
        }
        return false
    }

    /// Asks for a peer's state as it is from now on; a request that has not left yet is as good.
    mutating func requestAgain(_ index: Int, isWhole: Bool, now: Instant) {
        if let request = peers[index].request, request.sentAt == nil { return }
        peers[index].beginRequest(isWhole: isWhole, now: now)
    }

    /// Takes in a takeover number under which a peer perhaps outranks this node.
    ///
    /// Either a peer has taken over, or it had and has stepped back again while this node stayed primary (a split brain
    /// that healed). Then this node claims its flows anew.
    private mutating func hearTakeoverNumber(_ header: DatagramHeader, _ index: Int) {
        let isNews = peers[index].takeoverNumber != header.takeoverNumber
        peers[index].takeoverNumber = header.takeoverNumber
        highestTakeoverNumber = max(highestTakeoverNumber, header.takeoverNumber)
        guard role == .primary, header.rank > rank else { return }
        if header.flags.contains(.claiming) {
            if isNews {
                events.append(.outranked(name: peers[index].displayName, takeoverNumber: header.takeoverNumber))
            }
        } else {
            takeoverNumber = nextTakeoverNumber
            events.append(.claimedAnew(takeoverNumber: takeoverNumber))
        }
    }
}
