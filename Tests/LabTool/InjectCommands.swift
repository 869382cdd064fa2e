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

    @Option(help: "Changes every flow this often afterwards.")
    var changes = 0

    @Option(help: "Deletes this many of the flows at the end.")
    var deletes = 0

    func validate() throws {
        guard count >= 0, first >= 0, changes >= 0, first + count <= FlowInjector.flowCountMax, deletes <= count else {
            throw ValidationError("flows are numbered from 0 to \(FlowInjector.flowCountMax - 1)")
        }
    }

    func run() throws {
        let injector = try FlowInjector()
        let start = Clock.seconds
        for generation in 0...changes { try injector.write(first..<first + count, generation: generation) }
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
