import Flow
import FlowTable
import Replication

extension Simulation {
    /// Lets a node do what is due and send what it has to send.
    func service(_ index: Int, isWake: Bool = false) throws(Violation) {
        guard !bodies[index].isDown else { return }
        let node = nodes[index]
        node.timeOut(at: moment)
        let sent = try transmit(index)
        for event in node.takeEvents() {
            note("node \(index): \(event)")
            if case .peerDown = event { mayDiffer = true }
        }
        purgeIfDue(index)
        try checkBounds(index)
        guard let next = node.nextMoment(at: moment) else { return }
        if isWake, sent == 0, next <= moment {
            bodies[index].spinCount += 1
            guard bodies[index].spinCount < 20_000 else {
                throw Violation(rule: "no node spins", detail: "node \(index) wants to be called all the time")
            }
        } else {
            bodies[index].spinCount = 0
        }
        // A real event loop does not come round faster.
        let wakeAt = max(next, moment + 100_000)
        guard bodies[index].wakeAt == nil || wakeAt < bodies[index].wakeAt ?? 0 else { return }
        bodies[index].wakeAt = wakeAt
        agenda.schedule(.wake(index), at: wakeAt)
    }

    private func transmit(_ index: Int) throws(Violation) -> Int {
        let node = nodes[index]
        var count = 0
        while true {
            var copies: [(bytes: [UInt8], link: Int)] = []
            let byteCount = node.transmit(
                into: &buffer,
                liveMask: network.liveMask(of: index, at: moment),
                at: moment
            ) { copies.append(($0, $1)) }
            guard byteCount > 0 else { break }
            count += 1
            bodies[index].sentCount += 1
            report.datagramCount += 1
            guard count < 20_000 else {
                throw Violation(rule: "no node floods", detail: "node \(index) sends without end")
            }
            let contents = contents(of: index)
            for copy in copies { send(copy.bytes, index, copy.link, contents) }
        }
        return count
    }

    /// What a node's internal cache holds now.
    private func contents(of index: Int) -> UInt64 {
        if bodies[index].contentsChangeCount != nodes[index].internalChangeCount {
            bodies[index].contents = Oracle.contents(of: nodes[index].internalCache.table)
            bodies[index].contentsChangeCount = nodes[index].internalChangeCount
        }
        return bodies[index].contents
    }

    private func send(_ bytes: [UInt8], _ index: Int, _ link: Int, _ contents: UInt64) {
        fold(Self.hash(bytes) &+ UInt64(index) << 8 &+ UInt64(link))
        note("node \(index) sends over link \(link): \(DatagramReader.text(of: bytes))")
        var flight = SimulatedNetwork.Flight(
            from: index,
            to: index,
            link: link,
            incarnation: nodes[index].incarnation,
            key: network.keys.sealingKey(index),
            sealedAt: moment,
            bytes: bytes,
            contents: contents
        )
        record(flight)
        for receiver in nodes.indices where receiver != index {
            flight.to = receiver
            for arrival in network.arrivals(flight, at: moment, &random) {
                flight.bytes = network.mutilated(bytes, &random)
                agenda.schedule(.arrival(forged(flight)), at: arrival)
            }
        }
    }

    /// Keeps a datagram for a later replay: always some old ones and some new ones.
    private func record(_ flight: SimulatedNetwork.Flight) {
        recordedCount += 1
        guard recording.count >= 256 else {
            recording.append(flight)
            return
        }
        if recordedCount % 4 == 0 { recording[random.below(recording.count)] = flight }
    }

    private func forged(_ flight: SimulatedNetwork.Flight) -> SimulatedNetwork.Flight {
        guard fault == .forgedMark, !hasInjected, moment > 2 * second else { return flight }
        guard let offset = DatagramReader.firstUpsertMarkOffset(in: flight.bytes) else { return flight }
        var flight = flight
        flight.bytes[offset + 3] ^= 0x40
        hasInjected = true
        return flight
    }

    static func hash(_ bytes: [UInt8]) -> UInt64 {
        let span = bytes.span.bytes
        var word = UInt64(bytes.count)
        var offset = 0
        while offset + 8 <= bytes.count {
            word = SeededRandom.mix(word ^ span.littleEndian(at: offset, as: UInt64.self))
            offset += 8
        }
        while offset < bytes.count {
            word = SeededRandom.mix(word ^ UInt64(bytes[offset]))
            offset += 1
        }
        return word
    }

    // MARK: Arrival

    func arrive(_ flight: SimulatedNetwork.Flight) throws(Violation) {
        let index = flight.to
        guard !bodies[index].isDown, bodies[index].isDeafUntil <= moment else { return }
        guard bodies[index].takeMicroseconds > 0 || !bodies[index].queue.isEmpty else {
            try take(flight)
            return
        }
        // What does not fit into the socket's buffer is gone.
        guard bodies[index].queue.count < Self.queueCountMax else { return }
        bodies[index].queue.append(flight)
        if !bodies[index].isTaking {
            bodies[index].isTaking = true
            agenda.schedule(.takeFromQueue(index), at: moment + takeTime(index))
        }
    }

    private func takeTime(_ index: Int) -> Moment { Moment(bodies[index].takeMicroseconds + 1) * 1_000 }

    func takeFromQueue(_ index: Int) throws(Violation) {
        bodies[index].isTaking = false
        guard !bodies[index].queue.isEmpty else { return }
        let flight = bodies[index].queue.removeFirst()
        if !bodies[index].queue.isEmpty {
            bodies[index].isTaking = true
            agenda.schedule(.takeFromQueue(index), at: moment + takeTime(index))
        }
        guard !bodies[index].isDown else { return }
        try take(flight)
    }

