public import Flow
public import FlowTable

extension ReplicationNode {
    /// Takes in a datagram from the sync link.
    ///
    /// Whatever it holds, nothing traps: what is not taken is counted by cause.
    public mutating func receive(
        _ datagram: RawSpan,
        now: Instant,
        internalCache: inout InternalCache,
        externalCache: inout ExternalCache
    ) {
        let header: DatagramHeader
        do throws(WireError) {
            header = try DatagramHeader(decoding: datagram)
            // What another traffic group says of its flows is none of this one's.
            guard header.group == settings.group else { throw .otherGroup }
            guard header.nodeID != nodeID else {
                receiveOwn(header, datagram, now: now)
                return
            }
            try MessageReader.validate(datagram)
        } catch {
            count(error)
            return
        }
        guard
            let index = session(
                header,
                datagram,
                now: now,
                internalCache: &internalCache,
                externalCache: &externalCache
            )
        else { return }
        hear(header, index, externalCache, now: now)
        peers[index].window.advance(toFloor: header.floor)
        settleTombstones(index, &externalCache)
        if header.flags.contains(.sequenced) {
            switch peers[index].window.verdict(header.sequence) {
            case .fresh:
                break
            case .duplicate:
                received.duplicate += 1
                owesAck(index, due: now)
                return
            case .beyondWindow:
                received.beyondWindow += 1
                return
            }
        }
        received.datagrams += 1
        apply(datagram, header, index, now: now, internalCache: &internalCache, externalCache: &externalCache)
        if header.flags.contains(.sequenced) {
            peers[index].window.insert(header.sequence)
            settleTombstones(index, &externalCache)
            owesAck(
                index,
                due: peers[index].window.hasGap ? now : now.advanced(byMilliseconds: Self.ackDelayMilliseconds)
            )
        }
    }

    func isOwedAck(_ index: Int) -> Bool { settings.isReliable && peers[index].isReliable }

    mutating func owesAck(_ index: Int, due: Instant) {
        guard isOwedAck(index) else { return }
        peers[index].ackDueAt = min(peers[index].ackDueAt ?? due, due)
    }

    /// A datagram under this node's own id: looped back, a replay of its last life, or of a double.
    ///
    /// Only a double can answer this node's challenge.
    private mutating func receiveOwn(_ header: DatagramHeader, _ datagram: RawSpan, now: Instant) {
        if header.epoch == settings.epoch {
            received.own += 1
        } else if (try? MessageReader.validate(datagram)) == nil
            || !candidates.hear(header, hello(in: datagram), now: now).isProven
        {
            received.unproven += 1
        } else {
            received.duplicateNodeID += 1
            duplicateHeardAt = now
            if !events.contains(.duplicateNodeID) { events.append(.duplicateNodeID) }
        }
    }

    private mutating func count(_ error: WireError) {
        switch error {
        case .truncated: received.truncated += 1
        case .foreign: received.foreign += 1
        case .otherGroup: received.otherGroup += 1
        case .unknownVersion: received.unknownVersion += 1
        case .malformedMessage: received.malformedMessage += 1
        case .malformedRecord: received.malformedRecord += 1
        }
    }

    /// Lets go of a peer's tombstones: nothing of what it has under way will be taken.
    mutating func dropTombstones(_ index: Int, _ externalCache: inout ExternalCache) {
        for tombstone in peers[index].tombstones {
            externalCache.settle(tombstone.slot, sequence: tombstone.sequence)
        }
        peers[index].tombstones.removeAll()
    }

    private mutating func settleTombstones(_ index: Int, _ externalCache: inout ExternalCache) {
        guard !peers[index].tombstones.isEmpty else { return }
        let cumulative = peers[index].window.cumulative
        peers[index].tombstones.removeAll { tombstone in
            guard tombstone.sequence <= cumulative else { return false }
            externalCache.settle(tombstone.slot, sequence: tombstone.sequence)
            return true
        }
    }

