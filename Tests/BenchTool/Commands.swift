public import ArgumentParser
import Bench
import Lab

/// Takes figures and prints the table.
struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "run", abstract: "Takes the figures; needs root.")

    @Option(help: ArgumentHelp("Only this figure; may be repeated. Figures: \(Bench.names.joined(separator: ", "))."))
    var only: [String] = []

    @Option(help: "Runs per figure and subject.")
    var runs = 5

    @Option(
        help: ArgumentHelp(
            "Only this subject; may be repeated. Ratios need both daemons.",
            valueName: Subject.allCases.map(\.rawValue).joined(separator: "|")
        )
    )
    var subject: [Subject] = []

    @Option(help: "Writes everything to this file as JSON.")
    var json: String?

    func validate() throws {
        guard 1...100 ~= runs else { throw ValidationError("runs are 1 to 100") }
    }

    func run() throws {
        let bench = try Bench(only: only, subjects: subject, runCount: runs) { Console.note($0) }
        let report = try bench.run()
        if let json { try writeTextFile(json, try JSONText.encode(report, isPretty: true) + "\n", mode: 0o644) }
        Console.say(report.markdown)
    }
}

/// Prints the table of an earlier run.
struct TableCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "table",
        abstract: "Prints the table of a file that `--json` wrote, as Markdown."
    )

    @Argument(help: "The file.")
    var file: String

    func run() throws {
        let report: Report = try JSONText.decode(try readTextFile(file))
        Console.say(report.markdown)
    }
}

/// Carries out a workload in this network namespace.
struct LoadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load",
        abstract: "Creates, changes and deletes flows in this network namespace, by netlink, in batches.",
        discussion: "Says `ready`, waits for a line on its standard input, works, and prints what it did as JSON."
    )

    @Option(help: "Flows that are there already.")
    var population = 0

    @Option(help: "Flows to create.")
    var creates = 0

    @Option(help: "Changes of flows that are there.")
    var updates = 0

    @Option(help: "Flows to delete that are there.")
    var deletes = 0

    @Option(help: "Operations a second; 0 is as many as the kernel takes.")
    var rate = 0

    @Option(help: "The number of the first flow.")
    var first = 0

    @Option(help: "Seed of the mixture.")
    var seed: UInt64 = 1

    @Option(help: "Writes when each batch went to the kernel to this file.")
    var marks: String?

    private var workload: Workload {
        Workload(
            population: population,
            creates: creates,
            updates: updates,
            deletes: deletes,
            rate: rate,
            first: first,
            seed: seed
        )
    }

    func validate() throws {
        if let fault = workload.fault { throw ValidationError(fault) }
    }

    func run() throws {
        let generator = try LoadGenerator(workload)
        generator.keepsMarks = marks != nil
        Console.say("ready")
        _ = readLine()
        let result = try generator.run()
        if let marks {
            let lines = generator.marks.map { "\($0.nanoseconds) \($0.operationCount)\n" }
            try writeTextFile(marks, lines.joined())
        }
        Console.say(try JSONText.encode(result))
    }
}

/// Does the least that can be done, in this network namespace.
struct FloorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "floor",
        abstract: "Does the least that a program can do, for comparison."
    )

    @Argument(help: "What: \(Floor.allCases.map(\.rawValue).joined(separator: ", ")).")
    var floor: Floor

    @Option(help: "How many flows or events.")
    var count = 100_000

    @Option(help: "Where `latency` notes what it has seen.")
    var marks = "/dev/null"

    func validate() throws {
        guard 1...FlowInjector.flowCountMax ~= count else {
            throw ValidationError("the count is 1 to \(FlowInjector.flowCountMax)")
        }
    }

    func run() throws {
        try floor.run(Floor.Options(count: count, marksPath: marks)) { Console.say("ready") }
    }
}

extension Floor: ExpressibleByArgument {}
extension Subject: ExpressibleByArgument {}