    private func take(_ flight: SimulatedNetwork.Flight) throws(Violation) {
        guard network.keys.opens(flight.to, flight.key) else {
            try noteUnreadable(flight)
            return
        }
        // Every datagram at an instant of its own, so that a claim tells which one brought it.
        let node = nodes[flight.to]
        node.clock.jump(nanoseconds: 1, at: moment)
        note("node \(flight.to) gets from node \(flight.from): \(DatagramReader.text(of: flight.bytes))")
        fold(UInt64(flight.to) << 32 ^ UInt64(flight.from) << 16 ^ UInt64(flight.bytes.count))
        guard !scenario.isHostile else {
            node.receive(flight.bytes, at: moment)
            try service(flight.to)
            return
        }
        let mentions = DatagramReader.mentions(in: flight.bytes)
        let isDead = oracle.isOfDeadEpoch(flight)
        let before = isDead ? mentions.map { copy(of: $0.identity, at: flight.to)?.mark } : []
        let counters = node.node.received
        node.receive(flight.bytes, at: moment)
        try checkTaken(flight, mentions, counters)
        if isDead { try checkDead(flight, mentions, before) }
        try service(flight.to)
    }

    /// Checks that a datagram of a life that its sender has left behind has changed nothing.
    private func checkDead(
        _ flight: SimulatedNetwork.Flight,
        _ mentions: [DatagramReader.Mention],
        _ before: [UInt32?]
    ) throws(Violation) {
        let isTaken = zip(mentions, before).contains { copy(of: $0.identity, at: flight.to)?.mark != $1 }
        let isBelieved = nodes[flight.to].peer(flight.from)?.epoch == bodies[flight.from].epochs[flight.incarnation]
        guard isTaken || isBelieved else { return }
        throw Violation(
            rule: "nothing of a dead epoch is taken",
            detail: """
                node \(flight.to) took a datagram from start \(flight.incarnation) of node \(flight.from), of which it \
                knew a later one
                """
        )
    }

    private func checkTaken(
        _ flight: SimulatedNetwork.Flight,
        _ mentions: [DatagramReader.Mention],
        _ before: ReceiveCounters
    ) throws(Violation) {
        let node = nodes[flight.to]
        let after = node.node.received
        if after.differences != before.differences { try noteDifference(flight) }
        if after.agreements != before.agreements { bodies[flight.to].hasAgreedWith.insert(flight.from) }
        let deleteCount = mentions.count { $0.isDelete }
        let areDeletesTaken =
            deleteCount > 0 && after.deletes == before.deletes + UInt64(deleteCount) && after.refused == before.refused
            && after.stale == before.stale
        for mention in mentions {
            if let copy = copy(of: mention.identity, at: flight.to) {
                guard !bodies[flight.to].damagedMarks.contains(copy.mark) else { continue }
                try oracle.check(copy: copy, at: flight.to, numbers)
            } else if mention.isDelete, areDeletesTaken {
                oracle.noteDeath(of: mention, at: flight.to, numbers)
            }
        }
        guard oracle.wantsPeer(flight) || after.agreements != before.agreements,
            let peer = node.peer(flight.from)
        else { return }
        if peer.epoch == bodies[flight.from].epochs[flight.incarnation] {
            oracle.accept(receiver: flight.to, sender: flight.from, incarnation: flight.incarnation)
            if peer.isClaiming, peer.verifiedAt == node.clock.now(at: moment) {
                try oracle.check(claimOf: node, about: peer, contents: flight.contents)
            }
        }
    }

    /// Losses alone are no reason for a difference: what is lost is sent again before anything is compared.
    ///
    /// A node that joins under loss is the exception, up to the first agreement.
    private func noteDifference(_ flight: SimulatedNetwork.Flight) throws(Violation) {
        note("node \(flight.to) sees that its copy of node \(flight.from)'s flows differs")
        guard scenario.isReliable, fault == nil, !mayDiffer,
            bodies[flight.to].hasAgreedWith.contains(flight.from)
        else { return }
        throw Violation(
            rule: "a reliable stream leaves nothing to repair",
            detail: """
                node \(flight.to) finds its copy of node \(flight.from)'s flows different, though nobody was ever \
                lost, \
                restarted, flushed or damaged
                """
        )
    }

    private func copy(of identity: FlowIdentity, at index: Int) -> Flow? {
        let cache = nodes[index]
        guard let slot = cache.externalCache.table.find(identity),
            !cache.externalCache.table[slot].flags.contains(.dead)
        else { return nil }
        return cache.externalCache.table.flow(at: slot)
    }

    private func noteUnreadable(_ flight: SimulatedNetwork.Flight) throws(Violation) {
        report.unreadableCount += 1
        guard network.keys.mustOpen(flight.sealedAt), !flight.isReplay else { return }
        throw Violation(
            rule: "a rotation of keys in good order refuses nothing",
            detail: "node \(flight.to) cannot open what node \(flight.from) sealed with key \(flight.key)"
        )
    }

    // MARK: Bounds

    private func checkBounds(_ index: Int) throws(Violation) {
        let node = nodes[index]
        let spaceCount = scenario.flowNumberCount
        // The queue may name a slot again whose flow has moved since: a few times the table, never without end.
        guard node.queuedCount <= 8 * spaceCount + 64 || scenario.isHostile,
            node.inFlightCount <= ReplicationNode.inFlightCountMax,
            node.internalCache.table.occupiedCount <= spaceCount,
            node.externalCache.table.occupiedCount <= spaceCount || scenario.isHostile
        else {
            throw Violation(
                rule: "memory is bounded",
                detail: """
                    node \(index): \(node.queuedCount) queued, \(node.inFlightCount) under way, \
                    \(node.internalCache.table.occupiedCount) and \(node.externalCache.table.occupiedCount) places for \
                    \(spaceCount) flows
                    """
            )
        }
    }
}
