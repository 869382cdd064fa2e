public import Flow
public import FlowTable

extension ReplicationNode {
    /// Builds the next datagram to send to all peers.
    ///
    /// - Parameter output: as many bytes as a datagram may have; at least 600.
    /// - Returns: the datagram's bytes; 0 if there is nothing to send now.
    @_lifetime(output: copy output)
    public mutating func nextTransmit(
        into output: inout MutableRawSpan,
        now: Instant,
        internalCache: inout InternalCache
    ) -> Int {
        var writer = MessageWriter(output._mutatingExtracting(0..<output.byteCount))
        if heartbeatDueAt <= now {
            heartbeatDueAt = now.advanced(byMilliseconds: Self.heartbeatMilliseconds)
            let count = role.claimsFlows ? UInt32(clamping: internalCache.count) : 0
            writer.put(Heartbeat(role: roleToAnnounce.rawValue, flowCount: count, name: settings.name))
            sender.counters.heartbeats += 1
            // A peer that lost this node's acknowledgements, or was taken for lost itself, hears of it this way.
            for index in peers.indices where peers[index].isUp { peers[index].ackDueAt = now }
        }
        for index in peers.indices { putControl(index, &writer, now: now) }
        let isSequenced = sender.compose(&writer, now: now, cache: &internalCache)
        guard !writer.isEmpty else { return 0 }
        let sequence = isSequenced ? sender.log.next : sender.log.next - 1
        var flags: DatagramHeader.Flags = isSequenced ? .sequenced : []
        if sender.isClaiming { flags.insert(.claiming) }
        writer.finish(
            DatagramHeader(
                flags: flags,
                nodeID: nodeID,
                epoch: settings.epoch,
                sequence: sequence,
                floorDistance: UInt32(clamping: sequence + 1 - min(sender.log.floor, sequence + 1)),
                takeoverNumber: takeoverNumber
            )
        )
        if isSequenced { sender.close(byteCount: writer.byteCount, now: now) }
        sender.counters.datagrams += 1
        return writer.byteCount
    }

    /// Writes what one peer is owed: acknowledgement, request, or the word that it is behind.
    private mutating func putControl(_ index: Int, _ writer: inout MessageWriter, now: Instant) {
        let peer = peers[index]
        if let due = peer.ackDueAt, due <= now, writer.bodyByteCountMax >= Ack.fixedByteCount {
            let rangeCountMax = min(Ack.rangeCountMax, (writer.bodyByteCountMax - Ack.fixedByteCount) / 4)
            writer.put(
                Ack(
                    nodeID: peer.nodeID,
                    epoch: peer.epoch,
                    cumulative: peer.window.cumulative,
                    ranges: peer.window.ranges(countMax: rangeCountMax)
                )
            )
            peers[index].ackDueAt = nil
            sender.counters.acksSent += 1
        }
        if let request = peer.request, peer.isUp, writer.bodyByteCountMax >= 16,
            (request.sentAt?.advanced(byMilliseconds: Self.requestRepeatMilliseconds) ?? now) <= now
        {
            writer.putWords(.resyncRequest, peer.nodeID, request.token, peer.epoch)
            peers[index].request?.sentAt = now
            sender.counters.resyncRequests += 1
        }
        if peer.owesBehind, writer.bodyByteCountMax >= 16 {
            writer.putWords(.behind, peer.nodeID, 0, peer.epoch)
            peers[index].owesBehind = false
        }
    }
}
