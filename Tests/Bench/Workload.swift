internal import Lab

/// Operations on a router's connection table: exactly so many, mixed at random, at a rate, over flows that stay.
public struct Workload: Codable, Sendable {
    /// Flows that are there at the start, numbered from `first`.
    public var population = 0
    /// Flows created.
    public var creates = 0
    /// Changes of flows that are there.
    public var updates = 0
    /// Flows deleted that are there.
    public var deletes = 0
    /// Operations a second; 0 is as many as the kernel takes.
    public var rate = 0
    /// The number of the first flow.
    public var first = 0
    /// The seed of the mixture.
    public var seed: UInt64 = 1

    /// A workload of its parts.
    public init(
        population: Int = 0,
        creates: Int = 0,
        updates: Int = 0,
        deletes: Int = 0,
        rate: Int = 0,
        first: Int = 0,
        seed: UInt64 = 1
    ) {
        self.population = population
        self.creates = creates
        self.updates = updates
        self.deletes = deletes
        self.rate = rate
        self.first = first
        self.seed = seed
    }

    /// As many creates as deletes, so that the table stays as large as it is, and some updates for each.
    public static func steady(population: Int, operations: Int, rate: Int, updatesPerCreate: Int = 1) -> Workload {
        let part = operations / (updatesPerCreate + 2)
        return Workload(
            population: population,
            creates: part,
            updates: operations - 2 * part,
            deletes: part,
            rate: rate
        )
    }

    /// All operations.
    public var operationCount: Int { creates + updates + deletes }
    /// Flows that are there afterwards.
    public var remainingCount: Int { population + creates - deletes }
    /// How long it lasts if the kernel keeps up; 0 if there is no rate.
    public var seconds: Double { rate == 0 ? 0 : Double(operationCount) / Double(rate) }

    /// Why it cannot be carried out; nil if it can.
    public var fault: String? {
        if min(population, creates, updates, deletes, first) < 0 { return "no number is below 0" }
        if first + population + creates > FlowInjector.flowCountMax {
            return "flows are numbered from 0 to \(FlowInjector.flowCountMax - 1)"
        }
        if !(0...1_000_000 ~= rate) { return "the rate is 0 to 1000000" }
        if remainingCount < 1 || (population == 0 && creates < operationCount) {
            return "updates and deletes need flows that are there"
        }
        return nil
    }

    /// The options of `flowsync-bench load`.
    public var options: [String] {
        [
            "--population", "\(population)", "--creates", "\(creates)", "--updates", "\(updates)", "--deletes",
            "\(deletes)", "--rate", "\(rate)", "--first", "\(first)", "--seed", "\(seed)",
        ]
    }
}

/// What a load program did.
public struct WorkloadResult: Codable, Sendable {
    /// Operations that the kernel carried out.
    public var operationCount: Int
    /// Operations that it refused.
    public var failedCount: Int
    /// From the first to the last.
    public var seconds: Double

    /// Operations a second.
    public var rate: Double { Double(operationCount) / max(seconds, 1e-6) }
}
