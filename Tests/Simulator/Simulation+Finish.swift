import Flow
import FlowTable
import Replication

extension Simulation {
    /// Mends everything: from now on the nodes have a minute to become equal.
    func heal() throws(Violation) {
        note("everything heals")
        healedAt = moment
        network.heal()
        for index in nodes.indices {
            bodies[index].isDeafUntil = 0
            bodies[index].takeMicroseconds = 0
            nodes[index].kernel.silentLossPermille = 0
            if bodies[index].isDown {
                agenda.schedule(.boot(index), at: moment + Moment(random.below(100)) * millisecond)
            }
            if scenario.cast == .primaryAndBackups {
                let role: NodeRole = index == primary ? .primary : .backup
                agenda.schedule(.roleOrder(index, role), at: moment + Moment(random.number(110...200)) * millisecond)
            }
            bodies[index].dumpID += 1
            agenda.schedule(.dumpStep(index, id: bodies[index].dumpID), at: moment + 400 * millisecond)
            bodies[index].isDumping = false
        }
        agenda.schedule(.check, at: moment + second)
    }

    /// Looks whether all is equal; it then has to stay so for a while.
    func check() throws(Violation) {
        let sinceHealing = moment - (healedAt ?? moment)
        agenda.schedule(.check, at: moment + 100 * millisecond)
        if scenario.isHostile {
            isDone = sinceHealing >= 3 * second
            return
        }
        if let difference = difference() {
            guard sinceHealing < Self.healMilliseconds * millisecond else {
                throw Violation(rule: "in the end all copies are equal", detail: difference)
            }
            if equalSince != nil { note("no longer equal: \(difference)") }
            equalSince = nil
            return
        }
        guard let equalSince else {
            note("all copies are equal")
            report.healedNanoseconds = sinceHealing
            for index in bodies.indices { bodies[index].sentCount = 0 }
            self.equalSince = moment
            injectLate()
            if hasInjected, let difference = difference() {
                throw Violation(rule: "in the end all copies are equal", detail: difference)
            }
            return
        }
        guard moment - equalSince >= 1_500 * millisecond else { return }
        for index in bodies.indices where bodies[index].sentCount > 90 {
            throw Violation(
                rule: "a quiet node is quiet",
                detail: "node \(index) sent \(bodies[index].sentCount) datagrams in 1.5 s without any change"
            )
        }
        try checkEffort()
        isDone = true
    }

    /// Checks that nothing was sent again without need.
    private func checkEffort() throws(Violation) {
        guard scenario.isLossOrderly, !mayDiffer, fault == nil else { return }
        let lostCount = nodes.reduce(0) { $0 + $1.node.sent.lostDatagrams }
        // An acknowledgement that went down with a datagram it rode in is repeated with the next heartbeat, later than
        // its receiver waits.
        guard lostCount <= network.lostFlowDatagramCount + network.lostAcknowledgementCount else {
            throw Violation(
                rule: "what has arrived is not sent again",
                detail: "\(lostCount) datagrams were taken for lost, \(network.lostFlowDatagramCount) copies were"
            )
        }
    }

    /// What is not as it should be at the end; nil if all is.
    func difference() -> String? {
        for index in nodes.indices {
            let node = nodes[index]
            if bodies[index].isDown { return "node \(index) is down" }
            if let text = differenceFromKernel(node) { return text }
            if node.queuedCount > 0 || node.inFlightCount > 0 {
                return "node \(index) has \(node.queuedCount) flows queued, \(node.inFlightCount) datagrams under way"
            }
            let (inside, outside) = (node.internalCache.table.occupiedCount, node.externalCache.table.occupiedCount)
            if inside != node.internalCache.count || outside != node.externalCache.count {
                return """
                    node \(index) keeps \(inside - node.internalCache.count) tombstones inside and \
                    \(outside - node.externalCache.count) outside
                    """
            }
        }
        for receiver in nodes {
            for owner in nodes where owner.index != receiver.index {
                if let text = difference(of: receiver, from: owner) { return text }
            }
        }
        return nil
    }

    private func differenceFromKernel(_ node: SimulatedNode) -> String? {
        for number in 0..<numbers.count {
            let stamp = node.kernel.stamps[number]
            let slot = node.internalCache.table.find(numbers.identity(number))
            let isAlive = slot.map { !node.internalCache.table[$0].flags.contains(.dead) } ?? false
            if isAlive != (stamp != 0) {
                return
                    "flow \(number) \(isAlive ? "outlives" : "lacks from") kernel \(node.index) in its internal cache"
            }
            guard let slot, isAlive else { continue }
            let flow = node.internalCache.table.flow(at: slot)
            if flow.mark != stamp || numbers.problem(of: flow) != nil {
                return "flow \(number) is in state \(stamp) in kernel \(node.index), \(flow.mark) in its internal cache"
            }
        }
        return nil
    }

    private func difference(of receiver: SimulatedNode, from owner: SimulatedNode) -> String? {
        let (here, there) = (receiver.index, owner.index)
        guard let peer = receiver.peers.first(where: { $0.index == there }) else {
            return "node \(here) does not know node \(there)"
        }
        guard peer.isUp, peer.epoch == owner.epoch else { return "node \(here) does not hear node \(there)" }
        guard owner.node.role.claimsFlows else { return nil }
        let wanted = Oracle.contents(of: owner.internalCache.table)
        guard Oracle.contents(of: receiver.externalCache.table, owner: peer.owner) == wanted else {
            return """
                node \(here) holds \(Oracle.count(of: receiver.externalCache.table, owner: peer.owner)) flows of \
                node \(there), which has \(owner.internalCache.count): \(firstDifference(receiver, owner, peer.owner))
                """
        }
        if peer.differingFlowCount != 0 {
            return "node \(here) reports \(peer.differingFlowCount) flows of node \(there) as differing; none does"
        }
        guard peer.isSynchronised else { return "node \(here) does not report node \(there) in sync" }
        return nil
    }

    private func firstDifference(_ receiver: SimulatedNode, _ owner: SimulatedNode, _ ownerIndex: UInt16) -> String {
        for number in 0..<numbers.count {
            let identity = numbers.identity(number)
            let source = owner.internalCache.table.find(identity).map { owner.internalCache.table.flow(at: $0).mark }
            let slot = receiver.externalCache.table.find(identity)
            let copy = slot.flatMap { slot -> UInt32? in
                let header = receiver.externalCache.table[slot]
                guard !header.flags.contains(.dead), header.owner == ownerIndex else { return nil }
                return receiver.externalCache.table.flow(at: slot).mark
            }
            if source != copy { return "flow \(number) in state \(source ?? 0) there, \(copy ?? 0) here" }
        }
        return "attributes of some flow"
    }

    /// Spoils something at a moment at which nothing mends it any more.
    private func injectLate() {
        guard !hasInjected else { return }
        switch fault {
        case .lostCopy:
            for node in nodes {
                guard let slot = node.externalCache.table.next(after: nil) else { continue }
                node.removeExternal(slot)
                hasInjected = true
                return
            }
        case .silentKernel:
            nodes[0].kernel.silentLossPermille = 1_000
            change(0, of: 0)
            hasInjected = true
        default: break
        }
    }
}
