/// The links between the nodes and what they do to datagrams.
struct SimulatedNetwork {
    /// A datagram under way to one node.
    struct Flight {
        var from: Int
        var to: Int
        var link: Int
        /// Which start of the sender sent it.
        var incarnation: Int
        var key: UInt32
        var sealedAt: Moment
        var bytes: [UInt8]
        /// What the sender's internal cache held when it built the datagram (`Oracle.contents`).
        var contents: UInt64
        var isReplay = false
    }

    let nodeCount: Int
    let linkCount: Int
    var lossPercent: Int
    var duplicationPercent: Int
    var delayMillisecondsMax: Int
    var stragglerPermille: Int
    var bitFlipPermille = 0
    private let isLossOrderly: Bool
    /// Copies of datagrams with flows that were lost.
    private(set) var lostFlowDatagramCount: UInt64 = 0
    /// Those of them that carried an acknowledgement as well.
    private(set) var lostAcknowledgementCount: UInt64 = 0
    /// Until when nothing gets from one node to another; by sender, receiver.
    private var cutUntil: [Moment]
    /// Until when a node's end of a link is down; by node, link.
    private var linkDownUntil: [Moment]
    private(set) var keys: KeyRings

    init(_ scenario: Scenario) {
        nodeCount = scenario.nodeCount
        linkCount = scenario.linkCount
        lossPercent = scenario.lossPercent
        duplicationPercent = scenario.duplicationPercent
        delayMillisecondsMax = scenario.delayMillisecondsMax
        stragglerPermille = scenario.stragglerPermille
        isLossOrderly = scenario.isLossOrderly
        bitFlipPermille = scenario.isHostile ? 100 : 0
        cutUntil = Array(repeating: 0, count: nodeCount * nodeCount)
        linkDownUntil = Array(repeating: 0, count: nodeCount * linkCount)
        keys = KeyRings(nodeCount: nodeCount)
    }

    mutating func cut(from: Int, to: Int, until moment: Moment) {
        cutUntil[from * nodeCount + to] = max(cutUntil[from * nodeCount + to], moment)
    }

    mutating func takeDown(link: Int, of node: Int, until moment: Moment) {
        linkDownUntil[node * linkCount + link] = max(linkDownUntil[node * linkCount + link], moment)
    }

    func isDown(_ link: Int, of node: Int, at moment: Moment) -> Bool {
        linkDownUntil[node * linkCount + link] > moment
    }

    /// The links over which a node can send: those whose own end is up.
    func liveMask(of node: Int, at moment: Moment) -> UInt8 {
        var mask: UInt8 = 0
        for link in 0..<linkCount where !isDown(link, of: node, at: moment) { mask |= 1 << UInt8(link) }
        return mask
    }

    mutating func withKeys<Result>(_ body: (inout KeyRings) -> Result) -> Result { body(&keys) }

    /// Everything gets through from now on, at once and once.
    mutating func heal() {
        lossPercent = 0
        duplicationPercent = 0
        stragglerPermille = 0
        delayMillisecondsMax = min(delayMillisecondsMax, 2)
        bitFlipPermille = 0
        for index in cutUntil.indices { cutUntil[index] = 0 }
        for index in linkDownUntil.indices { linkDownUntil[index] = 0 }
        keys.finish()
    }

    /// When copies of a datagram arrive at its receiver: none if it is lost.
    mutating func arrivals(_ flight: Flight, at moment: Moment, _ random: inout SeededRandom) -> [Moment] {
        guard cutUntil[flight.from * nodeCount + flight.to] <= moment,
            !isDown(flight.link, of: flight.from, at: moment), !isDown(flight.link, of: flight.to, at: moment)
        else { return [] }
        let hasFlows = DatagramReader.isSequenced(flight.bytes)
        if random.chance(percent: lossPercent), hasFlows || !isLossOrderly {
            if hasFlows { lostFlowDatagramCount += 1 }
            if hasFlows, DatagramReader.acknowledges(flight.bytes) { lostAcknowledgementCount += 1 }
            return []
        }
        var arrivals = [moment + delay(&random)]
        if random.chance(percent: duplicationPercent) { arrivals.append(moment + delay(&random)) }
        return arrivals
    }

    private func delay(_ random: inout SeededRandom) -> Moment {
        if stragglerPermille > 0, random.chance(permille: stragglerPermille) {
            return Moment(random.number(20...1_500)) * millisecond
        }
        let microseconds = 50 + random.below(delayMillisecondsMax * 1_000 + 1)
        return Moment(microseconds) * 1_000
    }

    /// Flips bits, in hostile seeds.
    func mutilated(_ bytes: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
        guard bitFlipPermille > 0, random.chance(permille: bitFlipPermille), !bytes.isEmpty else { return bytes }
        var bytes = bytes
        if random.chance(percent: 20) { bytes.removeLast(random.below(bytes.count)) }
        guard !bytes.isEmpty else { return bytes }
        for _ in 0..<random.number(1...4) { bytes[random.below(bytes.count)] ^= 1 << UInt8(random.below(8)) }
        return bytes
    }
}
