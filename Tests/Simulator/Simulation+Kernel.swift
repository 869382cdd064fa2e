import Flow
import FlowTable
import Replication

extension Simulation {
    // MARK: Load

    /// Lets a node's clients change a flow, again and again until everything heals.
    func keepChanging(_ index: Int) {
        guard healedAt == nil else { return }
        let mean = scenario.changeMicroseconds
        agenda.schedule(.change(index), at: moment + Moment(random.number(mean / 10 + 1...2 * mean)) * 1_000)
        guard bodies[index].isIdleUntil <= moment, handlesTraffic(index) else { return }
        changeSomething(index)
    }

    /// Whether clients' packets go through a node.
    func handlesTraffic(_ index: Int) -> Bool {
        scenario.cast == .shared || nodes[index].node.role == .primary
    }

    func changeSomething(_ index: Int) {
        let range = scenario.flowNumbers(of: index)
        let number = range.lowerBound + random.below(range.count)
        guard nodes[index].kernel.stamps[number] != 0 else {
            change(number, of: index)
            return
        }
        let draw = random.below(100)
        if draw < scenario.tupleReusePercent / 2 {
            nodes[index].kernel.remove(number, &random)
            change(number, of: index)
        } else if draw < scenario.tupleReusePercent / 2 + 25 {
            remove(number, of: index)
        } else {
            change(number, of: index)
        }
    }

    /// Gives a flow a new state in a node's kernel.
    func change(_ number: Int, of index: Int) {
        let known = nodes[index].kernel.stamps[number]
        // A flow gets its labels with some packet, and then has them to its end.
        let hasLabels =
            known != 0 && (numbers.states[Int(known)].hasLabels || (number % 4 == 0 && random.next() & 1 == 0))
        let stamp = numbers.nextStamp(number, writer: index, hasLabels: hasLabels)
        nodes[index].kernel.set(number, stamp, &random)
        noteChange(number, of: index)
    }

    /// Ends a flow in a node's kernel.
    func remove(_ number: Int, of index: Int) {
        nodes[index].kernel.remove(number, &random)
        noteChange(number, of: index)
    }

    private func noteChange(_ number: Int, of index: Int) {
        fold(UInt64(number) << 8 ^ UInt64(index))
        note("kernel \(index): flow \(number) is in state \(nodes[index].kernel.stamps[number])")
        guard !bodies[index].isDrainDue, !bodies[index].isDown else { return }
        bodies[index].isDrainDue = true
        agenda.schedule(.drain(index), at: moment + millisecond)
    }

    // MARK: Events and dumps

    /// Reads what waits in the event socket.
    func drain(_ index: Int) throws(Violation) {
        bodies[index].isDrainDue = false
        guard !bodies[index].isDown else { return }
        let events = nodes[index].kernel.takeEvents()
        for event in events { nodes[index].apply(event, numbers, at: moment) }
        if !events.isEmpty { try service(index) }
    }

    /// Reads the kernel's whole table, in slices.
    func beginDump(_ index: Int, after delay: Moment = 0) {
        bodies[index].dumpID += 1
        bodies[index].isDumping = false
        agenda.schedule(.dumpStep(index, id: bodies[index].dumpID), at: moment + delay)
    }

    func stepDump(_ index: Int, _ id: Int) throws(Violation) {
        guard bodies[index].dumpID == id, !bodies[index].isDown else { return }
        try drain(index)
        let node = nodes[index]
        if !bodies[index].isDumping {
            node.beginDump()
            bodies[index].isDumping = true
            bodies[index].isSweeping = false
            bodies[index].dumpCursor = 0
            bodies[index].dumpBuffer = readAhead(index)
        } else if !bodies[index].isSweeping {
            node.beginSlice()
            let slice = bodies[index].dumpBuffer
            // The kernel fills the next buffer when the previous one is read.
            bodies[index].dumpBuffer = readAhead(index)
            for (number, stamp) in slice { node.reconcile(numbers.flow(number, stamp: stamp), at: moment) }
            bodies[index].isSweeping = slice.isEmpty
        } else if node.sweepVanished() {
            bodies[index].isDumping = false
            note("node \(index) has read its kernel's table")
            try service(index)
            return
        }
        try service(index)
        agenda.schedule(.dumpStep(index, id: id), at: moment + Moment(random.number(1...3)) * millisecond)
    }

    private func readAhead(_ index: Int) -> [(number: Int, stamp: UInt32)] {
        nodes[index].kernel.dump(after: &bodies[index].dumpCursor, countMax: random.number(4...40))
    }

    // MARK: Restarts

    /// Stops a node's daemon, perhaps with its kernel.
    func stop(_ index: Int) {
        let isReboot = random.chance(percent: 30)
        note("node \(index) stops\(isReboot ? " and forgets its kernel's table" : "")")
        bodies[index].isDown = true
        bodies[index].queue.removeAll()
        bodies[index].dumpID += 1
        bodies[index].takeoverID += 1
        if isReboot { nodes[index].kernel.removeAll() }
        let pause =
            scenario.hasAttacker || random.chance(percent: 30) ? random.number(2_100...4_000) : random.number(1...900)
        agenda.schedule(.boot(index), at: moment + Moment(pause) * millisecond)
    }

    func boot(_ index: Int) throws(Violation) {
        guard bodies[index].isDown else { return }
        let node = nodes[index]
        let isSetBack = random.chance(percent: scenario.hasAttacker ? 80 : 35)
        let step = UInt64(random.number(1...100_000))
        var epoch = isSetBack ? bodies[index].lastEpoch - step : bodies[index].lastEpoch + step
        while bodies[index].epochs.contains(epoch) { epoch += 1 }
        bodies[index].lastEpoch = epoch
        bodies[index].epochs.append(epoch)
        bodies[index].isDown = false
        node.kernel.dropEvents()
        node.restart(epoch: epoch, role: node.node.role, at: moment)
        note("node \(index) starts\(isSetBack ? " with its clock set back" : "")")
        oracle.forget(receiver: index, keepsSessions: false)
        oracle.forget(writer: index)
        bodies[index].wakeAt = nil
        // An attacker's moment: what it recorded is of a former life of somebody.
        let isAttacked = scenario.hasAttacker || random.chance(percent: 40)
        if isAttacked { agenda.schedule(.replay, at: moment + Moment(random.number(100...2_500)) * millisecond) }
        beginDump(index)
        if scenario.cast == .primaryAndBackups {
            agenda.schedule(.roleOrder(index, index == primary ? .primary : .backup), at: moment + 200 * millisecond)
        }
        try service(index)
    }
}
