/// What a seed makes of the world: the nodes, the network between them, the load and what goes wrong.
struct Scenario {
    /// Who handles flows.
    enum Cast: Sendable {
        /// Every node its own.
        case shared
        /// One node all of them; the others stand by.
        case primaryAndBackups
    }

    /// Things that go wrong, and how much each of them weighs in the draw.
    enum Trouble: String, CaseIterable, Sendable {
        case partition, oneWay, linkCut, deaf, slow, restart, clockJump, replay, eventLoss, overrun, takeover
        case flushInternal, flushExternal, resync, push, damage, keyRotation, roughWeather, burst, idle
    }

    var nodeCount: Int
    var cast: Cast
    var isReliable: Bool
    /// Bits of datagrams are flipped: nothing may trap, but nothing is promised about the copies.
    var isHostile: Bool
    var linkCount: Int
    var lossPercent: Int
    var duplicationPercent: Int
    var delayMillisecondsMax: Int
    var stragglerPermille: Int
    /// Only what carries flows gets lost, nothing overtakes anything: then the protocol has no excuse to send a flow
    /// again that arrived.
    var isLossOrderly: Bool
    /// Somebody records everything, and sends it again whenever a node has restarted with its clock set back.
    var hasAttacker: Bool
    /// Bytes of a datagram, at most.
    var datagramByteCountMax: Int
    /// Flows that one node's clients use.
    var flowNumberCountPerNode: Int
    var initialFlowCount: Int
    /// Mean time between two changes in one kernel.
    var changeMicroseconds: Int
    var tupleReusePercent: Int
    var troubles: [Trouble]
    var troubleMilliseconds: Int
    /// How long things go wrong before everything heals.
    var duration: Moment
    /// Clock rates in 1,024 of the observer's.
    var clockRates: ClosedRange<Int>

    init(_ random: inout SeededRandom, nodeCount fixedNodeCount: Int?) {
        let drawnNodeCount = random.pick([2, 2, 2, 3, 3, 4, 5])
        nodeCount = fixedNodeCount ?? drawnNodeCount
        cast = random.chance(percent: 50) ? .shared : .primaryAndBackups
        isReliable = !random.chance(percent: 15)
        isHostile = random.chance(percent: 10)
        isLossOrderly = false
        hasAttacker = false
        linkCount = random.pick([1, 1, 2, 3])
        lossPercent = random.pick([0, 0, 1, 5, 10, 20, 30, 40])
        duplicationPercent = random.pick([0, 0, 5, 20])
        delayMillisecondsMax = random.pick([0, 1, 1, 5, 20, 60])
        stragglerPermille = random.pick([0, 0, 5, 30])
        datagramByteCountMax = random.pick([600, 800, 1_452, 1_452, 8_900])
        flowNumberCountPerNode = random.pick([8, 40, 40, 150])
        initialFlowCount = random.below(flowNumberCountPerNode + 1)
        changeMicroseconds = random.pick([2_000, 10_000, 50_000, 200_000, 1_000_000])
        tupleReusePercent = random.pick([0, 10, 40])
        duration = Moment(random.number(2...9)) * second
        troubleMilliseconds = random.pick([150, 400, 900, 2_000])
        clockRates = random.chance(percent: 40) ? 1_024 - 90...1_024 + 90 : 1_024...1_024
        troubles = []
        // Few kinds of trouble per seed, so that each shows what it does by itself too.
        let kinds = Trouble.allCases.filter { $0 != .takeover || cast == .primaryAndBackups }
        for _ in 0..<random.number(0...7) { troubles.append(random.pick(kinds)) }
        if isHostile { lossPercent = min(lossPercent, 10) }
        isLossOrderly = !isHostile && isReliable && random.chance(percent: 8)
        if isLossOrderly { makeLossOrderly(&random) }
        hasAttacker = !isHostile && !isLossOrderly && random.chance(percent: 5)
        if hasAttacker { makeRoomForAttacks() }
    }

    /// Restarts that the peers notice as silence, and time between them.
    private mutating func makeRoomForAttacks() {
        lossPercent = min(lossPercent, 5)
        delayMillisecondsMax = min(delayMillisecondsMax, 5)
        changeMicroseconds = max(changeMicroseconds, 10_000)
        troubles = [.restart]
        troubleMilliseconds = 5_000
        duration = 14 * second
    }

    private mutating func makeLossOrderly(_ random: inout SeededRandom) {
        cast = .primaryAndBackups
        lossPercent = random.pick([2, 10, 25])
        duplicationPercent = 0
        delayMillisecondsMax = 0
        stragglerPermille = 0
        datagramByteCountMax = 600
        changeMicroseconds = random.pick([300, 2_000])
        troubles = [.burst, .idle, .eventLoss, .overrun].shuffled(using: &random)
    }

    var flowNumberCount: Int {
        cast == .shared ? flowNumberCountPerNode * nodeCount : flowNumberCountPerNode * 2
    }

    /// The numbers of the flows that a node's clients use.
    func flowNumbers(of node: Int) -> Range<Int> {
        switch cast {
        case .shared: node * flowNumberCountPerNode..<(node + 1) * flowNumberCountPerNode
        case .primaryAndBackups: 0..<flowNumberCount
        }
    }

    /// One line for traces and failures.
    var text: String {
        """
        \(nodeCount) nodes, \(cast), \(isReliable ? "reliable" : "best effort")\(isHostile ? ", hostile" : "")\
        \(hasAttacker ? ", attacked" : ""), \
        \(linkCount) links, \(isLossOrderly ? "orderly " : "")loss \(lossPercent) %, \
        duplication \(duplicationPercent) %, \
        delay \(delayMillisecondsMax) ms, stragglers \(stragglerPermille) ‰, \
        datagrams of \(datagramByteCountMax), \(initialFlowCount) of \(flowNumberCountPerNode) flows, \
        a change per \(changeMicroseconds) µs, for \(duration / second) s, \
        troubles: \(troubles.map(\.rawValue).joined(separator: ", "))
        """
    }
}
