import Flow
import FlowTable

/// The sending half of a node: announces the internal cache's changes to all peers in one sequenced stream.
///
/// Changed flows wait in a queue, each at most once; a datagram takes their state at the moment it is built. While the
/// window is full the queue simply grows by the flows that change (never beyond the table), so a slow peer costs
/// latency, not memory. Order: what a transfer ends with, then changes and losses, then a transfer's flows within
/// their budget: live changes go first (DESIGN §2).
struct Sender: ~Copyable {
    /// A peer counts a datagram as lost when one sent this many later has arrived.
    static let reorderDatagramCount: UInt64 = 3
    /// How long an unacknowledged datagram is waited for at first; doubled at each repetition.
    static let resendMilliseconds: UInt64 = 100
    static let resendDoublingsMax: UInt64 = 4
    /// Flows that fit into a datagram of the largest size.
    static let slotCountPerDatagramMax = 256

    var log = SendLog()
    private var queue = SlotQueue()
    /// Peers that have asked for the state in this epoch and get every change, one bit per peer index.
    private(set) var members: UInt64 = 0
    /// Whether this node's kernel's flows are announced at all.
    private(set) var isClaiming: Bool
    private(set) var transfer: Transfer?
    private var ends: [TransferEnd] = []
    private var resendDoublings: UInt64 = 0
    var counters = SendCounters()

    init(isClaiming: Bool) {
        self.isClaiming = isClaiming
    }

    /// Flows that wait to be sent.
    var queuedCount: Int { queue.count }

    // MARK: Changes

    /// Takes note that peers must learn of a slot's state.
    mutating func announce(_ slot: Slot, in cache: inout InternalCache) {
        guard isClaiming, members != 0 else {
            guard cache[slot].flags.contains(.dead) else { return }
            if cache[slot].flags.contains(.bulkPending) {
                finishPending(slot, in: &cache)
                finishTransferIfDone()
            }
            cache.settle(slot)
            return
        }
        guard !cache[slot].flags.contains(.queued) else { return }
        cache[slot].flags.insert(.queued)
        queue.append(slot)
    }

    // MARK: Datagrams

    /// Adds what must arrive to a datagram under construction.
    ///
    /// - Returns: whether anything was added; the datagram is then sequenced, as number `log.next`.
    mutating func compose(
        _ writer: inout MessageWriter,
        now: Instant,
        cache: inout InternalCache
    ) -> Bool {
        guard members != 0, log.hasRoom(forSlotCount: Self.slotCountPerDatagramMax) else { return false }
        var isSequenced = composeEnds(&writer)
        while let slot = queue.first {
            let header = cache[slot]
            guard header.flags.contains(.queued) else {
                queue.removeFirst()
                continue
            }
            let isDead = header.flags.contains(.dead)
            if isDead, header.sequence == 0 {
                // Came and went before anyone heard of it.
                queue.removeFirst()
                cache[slot].flags.remove(.queued)
                if header.flags.contains(.bulkPending) { finishPending(slot, in: &cache) }
                cache.settle(slot)
                counters.coalesced += 1
                continue
            }
            guard put(slot, &writer, now: now, cache: &cache) else { return isSequenced }
            queue.removeFirst()
            isSequenced = true
        }
        if composeTransfer(&writer, now: now, cache: &cache) { isSequenced = true }
        return isSequenced
    }

    /// Closes the datagram that `compose` filled.
    mutating func close(byteCount: Int, now: Instant) {
        _ = log.close(byteCount: byteCount, awaiting: members, now: now)
    }

    /// Writes a slot's state; false if there is no room for it.
    private mutating func put(
        _ slot: Slot,
        _ writer: inout MessageWriter,
        now: Instant,
        cache: inout InternalCache
    ) -> Bool {
        guard Self.write(slot, of: cache.table, &writer, now: now) else { return false }
        if cache[slot].flags.contains(.dead) { counters.deletes += 1 } else { counters.upserts += 1 }
        log.note(slot)
        cache[slot].sequence = log.next
        cache[slot].flags.remove(.queued)
        return true
    }