    /// Applies the messages of a validated datagram.
    private mutating func apply(
        _ datagram: RawSpan,
        _ header: DatagramHeader,
        _ index: Int,
        now: Instant,
        internalCache: inout InternalCache,
        externalCache: inout ExternalCache
    ) {
        let isSequenced = header.flags.contains(.sequenced)
        let origin = ExternalCache.Origin(
            owner: UInt16(index),
            sequence: header.sequence,
            generation: peers[index].generation,
            epochGeneration: peers[index].epochGeneration,
            isOfWholeState: peers[index].request != nil || peers[index].comparison.repair != nil
        )
        // An older datagram may still be under way if there is a gap below this one.
        let isInOrder = header.sequence == peers[index].window.cumulative + 1
        var tombstones: [Slot]? = isInOrder ? nil : []
        if isSequenced { Self.fetchFlows(of: datagram, externalCache.table) }
        var reader = MessageReader(datagram)
        while let message = try? reader.next() {
            let body = datagram.extracting(message.body)
            switch MessageKind(rawValue: message.kind) {
            case .upsert where isSequenced:
                applyUpsert(body, origin, header, now: now, internalCache, &externalCache)
            case .delete where isSequenced && role == .primary && rank > header.rank:
                // Its kernel tears down what this node has taken over, or is about to.
                received.refused += 1
            case .delete where isSequenced:
                let outcome = externalCache.delete(body, from: origin, now: now, tombstones: &tombstones) {
                    outranks(header, index, owner: $0)
                }
                count(outcome)
                received.deletes += 1
            case .transferEnd where isSequenced:
                receiveTransferEnd(body, index, now: now, &externalCache)
            case .repaired where isSequenced:
                receive(Repaired(decoding: body), index, now: now, &externalCache)
            case .ack:
                receiveAck(Ack(decoding: body), index, &internalCache)
            case let kind:
                applyUnsequenced(kind, body, header, index, now: now, &internalCache, &externalCache)
            }
        }
        for slot in tombstones ?? [] { peers[index].tombstones.append((slot, header.sequence)) }
    }

    /// Fetches from memory what the datagram's flows will touch.
    private static func fetchFlows(of datagram: RawSpan, _ table: borrowing FlowTable) {
        var lookahead = FlowLookahead()
        var reader = MessageReader(datagram)
        while let message = try? reader.next() {
            guard message.kind == MessageKind.upsert.rawValue || message.kind == MessageKind.delete.rawValue else {
                continue
            }
            table.note(FlowRecordView(datagram.extracting(message.body)).identity, in: &lookahead)
            if lookahead.isFull { table.fetch(&lookahead) }
        }
        table.fetch(&lookahead)
    }

    /// Applies a message that changes no flow, whatever datagram it came in.
    private mutating func applyUnsequenced(
        _ kind: MessageKind?,
        _ body: RawSpan,
        _ header: DatagramHeader,
        _ index: Int,
        now: Instant,
        _ internalCache: inout InternalCache,
        _ externalCache: inout ExternalCache
    ) {
        switch kind {
        case .heartbeat:
            receiveHeartbeat(Heartbeat(decoding: body), index, externalCache, now: now)
        case .hello:
            receive(Hello(decoding: body), index, now: now)
        case .digest:
            receiveDigest(body, header, index, now: now, externalCache)
        case .verdict:
            receiveVerdict(body, index, now: now)
        case .summaryRequest:
            receive(SummaryRequest(decoding: body), index, &internalCache)
        case .summary:
            receive(Summary(decoding: body), index, now: now, &externalCache)
        case .repairRequest:
            receive(RepairPart(decoding: body), index, now: now, &internalCache)
        case .resyncRequest:
            receiveResyncRequest(body, index, now: now, &internalCache)
        case .behind:
            guard isForThisEpoch(body), peers[index].request == nil else { return }
            peers[index].beginRequest(isWhole: wantsWhole(index, externalCache), now: now)
        default:
            received.unknownMessage += 1
        }
    }

    private mutating func applyUpsert(
        _ record: RawSpan,
        _ origin: ExternalCache.Origin,
        _ header: DatagramHeader,
        now: Instant,
        _ internalCache: borrowing InternalCache,
        _ externalCache: inout ExternalCache
    ) {
        // A router that has not noticed its loss must not plant its old flows in the cache of the one that took over.
        if role == .primary, rank > header.rank, internalCache.count > 0,
            let slot = internalCache.table.find(FlowRecordView(record).identity),
            !internalCache.table[slot].flags.contains(.dead)
        {
            received.refused += 1
            return
        }
        // Nor in that of a third: what the new owner has taken over and ended since is forgotten here already.
        if isOutranked(Int(origin.owner)),
            externalCache.table.find(FlowRecordView(record).identity) == nil
        {
            received.refused += 1
            return
        }
        let outcome = externalCache.upsert(record, from: origin, now: now) {
            outranks(header, Int(origin.owner), owner: $0)
        }
        count(outcome)
        received.upserts += 1
    }

    private mutating func count(_ outcome: ExternalCache.Outcome) {
        switch outcome {
        case .stale: received.stale += 1
        case .refused: received.refused += 1
        case .created, .updated, .removed, .absent: break
        }
    }

    /// Whether a sender may change a flow that another peer owns: the higher rank wins, and anyone outranks a peer that
    /// is gone.
    private func outranks(_ header: DatagramHeader, _ index: Int, owner: UInt16) -> Bool {
        guard Int(owner) < peers.count, Int(owner) != index else { return true }
        return !peers[Int(owner)].isUp || header.rank >= peers[Int(owner)].rank
    }

