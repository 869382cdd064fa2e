import Flow
import FlowTable
import Replication

extension Simulation {
    /// What keepalived does: makes another node primary and tells the old one, sooner or later.
    func orderTakeover() {
        let previous = primary
        primary = (primary + random.number(1...scenario.nodeCount - 1)) % scenario.nodeCount
        note("node \(primary) shall be primary")
        agenda.schedule(.roleOrder(primary, .primary), at: moment + Moment(random.below(200)) * millisecond)
        let delay = random.chance(percent: 30) ? random.number(500...4_000) : random.below(300)
        let role: NodeRole = random.chance(percent: 20) ? .fault : .backup
        agenda.schedule(.roleOrder(previous, role), at: moment + Moment(delay) * millisecond)
    }

    func order(_ role: NodeRole, _ index: Int) throws(Violation) {
        guard !bodies[index].isDown, (role == .primary) == (index == primary) else { return }
        let node = nodes[index]
        try drain(index)
        note("node \(index) becomes \(role)")
        fold(UInt64(role.rawValue) << 8 ^ UInt64(index))
        node.setRole(role, at: moment)
        bodies[index].takeoverID += 1
        if role == .primary {
            bodies[index].owesPurge = false
            agenda.schedule(
                .takeoverStep(index, id: bodies[index].takeoverID, round: 0),
                at: moment + Moment(random.number(1...20)) * millisecond
            )
        } else {
            bodies[index].owesPurge = true
        }
        try service(index)
    }

    /// Puts the external cache into the kernel, as a takeover does: what is there is this node's now.
    func stepTakeover(_ index: Int, _ id: Int, _ round: Int) throws(Violation) {
        guard bodies[index].takeoverID == id, !bodies[index].isDown else { return }
        let node = nodes[index]
        var position = node.externalCache.table.next(after: nil)
        var taken: [Int] = []
        while let slot = position {
            position = node.externalCache.table.next(after: slot)
            guard !node.externalCache.table[slot].flags.contains(.dead) else { continue }
            let identity = node.externalCache.table.flow(at: slot).identity
            if let number = numbers.number(of: identity) {
                taken.append(number)
                oracle.forget(number, at: index)
            }
            node.removeExternal(slot)
        }
        // A flow that the kernel has is fresher there.
        for number in taken where node.kernel.stamps[number] == 0 { change(number, of: index) }
        try drain(index)
        note("node \(index) takes over \(taken.count) flows")
        if round < 3, round == 0 || !taken.isEmpty {
            agenda.schedule(.takeoverStep(index, id: id, round: round + 1), at: moment + 10 * millisecond)
        } else {
            node.finishTakeover(at: moment)
        }
        try service(index)
    }

    /// A node that has stepped back empties its kernel once the new primary's flows are here.
    func purgeIfDue(_ index: Int) {
        guard bodies[index].owesPurge, !nodes[index].node.role.claimsFlows else { return }
        let node = nodes[index]
        let isPrimaryHere = node.peers.contains { peer in
            peer.isUp && peer.role == .primary && peer.isSynchronised
                && peer.takeoverNumber >= node.node.takeoverNumber
        }
        guard isPrimaryHere else { return }
        bodies[index].owesPurge = false
        var position = node.internalCache.table.next(after: nil)
        var released: [Int] = []
        while let slot = position {
            position = node.internalCache.table.next(after: slot)
            guard !node.internalCache.table[slot].flags.contains(.dead), node.internalCache.isReleased(slot) else {
                continue
            }
            if let number = numbers.number(of: node.internalCache.table.flow(at: slot).identity) {
                released.append(number)
            }
        }
        note("node \(index) empties its kernel of \(released.count) flows")
        for number in released { remove(number, of: index) }
    }
}