    private static func write(
        _ slot: Slot,
        of table: borrowing FlowTable,
        _ writer: inout MessageWriter,
        now: Instant
    ) -> Bool {
        let header = table[slot]
        let record = table.record(at: slot)
        guard record.byteCount <= writer.bodyByteCountMax else { return false }
        let isDead = header.flags.contains(.dead)
        writer.putRecord(
            isDead ? .delete : .upsert,
            record,
            timeoutSeconds: isDead ? 0 : header.deadline.secondsLeft(at: now)
        )
        return true
    }

    // MARK: Acknowledgement and loss

    /// Takes in what a peer has received.
    ///
    /// - Parameter ackedThrough: everything up to here was taken in from this peer before.
    mutating func receive(
        _ ack: Ack,
        peer: Int,
        ackedThrough: inout UInt64,
        cache: inout InternalCache
    ) {
        guard ack.cumulative < log.next else {
            counters.invalidAcks += 1
            return
        }
        counters.acks += 1
        let bit: UInt64 = 1 << UInt64(peer)
        var largest = ack.cumulative
        let floorBefore = log.floor
        if ack.cumulative > ackedThrough {
            acknowledge(ackedThrough + 1..<ack.cumulative + 1, bit, &cache)
            ackedThrough = ack.cumulative
        }
        for range in ack.ranges where range.upperBound <= log.next && !range.isEmpty {
            acknowledge(range, bit, &cache)
            largest = max(largest, range.upperBound - 1)
        }
        if largest > Self.reorderDatagramCount {
            declareLost(below: largest - Self.reorderDatagramCount + 1, awaitedBy: bit, &cache)
        }
        log.advanceFloor()
        if log.floor > floorBefore { resendDoublings = 0 }
        finishTransferIfDone()
    }

    private mutating func acknowledge(_ range: Range<UInt64>, _ peers: UInt64, _ cache: inout InternalCache) {
        var sequence = max(range.lowerBound, log.floor)
        while sequence < range.upperBound {
            if log.acknowledge(sequence, peers: peers) { settle(sequence, &cache) }
            sequence += 1
        }
    }

    private mutating func settle(_ sequence: UInt64, _ cache: inout InternalCache) {
        let datagram = log.datagram(sequence)
        for index in 0..<datagram.slotCount {
            let slot = log.slot(index, of: datagram)
            let header = cache[slot]
            guard header.sequence == sequence, header.flags.contains(.occupied), !header.flags.contains(.queued)
            else { continue }
            if header.flags.contains(.bulkPending) { finishPending(slot, in: &cache) }
            if header.flags.contains(.dead) { cache.settle(slot) }
        }
        ends.removeAll { $0.sequence == sequence }
    }

    private mutating func declareLost(below limit: UInt64, awaitedBy peers: UInt64, _ cache: inout InternalCache) {
        var sequence = log.floor
        while sequence < min(limit, log.next) {
            let datagram = log.datagram(sequence)
            if !datagram.isResolved, datagram.awaiting & peers != 0 { lose(sequence, &cache) }
            sequence += 1
        }
    }

    private mutating func lose(_ sequence: UInt64, _ cache: inout InternalCache) {
        let datagram = log.datagram(sequence)
        log.resolve(sequence)
        counters.lostDatagrams += 1
        for index in 0..<datagram.slotCount {
            let slot = log.slot(index, of: datagram)
            let header = cache[slot]
            guard header.sequence == sequence, header.flags.contains(.occupied), !header.flags.contains(.queued)
            else { continue }
            cache[slot].flags.insert(.queued)
            queue.append(slot)
            counters.resends += 1
        }
        for index in ends.indices where ends[index].sequence == sequence { ends[index].sequence = 0 }
    }

