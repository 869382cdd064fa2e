internal import Flow
internal import FlowTable

// Proof and repair (DESIGN §2): this node as the receiver that compares and has its copy mended, and as the sender that
// answers.

extension ReplicationNode {
    static let listSlotCountMax = 16_384

    /// Whether this node's copy of a peer's flows should equal what the peer has.
    ///
    /// Not while somebody with a higher takeover number claims flows too: then the peer's may be another's here.
    func isComparable(_ index: Int) -> Bool {
        peers[index].isUp && isOwner(index) && !isOutranked(index)
    }

    // MARK: Receiver

    /// Compares the sum over a peer's flows with the sum over this node's copy, if that is as new.
    mutating func receiveDigest(
        _ body: RawSpan,
        _ header: DatagramHeader,
        _ index: Int,
        now: Instant,
        _ externalCache: borrowing ExternalCache
    ) {
        guard peers[index].request == nil, peers[index].sweep == nil else { return }
        guard isComparable(index) else {
            // Nothing is to be proved, and nothing more is to come.
            if peers[index].synchronisedSince == nil { peers[index].synchronisedSince = now }
            return
        }
        // Every datagram up to this one is here, and none after it. A later header may have moved the window on, over
        // what its sender has taken for lost and put into a newer datagram: then this digest was overtaken.
        guard header.sequence >= peers[index].latestSequence else { return }
        let cumulative = header.flags.contains(.sequenced) ? header.sequence - 1 : header.sequence
        guard peers[index].window.cumulative == cumulative, !peers[index].window.hasGap else { return }
        let (digest, flowCount) = externalCache.table.total(owner: UInt16(index))
        let announcedFlowCount = Int(body.littleEndian(at: 0, as: UInt32.self))
        if digest == body.littleEndian(at: 8, as: UInt64.self) {
            agree(index, now: now)
        } else {
            received.differences += 1
            differ(index, flowCount: max(1, abs(announcedFlowCount - flowCount)), now: now)
        }
    }

    private mutating func differ(_ index: Int, flowCount: Int, now: Instant) {
        if peers[index].synchronisedSince != nil {
            events.append(.differs(name: peers[index].displayName, flowCount: flowCount))
            peers[index].owesVerdict = true
        }
        peers[index].synchronisedSince = nil
        guard peers[index].comparison.repair == nil else { return }
        peers[index].comparison.differingFlowCount = flowCount
        if peers[index].comparison.pausedUntil <= now { peers[index].comparison.beginRepair(now: now) }
    }

    private mutating func agree(_ index: Int, now: Instant) {
        received.agreements += 1
        peers[index].owesVerdict = peers[index].synchronisedSince == nil
        peers[index].synchronisedSince = peers[index].synchronisedSince ?? now
        guard let report = peers[index].comparison.agree(now: now) else { return }
        received.repairs += 1
        received.repairedFlows += UInt64(report.flowCount)
        events.append(
            .repaired(
                name: peers[index].displayName,
                flowCount: report.flowCount,
                byteCount: report.byteCount,
                milliseconds: report.milliseconds
            )
        )
    }

    mutating func receive(
        _ summary: Summary,
        _ index: Int,
        now: Instant,
        _ externalCache: inout ExternalCache
    ) {
        guard summary.nodeID == nodeID, peers[index].comparison.repair != nil else { return }
        let digests = externalCache.digests(owner: UInt16(index))
        if peers[index].comparison.repair?.receive(summary, digests) == true {
            peers[index].comparison.endRepair(now: now)
        } else if let count = peers[index].comparison.repair?.differingFlowCount, count > 0 {
            peers[index].comparison.differingFlowCount = count
        }
    }

    /// Goes on listing what is held in the buckets that differ.
    mutating func stepRepair(_ index: Int, _ externalCache: borrowing ExternalCache) {
        guard peers[index].comparison.isRepairing, peers[index].comparison.repair?.phase == .listing else { return }
        let identity = (peers[index].nodeID, peers[index].epoch)
        peers[index].comparison.repair?.list(
            externalCache.table,
            owner: UInt16(index),
            slotCountMax: Self.listSlotCountMax,
            identity
        )
    }

    mutating func receive(_ answer: Repaired, _ index: Int, now: Instant, _ externalCache: inout ExternalCache) {
        // What an outranked sender no longer has, this node may be about to take over.
        guard isOwner(index) else {
            peers[index].comparison.repair = nil
            return
        }
        guard answer.nodeID == nodeID, let unknown = peers[index].comparison.repair?.receive(answer) else { return }
        var removedCount = 0
        for item in unknown {
            let isRemoved = externalCache.remove(
                item.slot,
                ifUnchanged: (owner: UInt16(index), sequence: item.sequence, generation: item.generation)
            )
            if isRemoved { removedCount += 1 }
        }
        peers[index].comparison.repair?.flowCount += removedCount
        if peers[index].comparison.repair?.isDone == true { peers[index].comparison.endRepair(now: now) }
    }

    // MARK: Sender

    mutating func receiveVerdict(_ body: RawSpan, _ index: Int, now: Instant) {
        guard isForThisEpoch(body) else { return }
        peers[index].verdict = (body.littleEndian(at: 4, as: UInt32.self), now)
    }

    mutating func receive(_ request: SummaryRequest, _ index: Int, _ internalCache: inout InternalCache) {
        guard request.nodeID == nodeID, request.epoch == settings.epoch, sender.isClaiming, isWhole else { return }
        join(index, &internalCache)
        summaries.append(request, from: index, nodeID: peers[index].nodeID)
    }

    mutating func receive(
        _ part: RepairPart,
        _ index: Int,
        now: Instant,
        _ internalCache: inout InternalCache
    ) {
        guard part.nodeID == nodeID, part.epoch == settings.epoch, sender.isClaiming, isWhole else { return }
        join(index, &internalCache)
        sender.take(part, from: index, nodeID: peers[index].nodeID, now: now)
    }

    /// Whether a message names this node and its epoch, in the place where all those do that are for one node.
    func isForThisEpoch(_ body: RawSpan) -> Bool {
        body.littleEndian(at: 0, as: UInt32.self) == nodeID
            && body.littleEndian(at: 8, as: UInt64.self) == settings.epoch
    }
}
