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
    /// The sequence of flows that peers may know though no datagram of this life has carried them.
    static let sentInAnotherLife = UInt64.max
    /// How long a list's missing parts are waited for.
    static let partPatienceMilliseconds: UInt64 = 10
    /// Flows that fit into a datagram of the largest size.
    static let slotCountPerDatagramMax = 256

    var log = SendLog()
    private var queue = SlotQueue()
    /// Peers that have asked for the state in this epoch and get every change, one bit per peer index.
    private(set) var members: UInt64 = 0
    /// Those of them that acknowledge what they get; one set to best effort does not.
    private var acknowledging: UInt64 = 0
    /// Whether this node's kernel's flows are announced at all.
    private(set) var isClaiming: Bool
    private(set) var transfer: Transfer?
    /// What peers hold in buckets that differ; the next walk takes all lists together.
    private var lists: [RepairList] = []
    /// When that walk may begin: it waits a moment for lists to be whole.
    private var listsDueAt = Instant.distantFuture
    /// The lists of the walk under way and of those before it.
    private var servedLists: [RepairList] = []
    private var answers: [Answer] = []
    /// An answer was sent since the last digest: its result is to be proved at once.
    var hasAnswered = false
    private var resendDoublings: UInt64 = 0
    /// Without acknowledgements nothing is sent again; digests find what was lost.
    private let isReliable: Bool
    var pacer = Pacer()
    var counters = SendCounters()

    init(isClaiming: Bool, isReliable: Bool) {
        self.isClaiming = isClaiming
        self.isReliable = isReliable
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
        var header = cache[slot]
        guard !header.flags.contains(.queued) else { return }
        header.flags.insert(.queued)
        cache[slot] = header
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
        beginRepairIfDue(now: now)
        var isSequenced = composeAnswers(&writer)
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
            guard put(slot, header, &writer, now: now, cache: &cache) else { return isSequenced }
            queue.removeFirst()
            isSequenced = true
        }
        if composeTransfer(&writer, now: now, cache: &cache) { isSequenced = true }
        return isSequenced
    }

    /// Closes the datagram that `compose` filled.
    mutating func close(byteCount: Int, now: Instant) {
        _ = log.close(byteCount: byteCount, awaiting: members & acknowledging, now: now)
    }

    /// Writes a slot's state; false if there is no room for it.
    private mutating func put(
        _ slot: Slot,
        _ header: SlotHeader,
        _ writer: inout MessageWriter,
        now: Instant,
        cache: inout InternalCache
    ) -> Bool {
        guard Self.write(slot, header, of: cache.table, &writer, now: now) else { return false }
        var header = header
        let isDead = header.flags.contains(.dead)
        if isDead { counters.deletes += 1 } else { counters.upserts += 1 }
        log.note(slot, isAwaited: isDead || header.flags.contains(.bulkPending))
        header.sequence = log.next
        header.flags.remove(.queued)
        cache[slot] = header
        return true
    }

    private static func write(
        _ slot: Slot,
        _ header: SlotHeader,
        of table: borrowing FlowTable,
        _ writer: inout MessageWriter,
        now: Instant
    ) -> Bool {
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
        for index in 0..<datagram.slotCount where log.isAwaited(index, of: datagram) {
            let slot = log.slot(index, of: datagram)
            let header = cache[slot]
            guard header.sequence == sequence, header.flags.contains(.occupied), !header.flags.contains(.queued)
            else { continue }
            if header.flags.contains(.bulkPending) { finishPending(slot, in: &cache) }
            if header.flags.contains(.dead) { cache.settle(slot) }
        }
        if !answers.isEmpty { answers.removeAll { $0.sequence == sequence } }
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
        for index in answers.indices where answers[index].sequence == sequence { answers[index].sequence = 0 }
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
            guard !datagram.isResolved else { continue }
            if isReliable, datagram.awaiting != 0 {
                lose(sequence, &cache)
            } else {
                log.resolve(sequence)
                settle(sequence, &cache)
            }
        }
        log.advanceFloor()
        if isReliable, members & acknowledging != 0 {
            resendDoublings = min(resendDoublings + 1, Self.resendDoublingsMax)
        }
        finishTransferIfDone()
    }

    /// Another link carries the load now: what the old one has swallowed is not to wait long.
    mutating func changeLink() {
        resendDoublings = 0
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
        return oldest.awaiting == members & acknowledging
            ? nil : oldest.sentAt.advanced(byMilliseconds: Self.resendMilliseconds)
    }

    // MARK: Members and claim

    /// Lets a peer get every change from now on.
    ///
    /// It may know flows from another life of this node, of which it was told nothing in this one: their end is news to
    /// it, whether or not this life has ever sent them.
    mutating func addMember(_ peer: Int, acknowledges: Bool, cache: inout InternalCache) {
        members |= 1 << UInt64(peer)
        if acknowledges { acknowledging |= 1 << UInt64(peer) } else { acknowledging &= ~(1 << UInt64(peer)) }
        var position = cache.table.next(after: nil)
        while let slot = position {
            if cache[slot].sequence == 0 { cache[slot].sequence = Self.sentInAnotherLife }
            position = cache.table.next(after: slot)
        }
    }

    /// Stops waiting for a peer.
    ///
    /// With the last one gone nothing is kept: whoever comes gets a transfer.
    mutating func removeMember(_ peer: Int, cache: inout InternalCache) {
        let bit: UInt64 = 1 << UInt64(peer)
        guard members & bit != 0 else { return }
        members &= ~bit
        answers.removeAll { $0.peer == peer }
        transfer?.requests.removeAll { $0.peer == peer }
        lists.removeAll { $0.peer == peer }
        servedLists.removeAll { $0.peer == peer }
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
        transfer?.dropPlan()
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
        lists.removeAll()
        servedLists.removeAll()
        for request in requests ?? [] { beginTransfer(for: request, now: now) }
    }

    private mutating func dropEverything(_ cache: inout InternalCache) {
        while let slot = queue.first {
            queue.removeFirst()
            guard cache[slot].flags.contains(.queued) else { continue }
            cache[slot].flags.remove(.queued)
            if cache[slot].flags.contains(.dead) { cache.settle(slot) }
        }
        // Nobody has acknowledged the transfer ends under way: they are owed still. What a repair has found out about
        // the flows, however, is no longer true.
        for index in answers.indices { answers[index].sequence = 0 }
        answers.removeAll { $0.isRepaired }
        for sequence in log.floor..<log.next where !log.datagram(sequence).isResolved {
            log.resolve(sequence)
            settle(sequence, &cache)
        }
        log.advanceFloor()
        forgetPending(&cache)
        transfer = nil
    }

    // MARK: Transfer

    /// Sends the whole cache: for a peer that asked (which gets a transfer end), or to all (`request` nil).
    mutating func beginTransfer(for request: Transfer.Request?, now: Instant) {
        if transfer?.isWhole != true { counters.transfers += 1 }
        var next = transfer ?? Transfer(isWhole: true)
        next.isWhole = true
        next.restart()
        next.isWalked = !isClaiming
        if let request {
            next.requests.removeAll { $0.peer == request.peer }
            next.requests.append(request)
        }
        transfer = next
        finishTransferIfDone()
    }

    /// Lets a peer know that it gets every change from here on.
    mutating func confirm(_ request: Transfer.Request) {
        answers.removeAll { $0.peer == request.peer && !$0.isRepaired }
        answers.append(Answer(request, flowCount: 0))
    }

    /// Whether a peer's request is being answered.
    func isServing(_ peer: Int) -> Bool {
        transfer?.requests.contains { $0.peer == peer } == true || answers.contains { $0.peer == peer }
    }

    private mutating func composeTransfer(
        _ writer: inout MessageWriter,
        now: Instant,
        cache: inout InternalCache
    ) -> Bool {
        // Taken out rather than copied, so that the plan is changed in place below.
        guard transfer?.isWalked == false, var current = transfer.take() else { return false }
        pacer.refill(now: now)
        var wrote = false
        var slotCount = 0
        while pacer.hasBudget, slotCount < Transfer.slotCountMaxPerStep {
            guard let slot = cache.table.next(after: current.position) else {
                current.isWalked = true
                break
            }
            slotCount += 1
            let header = cache[slot]
            if !header.flags.contains(.dead) {
                let lacking = current.plan?.partsLacking(bucket: header.bucket, digest: header.digest) ?? []
                if current.isWhole || !lacking.isEmpty {
                    // A queued flow goes out anyway; the transfer only has to wait for it.
                    if !header.flags.contains(.queued) {
                        guard put(slot, header, &writer, now: now, cache: &cache) else { break }
                        log.awaitLast()
                        wrote = true
                    }
                    let byteCount = cache.table.record(at: slot).byteCount + 4
                    note(slot, byteCount, lacking, in: &current, &cache)
                }
            }
            current.position = slot
        }
        transfer = current
        finishTransferIfDone()
        return wrote
    }

    private mutating func note(
        _ slot: Slot,
        _ byteCount: Int,
        _ lacking: [Int],
        in current: inout Transfer,
        _ cache: inout InternalCache
    ) {
        if !cache[slot].flags.contains(.bulkPending) {
            cache[slot].flags.insert(.bulkPending)
            current.pendingCount += 1
        }
        current.flowCount += 1
        if current.isWhole { counters.transferredFlows += 1 }
        if !lacking.isEmpty { counters.repairedFlows += 1 }
        current.plan?.noteSent(byteCount, for: lacking)
        pacer.spend(byteCount)
    }

    private mutating func finishPending(_ slot: Slot, in cache: inout InternalCache) {
        cache[slot].flags.remove(.bulkPending)
        transfer?.pendingCount -= 1
    }

    private mutating func finishTransferIfDone() {
        guard let current = transfer, current.isWalked, current.pendingCount <= 0 else { return }
        for request in current.requests { answers.append(Answer(request, flowCount: current.flowCount)) }
        if let plan = current.plan {
            for (part, answer) in zip(plan.parts, plan.answers) {
                answers.append(Answer(peer: part.peer, body: .repaired(answer)))
            }
        }
        transfer = nil
    }

    // MARK: Repair

    /// Takes a part of what a peer holds in buckets that differ.
    ///
    /// One that waits, is being answered, or was answered reliably is not taken twice.
    mutating func take(_ part: RepairPart, from peer: Int, nodeID: UInt32, now: Instant) {
        if transfer?.plan != nil || isReliable,
            servedLists.contains(where: { $0.peer == peer && $0.token == part.token && $0.parts[part.part] != nil })
        {
            return
        }
        lists.removeAll { $0.peer == peer && $0.token != part.token }
        let waiting = lists.reduce(0) { $0 + $1.itemCount }
        guard waiting + part.itemCount <= RepairPlan.itemCountMax else {
            counters.refusedRepairs += 1
            return
        }
        let index = lists.firstIndex { $0.peer == peer }
        if index == nil { lists.append(RepairList(peer: peer, nodeID: nodeID, token: part.token)) }
        lists[index ?? lists.count - 1].insert(part)
        let isWhole = lists.allSatisfy { $0.parts.count == Int(part.partCount) }
        listsDueAt = isWhole ? now : now.advanced(byMilliseconds: Self.partPatienceMilliseconds)
    }

    /// When a walk for what peers have listed may begin; nil if there is nothing to do or a walk under way.
    var repairDueAt: Instant? { transfer == nil && isClaiming && !lists.isEmpty ? listsDueAt : nil }

    private mutating func beginRepairIfDue(now: Instant) {
        guard let due = repairDueAt, due <= now else { return }
        counters.repairs += 1
        transfer = Transfer(isWhole: false, plan: RepairPlan(lists))
        for list in lists {
            let isSameList = servedLists.firstIndex { $0.peer == list.peer && $0.token == list.token }
            if let isSameList {
                servedLists[isSameList].merge(list)
            } else {
                servedLists.removeAll { $0.peer == list.peer }
                servedLists.append(list)
            }
        }
        lists.removeAll()
    }

    private mutating func composeAnswers(_ writer: inout MessageWriter) -> Bool {
        var wrote = false
        for index in answers.indices where answers[index].sequence == 0 {
            guard writer.bodyByteCountMax >= answers[index].byteCount else { break }
            switch answers[index].body {
            case .transferEnd(let request, let flowCount):
                writer.putWords(.transferEnd, request.nodeID, request.token, UInt64(flowCount))
            case .repaired(let answer):
                answer.put(&writer)
            }
            answers[index].sequence = log.next
            wrote = true
        }
        if wrote { hasAnswered = true }
        return wrote
    }

    /// Whether a datagram with flows or answers could be sent at `now`.
    func wantsToSend(now: Instant) -> Bool {
        guard members != 0, log.hasRoom(forSlotCount: Self.slotCountPerDatagramMax) else { return false }
        if !queue.isEmpty || answers.contains(where: { $0.sequence == 0 }) { return true }
        if let due = repairDueAt, due <= now { return true }
        guard let transfer, !transfer.isWalked else { return false }
        return pacer.hasBudget || pacer.refillDueAt <= now
    }

    /// When there is something to send at the latest, apart from what `wantsToSend` knows.
    var transferDeadline: Instant? {
        guard members != 0, log.hasRoom(forSlotCount: Self.slotCountPerDatagramMax) else { return nil }
        guard let transfer else { return repairDueAt }
        return transfer.isWalked ? nil : pacer.refillDueAt
    }
}

/// The answer to a peer's request, until it is acknowledged.
private struct Answer {
    enum Body {
        case transferEnd(Transfer.Request, flowCount: UInt32)
        case repaired(Repaired)
    }

    var peer: Int
    var body: Body
    /// The datagram that carries it; 0 while it waits.
    var sequence: UInt64 = 0

    init(peer: Int, body: Body) {
        self.peer = peer
        self.body = body
    }

    init(_ request: Transfer.Request, flowCount: UInt32) {
        self.init(peer: request.peer, body: .transferEnd(request, flowCount: flowCount))
    }

    var isRepaired: Bool {
        if case .repaired = body { true } else { false }
    }

    var byteCount: Int {
        switch body {
        case .transferEnd: 16
        case .repaired(let answer): answer.wordCount * 4
        }
    }
}