    /// When the oldest datagram under way is to be given up; nil if none is.
    var resendDeadline: Instant? {
        guard !log.isEmpty else { return nil }
        return log.datagram(log.floor).sentAt.advanced(byMilliseconds: Self.resendMilliseconds << resendDoublings)
    }

    /// Gives up datagrams that were not acknowledged in time.
    mutating func timeOut(now: Instant, cache: inout InternalCache) {
        guard let deadline = resendDeadline, deadline <= now else { return }
        let patience = Self.resendMilliseconds << resendDoublings
        for sequence in log.floor..<log.next {
            let datagram = log.datagram(sequence)
            guard datagram.sentAt.advanced(byMilliseconds: patience) <= now else { break }
            if !datagram.isResolved { lose(sequence, &cache) }
        }
        log.advanceFloor()
        resendDoublings = min(resendDoublings + 1, Self.resendDoublingsMax)
    }

    /// Peers that keep the log full while others have acknowledged: they are to fall behind rather than hold those up
    /// (DESIGN §2).
    func laggards(now: Instant) -> UInt64 {
        guard let deadline = laggardDeadline, deadline <= now else { return 0 }
        return log.datagram(log.floor).awaiting
    }

    /// When `laggards` has to be asked; nil while nobody holds others up.
    var laggardDeadline: Instant? {
        guard !log.isEmpty, !log.hasRoom(forSlotCount: Self.slotCountPerDatagramMax) else { return nil }
        let oldest = log.datagram(log.floor)
        // No doubling: it is meant for a peer that everybody waits for.
        return oldest.awaiting == members ? nil : oldest.sentAt.advanced(byMilliseconds: Self.resendMilliseconds)
    }

    // MARK: Members and claim

    /// Lets a peer get every change from now on.
    mutating func addMember(_ peer: Int) {
        members |= 1 << UInt64(peer)
    }

    /// Stops waiting for a peer.
    ///
    /// With the last one gone nothing is kept: whoever comes gets a transfer.
    mutating func removeMember(_ peer: Int, cache: inout InternalCache) {
        let bit: UInt64 = 1 << UInt64(peer)
        guard members & bit != 0 else { return }
        members &= ~bit
        ends.removeAll { $0.peer == peer }
        transfer?.requests.removeAll { $0.peer == peer }
        acknowledge(log.floor..<log.next, bit, &cache)
        log.advanceFloor()
        if members == 0 { dropEverything(&cache) }
        finishTransferIfDone()
    }

    /// Begins or stops announcing this node's flows.
    ///
    /// Peers notice by the header's flag and ask for a resync.
    mutating func setClaiming(_ claiming: Bool, cache: inout InternalCache) {
        guard claiming != isClaiming else { return }
        isClaiming = claiming
        // What is queued or under way still goes out: a planned switch must not lose the latest changes.
        guard !claiming, transfer != nil else { return }
        // The transfer waits for nothing more: of a node that claims nothing, its end says nothing about any flow.
        forgetPending(&cache)
        transfer?.isWalked = true
        finishTransferIfDone()
    }

    private mutating func forgetPending(_ cache: inout InternalCache) {
        guard let transfer, transfer.pendingCount > 0 else { return }
        self.transfer?.pendingCount = 0
        var position = cache.table.next(after: nil)
        while let slot = position {
            cache[slot].flags.remove(.bulkPending)
            position = cache.table.next(after: slot)
        }
    }

    /// Forgets what is queued and under way; a transfer starts anew.
    mutating func abandonPending(now: Instant, cache: inout InternalCache) {
        let requests = transfer?.requests
        dropEverything(&cache)
        for request in requests ?? [] { beginTransfer(for: request, now: now) }
    }

