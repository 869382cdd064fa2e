import ArgumentParser
import Lab

/// Puts made-up flows into the kernel's table.
struct InjectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inject",
        abstract: "Creates flows with source NAT in this network namespace, in batches over netlink."
    )

    @Option(help: "How many flows.")
    var count = 100_000

    @Option(help: "The number of the first one.")
    var first = 0

    @Option(help: "What to write first: 0 is a new flow, a higher number changes one that is there.")
    var generation = 0

    @Option(help: "Changes every flow this often afterwards.")
    var changes = 0

    @Option(help: "Deletes this many of the flows at the end.")
    var deletes = 0

    func validate() throws {
        guard count >= 0, first >= 0, changes >= 0, generation >= 0, first + count <= FlowInjector.flowCountMax,
            deletes <= count
        else {
            throw ValidationError("flows are numbered from 0 to \(FlowInjector.flowCountMax - 1)")
        }
    }

    func run() throws {
        let injector = try FlowInjector()
        let start = Clock.seconds
        for generation in generation...generation + changes {
            try injector.write(first..<first + count, generation: generation)
        }
        try injector.delete(first..<first + deletes)
        print("\(injector.tally.text) in \(Int((Clock.seconds - start) * 1_000)) ms")
        guard injector.tally.failed.isEmpty else { throw ExitCode.failure }
    }
}

/// Creates, changes and deletes flows at a rate.
struct ChurnCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "churn",
        abstract: "Creates, changes and deletes flows at random in this network namespace."
    )

    @Option(help: "Operations a second.")
    var rate = 5_000

    @Option(help: "Seconds.")
    var seconds = 10.0

    @Option(help: "Flows among which to choose.")
    var population = 20_000

    @Option(help: "Seed of the random choice.")
    var seed: UInt64 = 1

    func validate() throws {
        guard 1...FlowInjector.flowCountMax ~= population, 1...500_000 ~= rate, 0...3_600 ~= seconds else {
            throw ValidationError(
                "population up to \(FlowInjector.flowCountMax), rate up to 500000, seconds up to 3600"
            )
        }
    }

    func run() throws {
        let injector = try FlowInjector()
        try injector.churn(rate: rate, seconds: seconds, population: population, seed: seed)
        print(injector.tally.text)
        guard injector.tally.failed.isEmpty else { throw ExitCode.failure }
    }
}

/// Carries out a load of exact totals.
struct LoadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load",
        abstract: "Creates, changes and deletes exactly so many flows at a rate in this network namespace."
    )

    @Option(help: "Flows to create.")
    var creates = 50_000

    @Option(help: "Changes of living flows.")
    var updates = 50_000

    @Option(help: "Living flows to delete.")
    var deletes = 20_000

    @Option(help: "Operations a second.")
    var rate = 40_000

    @Option(help: "The number of the first flow.")
    var first = 0

    @Option(help: "Seed of the mixture.")
    var seed: UInt64 = 1

    private var plan: LoadPlan {
        LoadPlan(creates: creates, updates: updates, deletes: deletes, rate: rate, first: first, seed: seed)
    }

    func validate() throws {
        if let fault = plan.fault { throw ValidationError(fault) }
    }

    func run() throws {
        let injector = try FlowInjector()
        let seconds = try injector.run(plan)
        let rate = Double(plan.operationCount) / max(seconds, 0.001)
        print("\(injector.tally.text)in \(Int(seconds * 1_000)) ms, \(rate.text(0)) operations a second")
        guard injector.tally.failed.isEmpty else { throw ExitCode.failure }
    }
}