    private mutating func receiveAck(_ ack: Ack, _ index: Int, _ internalCache: inout InternalCache) {
        guard ack.nodeID == nodeID, ack.epoch == settings.epoch else { return }
        guard sender.members & 1 << UInt64(index) != 0 else {
            peers[index].owesBehind = true
            return
        }
        sender.receive(ack, peer: index, ackedThrough: &peers[index].ackedThrough, cache: &internalCache)
    }

    private mutating func receive(_ hello: Hello, _ index: Int, now: Instant) {
        guard hello.nodeID == nodeID, hello.epoch == settings.epoch else { return }
        // Who challenges does not believe this node yet, and hears nothing else of it.
        if hello.challenge != 0 {
            if hello.challenge != peers[index].echo { heartbeatDueAt = now }
            peers[index].echo = hello.challenge
        } else {
            peers[index].linksHeard = UInt8(truncatingIfNeeded: hello.links)
        }
    }

    private mutating func receiveHeartbeat(
        _ heartbeat: Heartbeat,
        _ index: Int,
        _ externalCache: borrowing ExternalCache,
        now: Instant
    ) {
        received.heartbeats += 1
        // Copies come over every link, and one may be slow: an older one says how things were.
        if let last = peers[index].lastHeartbeat, Int16(bitPattern: heartbeat.number &- last) <= 0 { return }
        peers[index].lastHeartbeat = heartbeat.number
        let isFirst = peers[index].name.isEmpty
        let roleBefore = peers[index].role
        peers[index].name = heartbeat.name
        peers[index].role = NodeRole(rawValue: heartbeat.role) ?? .unset
        // Its takeover is done: only now is its state whole.
        if !isFirst, peers[index].role == .primary, roleBefore != .primary {
            requestAgain(index, isWhole: wantsWhole(index, externalCache), now: now)
        }
        peers[index].announcedFlowCount = heartbeat.flowCount
        // Without a name there would be no telling the first heartbeat from the next.
        let mismatched = settings.shared.differences(from: heartbeat.shared)
        if mismatched != peers[index].mismatchedSettings {
            peers[index].mismatchedSettings = mismatched
            events.append(.settingsDiffer(name: peers[index].displayName, settings: mismatched))
        }
        if isFirst, !heartbeat.name.isEmpty { events.append(.peerUp(name: peers[index].displayName)) }
    }

    private mutating func receiveResyncRequest(
        _ body: RawSpan,
        _ index: Int,
        now: Instant,
        _ internalCache: inout InternalCache
    ) {
        guard isForThisEpoch(body), isWhole || !sender.isClaiming else { return }
        let request = Transfer.Request(
            peer: index,
            nodeID: peers[index].nodeID,
            token: body.littleEndian(at: 4, as: UInt32.self)
        )
        // Requests are repeated until the transfer's end arrives.
        guard peers[index].servedToken != request.token || (!settings.isReliable && !sender.isServing(index)) else {
            return
        }
        if body.littleEndian(at: 16, as: UInt32.self) != 0 {
            peers[index].servedToken = request.token
            join(index, &internalCache)
            sender.confirm(request)
            digestDueAt = now
            return
        }
        // However fast a peer asks or restarts, a walk gets the time to come to its end.
        if let servedAt = peers[index].servedAt, now.milliseconds(since: servedAt) < Self.transferPauseMilliseconds {
            return
        }
        peers[index].servedAt = now
        peers[index].servedToken = request.token
        join(index, &internalCache)
        sender.beginTransfer(for: request, now: now)
        events.append(.transferRequested(name: peers[index].displayName))
    }

    /// Lets a peer get every change from now on.
    mutating func join(_ index: Int, _ internalCache: inout InternalCache) {
        if sender.members & 1 << UInt64(index) == 0 {
            sender.addMember(index, acknowledges: peers[index].isReliable, cache: &internalCache)
            peers[index].ackedThrough = sender.log.next - 1
        }
        peers[index].owesBehind = false
    }

    private mutating func receiveTransferEnd(
        _ body: RawSpan,
        _ index: Int,
        now: Instant,
        _ externalCache: inout ExternalCache
    ) {
        guard body.littleEndian(at: 0, as: UInt32.self) == nodeID, let request = peers[index].request,
            request.token == body.littleEndian(at: 4, as: UInt32.self)
        else { return }
        peers[index].request = nil
        let flowCount = Int(body.littleEndian(at: 8, as: UInt32.self))
        guard isOwner(index) else {
            // It announces nothing, so its transfer says nothing about the flows it announced before.
            peers[index].synchronisedSince = now
            return
        }
        guard request.isWhole else { return }
        peers[index].sweep = PeerSession.Sweep(position: nil, flowCount: flowCount, startedAt: request.startedAt)
        // A small table is done at once, so that the digest that follows can be compared.
        stepSweep(index, now: now, externalCache: &externalCache)
    }
}
