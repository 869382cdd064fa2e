import ArgumentParser
import Lab

/// Writes down datagrams of the sync network.
struct CaptureCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "capture",
        abstract:
            "Writes datagrams to the sync group that come by an interface to a file, for `hostile --earlier`."
    )

    @Option(help: "The interface to the sync network.")
    var interface = "sync"

    @Option(help: "How many.")
    var count = 1_000

    @Option(help: "For how long to wait for them.")
    var seconds = 30.0

    @Argument(help: "The file.")
    var path: String

    func run() throws {
        try captureDatagrams(interface: interface, count: count, within: seconds, to: path)
    }
}

/// Attacks the sync network.
struct HostileCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hostile",
        abstract:
            "Sends datagrams into the sync network that no daemon must take in, and prints how many of each kind."
    )

    @Option(help: "The interface to the sync network.")
    var interface = "sync"

    @Option(help: "Datagrams in all.")
    var count = 1_000_000

    @Option(help: "Datagrams a second.")
    var rate = 20_000

    @Option(help: "Seed of what is sent.")
    var seed: UInt64 = 1

    @Option(help: "The key file of the daemons.")
    var keyFile: String

    @Option(help: "What `capture` wrote before the daemons were restarted.")
    var earlier: String

    func validate() throws {
        guard 1...100_000_000 ~= count, 1...1_000_000 ~= rate else {
            throw ValidationError("count is 1 to 100000000, rate 1 to 1000000")
        }
    }

    mutating func run() throws {
        var plan = HostilePlan(keyFilePath: keyFile, earlierPath: earlier)
        plan.interface = interface
        plan.count = count
        plan.rate = rate
        plan.seed = seed
        var sender = try HostileSender(plan)
        print(try sender.run().words)
    }
}
