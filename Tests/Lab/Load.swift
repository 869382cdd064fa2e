/// A load of exactly so many operations, mixed at random, at a rate.
public struct LoadPlan: Sendable {
    /// Flows created.
    public var creates: Int
    /// Changes of flows that are there.
    public var updates: Int
    /// Flows deleted that are there.
    public var deletes: Int
    /// Operations a second.
    public var rate: Int
    /// The number of the first flow.
    public var first: Int
    /// The seed of the mixture.
    public var seed: UInt64

    /// A plan of its parts.
    public init(creates: Int, updates: Int = 0, deletes: Int = 0, rate: Int, first: Int = 0, seed: UInt64 = 1) {
        self.creates = creates
        self.updates = updates
        self.deletes = deletes
        self.rate = rate
        self.first = first
        self.seed = seed
    }

    /// A mixture of half creates, a third updates and a sixth deletes that lasts some seconds.
    public static func mixed(rate: Int, seconds: Double, first: Int = 0, seed: UInt64 = 1) -> LoadPlan {
        let count = Int(Double(rate) * seconds)
        let (updates, deletes) = (count / 3, count / 6)
        return LoadPlan(
            creates: count - updates - deletes,
            updates: updates,
            deletes: deletes,
            rate: rate,
            first: first,
            seed: seed
        )
    }

    /// All operations.
    public var operationCount: Int { creates + updates + deletes }
    /// Flows that are there afterwards.
    public var remainingCount: Int { creates - deletes }

    /// Why it cannot be carried out; nil if it can.
    public var fault: String? {
        if min(creates, updates, deletes, first) < 0 || first + creates > FlowInjector.flowCountMax {
            return "flows are numbered from 0 to \(FlowInjector.flowCountMax - 1)"
        }
        if !(1...500_000 ~= rate) { return "the rate is 1 to 500000" }
        if deletes >= creates, operationCount > 0 { return "more flows are created than deleted" }
        return nil
    }

    /// The options of `flowsync-lab load`.
    public var options: [String] {
        [
            "--creates", "\(creates)", "--updates", "\(updates)", "--deletes", "\(deletes)", "--rate", "\(rate)",
            "--first", "\(first)", "--seed", "\(seed)",
        ]
    }
}

extension FlowInjector {
    /// Carries out a plan.
    ///
    /// - Returns: how long it took.
    public func run(_ plan: LoadPlan) throws -> Double {
        if let fault = plan.fault { throw LabError(fault) }
        var mixer = LoadMixer(plan)
        let start = Clock.seconds
        while mixer.issuedCount < plan.operationCount {
            let due = Int((Clock.seconds - start) * Double(plan.rate)) - mixer.issuedCount
            guard due > 0 else {
                Clock.sleep(seconds: 0.001)
                continue
            }
            let slice = mixer.next(min(due, 1_000))
            // In this order: a slice never writes a flow after it has deleted it.
            try write(slice.writes)
            try delete(slice.deletes)
        }
        return Clock.seconds - start
    }
}

/// Chooses the operations of a plan one after the other.
private struct LoadMixer {
    private var left: (creates: Int, updates: Int, deletes: Int)
    private var alive: [Int] = []
    private var nextNumber: Int
    private var generation = 0
    private var random: SeededRandom
    private(set) var issuedCount = 0

    init(_ plan: LoadPlan) {
        left = (plan.creates, plan.updates, plan.deletes)
        nextNumber = plan.first
        random = SeededRandom(seed: plan.seed)
    }

    mutating func next(_ count: Int) -> (writes: [(number: Int, generation: Int)], deletes: [Int]) {
        var writes: [(number: Int, generation: Int)] = []
        var deletes: [Int] = []
        for _ in 0..<min(count, left.creates + left.updates + left.deletes) {
            let choice = Int.random(in: 0..<left.creates + left.updates + left.deletes, using: &random)
            issuedCount += 1
            if alive.isEmpty || choice < left.creates {
                left.creates -= 1
                alive.append(nextNumber)
                writes.append((nextNumber, 0))
                nextNumber += 1
            } else if choice < left.creates + left.updates {
                left.updates -= 1
                generation += 1
                writes.append((alive[Int.random(in: alive.indices, using: &random)], generation))
            } else {
                left.deletes -= 1
                let position = Int.random(in: alive.indices, using: &random)
                deletes.append(alive[position])
                alive.swapAt(position, alive.count - 1)
                alive.removeLast()
            }
        }
        return (writes, deletes)
    }
}
