import Flow
import FlowTable
import Replication

extension Simulation {
    func makeTrouble() throws(Violation) {
        guard healedAt == nil else { return }
        let pause = scenario.troubleMilliseconds
        agenda.schedule(.trouble, at: moment + Moment(random.number(pause / 2...pause * 2)) * millisecond)
        let trouble = random.pick(scenario.troubles)
        let index = random.below(scenario.nodeCount)
        let length = Moment(random.chance(percent: 25) ? random.number(2_000...4_500) : random.number(20...1_500))
        let until = moment + length * millisecond
        note("trouble: \(trouble) at node \(index) for \(length) ms")
        fold(UInt64(index))
        if [.restart, .takeover, .flushInternal, .flushExternal, .damage].contains(trouble) { mayDiffer = true }
        switch trouble {
        case .partition, .oneWay, .linkCut, .roughWeather: breakNetwork(trouble, index, until)
        case .deaf: bodies[index].isDeafUntil = until
        case .slow:
            bodies[index].takeMicroseconds = random.number(200...20_000)
            agenda.schedule(.calm(index), at: until)
        case .restart: if !bodies[index].isDown { stop(index) }
        case .clockJump:
            let milliseconds = random.chance(percent: 10) ? 3_600_000 : random.number(1...8_000)
            nodes[index].clock.jump(nanoseconds: UInt64(milliseconds) * millisecond, at: moment)
            try service(index)
        case .replay: replay()
        case .eventLoss:
            nodes[index].kernel.silentLossPermille = random.number(50...700)
            agenda.schedule(.calm(index), at: until)
        case .overrun:
            for _ in 0..<20 where handlesTraffic(index) { changeSomething(index) }
            nodes[index].kernel.overrun(&random)
            beginDump(index, after: 100 * millisecond)
        case .takeover: orderTakeover()
        case .flushInternal, .flushExternal, .resync, .push, .damage: try command(trouble, index)
        case .keyRotation:
            guard !network.keys.isRotating else { return }
            let isStaged = random.chance(percent: 70)
            network.withKeys { $0.begin(isStaged: isStaged, at: moment, &random) }
            agenda.schedule(.keyStep, at: moment)
        case .burst:
            for _ in 0..<random.number(20...200) where handlesTraffic(index) { changeSomething(index) }
        case .idle: bodies[index].isIdleUntil = until
        }
    }

    private func breakNetwork(_ trouble: Scenario.Trouble, _ index: Int, _ until: Moment) {
        switch trouble {
        case .partition:
            for other in nodes.indices where other != index {
                network.cut(from: index, to: other, until: until)
                network.cut(from: other, to: index, until: until)
            }
        case .oneWay:
            let other = (index + random.number(1...scenario.nodeCount - 1)) % scenario.nodeCount
            network.cut(from: index, to: other, until: until)
        case .linkCut:
            network.takeDown(link: random.below(scenario.linkCount), of: index, until: until)
        default:
            network.lossPercent = random.pick([0, 5, 15, 40])
            network.delayMillisecondsMax = random.pick([0, 2, 30, 100])
        }
    }

    /// Sends recorded datagrams of any age again.
    func replay() {
        guard !recording.isEmpty, healedAt == nil else { return }
        for _ in 0..<(scenario.hasAttacker ? recording.count : random.number(1...60)) {
            var flight = random.pick(recording)
            flight.to = (flight.from + random.number(1...scenario.nodeCount - 1)) % scenario.nodeCount
            flight.isReplay = true
            agenda.schedule(.arrival(flight), at: moment + Moment(random.below(50_000)) * 1_000)
        }
    }

    private func command(_ trouble: Scenario.Trouble, _ index: Int) throws(Violation) {
        guard !bodies[index].isDown else { return }
        let node = nodes[index]
        switch trouble {
        case .flushInternal:
            oracle.forget(writer: index)
            node.flushInternal(at: moment)
            beginDump(index, after: 50 * millisecond)
        case .flushExternal:
            oracle.forget(receiver: index, keepsSessions: true)
            node.flushExternal()
        case .resync: node.requestResync(at: moment)
        case .push: node.push(at: moment)
        default:
            if let copy = node.damage() { bodies[index].damagedMarks.append(copy.mark) }
        }
        try service(index)
    }

    /// Does the next step of a rotation of keys.
    func stepKeys() {
        if fault == .hastyKeyRemoval, !hasInjected {
            hasInjected = network.withKeys { $0.removeOldKeyHastily() }
        }
        let isLeft = network.withKeys { $0.step() }
        note("keys: \(network.keys.rings)")
        // Between two stages nothing may be under way that was sealed before the last one.
        let pause = network.keys.isNextStage ? 2 * second : 30 * millisecond
        if isLeft { agenda.schedule(.keyStep, at: moment + pause) }
    }
}
