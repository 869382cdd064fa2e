public import Flow
public import FlowTable

/// A datagram that was built.
public struct Transmission: Sendable, BitwiseCopyable {
    /// Its bytes; 0 if there is nothing to send now.
    public var byteCount: Int
    /// Whether it goes over every link, each copy stamped with its own (`ReplicationNode.stamp`).
    public var isForAllLinks: Bool
}

extension ReplicationNode {
    /// Writes into a built datagram on which of this node's links, 0…3, this copy of it goes out.
    @_lifetime(datagram: copy datagram)
    public static func stamp(link: Int, into datagram: inout MutableRawSpan) {
        let offset = DatagramHeader.flagsOffset
        let flags = datagram.bytes.word(at: offset, as: UInt8.self)
        datagram.storeWord(flags & 0xcf | UInt8(link & 3) << 4, at: offset)
    }

    /// Builds the next datagram to send to all peers.
    ///
    /// - Parameter output: as many bytes as a datagram may have; at least 600.
    @_lifetime(output: copy output)
    public mutating func nextTransmit(
        into output: inout MutableRawSpan,
        now: Instant,
        internalCache: inout InternalCache
    ) -> Transmission {
        var writer = MessageWriter(output._mutatingExtracting(0..<output.byteCount))
        let isHeartbeat = heartbeatDueAt <= now
        if isHeartbeat { putHeartbeat(&writer, internalCache.count, now: now) }
        for index in peers.indices { putControl(index, &writer, now: now) }
        candidates.putHellos(&writer, now: now)
        // Nothing that must arrive goes into a heartbeat, of which a peer gets a copy over every link.
        let isSequenced = !isHeartbeat && sender.compose(&writer, now: now, cache: &internalCache)
        if !isHeartbeat {
            putDigest(&writer, internalCache.table, now: now)
            putSummaries(&writer, &internalCache, now: now)
        }
        guard !writer.isEmpty else { return Transmission(byteCount: 0, isForAllLinks: false) }
        let sequence = isSequenced ? sender.log.next : sender.log.next - 1
        var flags: DatagramHeader.Flags = isSequenced ? .sequenced : []
        if sender.isClaiming { flags.insert(.claiming) }
        if !settings.isReliable { flags.insert(.bestEffort) }
        writer.finish(
            DatagramHeader(
                flags: flags,
                nodeID: nodeID,
                epoch: settings.epoch,
                sequence: sequence,
                floorDistance: UInt32(clamping: sequence + 1 - min(sender.log.floor, sequence + 1)),
                group: settings.group,
                takeoverNumber: takeoverNumber
            )
        )
        if isSequenced { sender.close(byteCount: writer.byteCount, now: now) }
        sender.counters.datagrams += 1
        return Transmission(byteCount: writer.byteCount, isForAllLinks: isHeartbeat)
    }

    private mutating func putHeartbeat(_ writer: inout MessageWriter, _ flowCount: Int, now: Instant) {
        heartbeatDueAt = now.advanced(byMilliseconds: Self.heartbeatMilliseconds)
        writer.put(
            Heartbeat(
                role: roleToAnnounce.rawValue,
                number: UInt16(truncatingIfNeeded: sender.counters.heartbeats),
                flowCount: role.claimsFlows ? UInt32(clamping: flowCount) : 0,
                shared: settings.shared,
                name: settings.name
            )
        )
        sender.counters.heartbeats += 1
        for index in peers.indices where peers[index].isUp {
            // A peer that lost this node's acknowledgements, or was taken for lost itself, hears of it this way.
            if isOwedAck(index) { peers[index].ackDueAt = now }
            peers[index].owesVerdict = isComparable(index)
            guard writer.bodyByteCountMax >= Hello.byteCount else { continue }
            Hello(
                nodeID: peers[index].nodeID,
                links: UInt32(LinkSelection.heard(peers[index].heardOnLink, now: now)),
                epoch: peers[index].epoch,
                challenge: 0,
                echo: peers[index].echo
            ).put(&writer)
        }
    }

    /// States the sum over this node's flows, once everything announced has been sent.
    private mutating func putDigest(_ writer: inout MessageWriter, _ table: borrowing FlowTable, now: Instant) {
        guard isWhole, digestDueAt <= now || sender.hasAnswered, sender.isClaiming, sender.queuedCount == 0,
            writer.bodyByteCountMax >= 16
        else {
            return
        }
        digestDueAt = now.advanced(byMilliseconds: Self.heartbeatMilliseconds)
        sender.hasAnswered = false
        let (digest, flowCount) = table.total(owner: 0)
        writer.putWords(.digest, UInt32(clamping: flowCount), 0, digest)
    }

    private mutating func putSummaries(_ writer: inout MessageWriter, _ cache: inout InternalCache, now: Instant) {
        guard !summaries.isEmpty else { return }
        sender.pacer.refill(now: now)
        while sender.pacer.hasBudget {
            let byteCount = summaries.put(&writer, cache.digests())
            guard byteCount > 0 else { return }
            sender.pacer.spend(byteCount)
            sender.counters.summaries += 1
        }
    }

    /// Writes what one peer is owed: acknowledgement, request, or the word that it is behind.
    private mutating func putControl(_ index: Int, _ writer: inout MessageWriter, now: Instant) {
        // Field by field: a session is more than 1 KB, and a copy of it retains all its arrays.
        if let due = peers[index].ackDueAt, due <= now, writer.bodyByteCountMax >= Ack.fixedByteCount {
            let rangeCountMax = min(Ack.rangeCountMax, (writer.bodyByteCountMax - Ack.fixedByteCount) / 4)
            writer.put(
                Ack(
                    nodeID: peers[index].nodeID,
                    epoch: peers[index].epoch,
                    cumulative: peers[index].window.cumulative,
                    ranges: peers[index].window.ranges(countMax: rangeCountMax)
                )
            )
            peers[index].ackDueAt = nil
            sender.counters.acksSent += 1
        }
        if let request = peers[index].request, peers[index].isUp, writer.bodyByteCountMax >= 20,
            (request.sentAt?.advanced(byMilliseconds: Self.requestRepeatMilliseconds) ?? now) <= now
        {
            writer.putResyncRequest(
                nodeID: peers[index].nodeID,
                token: request.token,
                epoch: peers[index].epoch,
                isWhole: request.isWhole
            )
            peers[index].request?.sentAt = now
            sender.counters.resyncRequests += 1
        }
        if peers[index].owesVerdict, writer.bodyByteCountMax >= 16 {
            writer.putWords(.verdict, peers[index].nodeID, peers[index].verdictToSend, peers[index].epoch)
            peers[index].owesVerdict = false
        }
        if peers[index].isUp, peers[index].comparison.isRepairing {
            sender.pacer.refill(now: now)
            let identity = (peers[index].nodeID, peers[index].epoch)
            peers[index].comparison.repair?.put(&writer, identity, &sender.pacer, now: now)
        }
        if peers[index].owesBehind, writer.bodyByteCountMax >= 16 {
            writer.putWords(.behind, peers[index].nodeID, 0, peers[index].epoch)
            peers[index].owesBehind = false
        }
    }
}