    private mutating func dropEverything(_ cache: inout InternalCache) {
        while let slot = queue.first {
            queue.removeFirst()
            guard cache[slot].flags.contains(.queued) else { continue }
            cache[slot].flags.remove(.queued)
            if cache[slot].flags.contains(.dead) { cache.settle(slot) }
        }
        // Nobody has acknowledged the transfer ends under way: they are owed still.
        for index in ends.indices { ends[index].sequence = 0 }
        for sequence in log.floor..<log.next where !log.datagram(sequence).isResolved {
            log.resolve(sequence)
            settle(sequence, &cache)
        }
        log.advanceFloor()
        forgetPending(&cache)
        transfer = nil
    }

    // MARK: Transfer of the whole state

    /// Sends the whole cache: for a peer that asked (which gets a transfer end), or to all (`request` nil).
    mutating func beginTransfer(for request: Transfer.Request?, now: Instant) {
        if transfer == nil { counters.transfers += 1 }
        var next = transfer ?? Transfer(requests: [], isWalked: false)
        next.position = nil
        next.flowCount = 0
        next.isWalked = !isClaiming
        if let request {
            next.requests.removeAll { $0.peer == request.peer }
            next.requests.append(request)
        }
        next.refilledAt = now
        transfer = next
        finishTransferIfDone()
    }

    private mutating func composeTransfer(
        _ writer: inout MessageWriter,
        now: Instant,
        cache: inout InternalCache
    ) -> Bool {
        guard var current = transfer, !current.isWalked else { return false }
        current.refill(now: now)
        var wrote = false
        while current.budgetByteCount > 0 {
            guard let slot = cache.table.next(after: current.position) else {
                current.isWalked = true
                break
            }
            let flags = cache[slot].flags
            if !flags.contains(.dead) {
                // A queued flow goes out anyway; the transfer only has to wait for it.
                if !flags.contains(.queued) {
                    guard put(slot, &writer, now: now, cache: &cache) else { break }
                    wrote = true
                }
                if !flags.contains(.bulkPending) {
                    cache[slot].flags.insert(.bulkPending)
                    current.pendingCount += 1
                }
                current.flowCount += 1
                counters.transferredFlows += 1
                current.budgetByteCount -= cache.table.record(at: slot).byteCount + 4
            }
            current.position = slot
        }
        transfer = current
        finishTransferIfDone()
        return wrote
    }

    private mutating func finishPending(_ slot: Slot, in cache: inout InternalCache) {
        cache[slot].flags.remove(.bulkPending)
        transfer?.pendingCount -= 1
    }

    private mutating func finishTransferIfDone() {
        guard let current = transfer, current.isWalked, current.pendingCount <= 0 else { return }
        for request in current.requests {
            ends.append(
                TransferEnd(
                    peer: request.peer,
                    nodeID: request.nodeID,
                    token: request.token,
                    flowCount: current.flowCount
                )
            )
        }
        transfer = nil
    }

    private mutating func composeEnds(_ writer: inout MessageWriter) -> Bool {
        var wrote = false
        for index in ends.indices where ends[index].sequence == 0 {
            guard writer.bodyByteCountMax >= 16 else { break }
            writer.putWords(.transferEnd, ends[index].nodeID, ends[index].token, UInt64(ends[index].flowCount))
            ends[index].sequence = log.next
            wrote = true
        }
        return wrote
    }

    /// Whether a datagram with flows or transfer ends could be sent at `now`.
    func wantsToSend(now: Instant) -> Bool {
        guard members != 0, log.hasRoom(forSlotCount: Self.slotCountPerDatagramMax) else { return false }
        if !queue.isEmpty || ends.contains(where: { $0.sequence == 0 }) { return true }
        guard let transfer, !transfer.isWalked else { return false }
        return transfer.budgetByteCount > 0 || transfer.refillDueAt <= now
    }
}

/// A message that ends a transfer for one peer, until it is acknowledged.
private struct TransferEnd {
    var peer: Int
    var nodeID: UInt32
    var token: UInt32
    var flowCount: UInt32
    /// The datagram that carries it; 0 while it waits.
    var sequence: UInt64 = 0
}
