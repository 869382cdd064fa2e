import ArgumentParser
import Simulator

/// `flowsync-simulate`: runs seeds of the protocol's simulator.
@main
struct SimulateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flowsync-simulate",
        abstract: "Runs the replication protocol on virtual time, one world of trouble per seed.",
        discussion: "A failing seed is printed with the command that replays it, and the exit status is 1."
    )

    @Option(help: "How many seeds to run.")
    var seeds: UInt64 = 1_000

    @Option(help: "The first seed.")
    var first: UInt64 = 1

    @Option(help: "How many nodes, 2…5; by default each seed decides.")
    var nodes: Int?

    @Flag(help: "Print everything that happens in the first seed, and run no other.")
    var trace = false

    func validate() throws {
        guard seeds > 0 else { throw ValidationError("--seeds must be at least 1") }
        guard nodes.map({ (2...5).contains($0) }) ?? true else { throw ValidationError("--nodes must be 2…5") }
        guard first.addingReportingOverflow(seeds).overflow == false else {
            throw ValidationError("--first and --seeds together exceed the largest seed")
        }
    }

    func run() throws {
        guard !trace else {
            let report = Simulation(seed: first, nodeCount: nodes) { print($0) }.run()
            print(report.scenario)
            guard report.violation == nil else { throw failure(first, report) }
            print("seed \(first) finds nothing; digest \(String(report.digest, radix: 16))")
            return
        }
        let clock = ContinuousClock()
        let start = clock.now
        var spokenAt = start
        var total = Totals()
        for seed in first..<first + seeds {
            let report = Simulation(seed: seed, nodeCount: nodes).run()
            guard report.violation == nil else { throw failure(seed, report) }
            total.add(report)
            if clock.now - spokenAt > .seconds(20) {
                spokenAt = clock.now
                print("\(seed - first + 1) of \(seeds) seeds")
            }
        }
        print("\(seeds) seeds find nothing: \(total.text), in \(clock.now - start)")
    }

    private func failure(_ seed: UInt64, _ report: RunReport) -> ExitCode {
        let nodes = nodes.map { " --nodes \($0)" } ?? ""
        let seconds = report.nanoseconds / 1_000_000_000
        let milliseconds = String(report.nanoseconds / 1_000_000 % 1_000 + 1_000).dropFirst()
        print(
            """
            seed \(seed) fails at virtual time \(seconds).\(milliseconds) s
              broken: \(report.violation?.rule ?? "")
              found:  \(report.violation?.detail ?? "")
              world:  \(report.scenario)
              replay: flowsync-simulate --first \(seed)\(nodes) --trace
            """
        )
        return ExitCode(1)
    }

    private struct Totals {
        var seconds: UInt64 = 0
        var datagrams = 0
        var copies = 0
        var claims = 0
        var healedMillisecondsMax: UInt64 = 0

        mutating func add(_ report: RunReport) {
            seconds += report.nanoseconds / 1_000_000_000
            datagrams += report.datagramCount
            copies += report.checkedCopyCount
            claims += report.checkedClaimCount
            healedMillisecondsMax = max(healedMillisecondsMax, report.healedNanoseconds / 1_000_000)
        }

        var text: String {
            """
            \(seconds) s of virtual time, \(datagrams) datagrams, \(copies) copies and \(claims) claims of equality \
            checked, equal at most \(healedMillisecondsMax) ms after healing
            """
        }
    }
}
