/// Which keys each node seals and opens with, as the link layer has them: the first seals, every one opens.
///
/// The simulator seals nothing; it models who can read whom while keys are being rotated.
struct KeyRings {
    private enum Step { case add, switchOver, remove }

    private(set) var rings: [[UInt32]]
    private var lastKey: UInt32 = 1
    private var queue: [(node: Int, step: Step)] = []
    /// Since when all keys are rotated in good order.
    private var orderlySince: Moment = 0

    init(nodeCount: Int) {
        rings = Array(repeating: [1], count: nodeCount)
    }

    var isRotating: Bool { !queue.isEmpty }
    func sealingKey(_ node: Int) -> UInt32 { rings[node][0] }
    func opens(_ node: Int, _ key: UInt32) -> Bool { rings[node].contains(key) }

    /// Begins a rotation.
    ///
    /// In good order every node can open with the new key before any seals with it, and the old one goes only when
    /// nobody seals with it any more. In bad order each node goes through all steps by itself.
    mutating func begin(isStaged: Bool, at moment: Moment, _ random: inout SeededRandom) {
        guard queue.isEmpty else { return }
        lastKey += 1
        if !isStaged {
            orderlySince = .max
        } else if orderlySince == .max {
            orderlySince = moment
        }
        let nodes = Array(rings.indices).shuffled(using: &random)
        if isStaged {
            for step in [Step.add, .switchOver, .remove] {
                for node in nodes { queue.append((node, step)) }
            }
        } else {
            for node in nodes {
                for step in [Step.add, .switchOver, .remove] { queue.append((node, step)) }
            }
        }
    }

    /// Does the rotation's next step at one node; returns whether more are left.
    mutating func step() -> Bool {
        guard !queue.isEmpty else { return false }
        let (node, step) = queue.removeFirst()
        switch step {
        case .add: rings[node].append(lastKey)
        case .switchOver: rings[node].swapAt(0, rings[node].count - 1)
        case .remove: rings[node] = [rings[node][0]]
        }
        return !queue.isEmpty
    }

    /// Does all that is left of a rotation at once, whatever is under way.
    mutating func finish() {
        if !queue.isEmpty { orderlySince = .max }
        while step() {}
    }

    /// Removes the old key at a node while others still seal with it; whether there was one to remove.
    mutating func removeOldKeyHastily() -> Bool {
        guard orderlySince != .max, isHalfWay,
            let node = rings.indices.first(where: { rings[$0].count > 1 && rings[$0][0] != lastKey })
        else { return false }
        rings[node].removeFirst()
        return true
    }

    /// Whether some node seals with the new key and some with the old one.
    private var isHalfWay: Bool { Set(rings.map { $0[0] }).count > 1 }

    /// Whether what was sealed at a moment has to be readable at every node.
    func mustOpen(_ sealedAt: Moment) -> Bool { sealedAt >= orderlySince }

    /// Whether the next step begins another stage: it has to wait until nothing older is under way.
    var isNextStage: Bool { queue.count % rings.count == 0 }
}
