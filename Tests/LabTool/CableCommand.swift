import ArgumentParser
import Glibc
import Lab

/// Plays a bad cable.
struct CableCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cable",
        abstract: "Carries frames between two interfaces, badly, as lines on its standard input say."
    )

    @Argument(help: "One end.")
    var first: String

    @Argument(help: "The other end.")
    var second: String

    @Option(help: "Seed of what happens to which frame.")
    var seed: UInt64 = 1

    func run() throws {
        var cable = try BadCable(first, second, seed: seed)
        print("ready")
        fflush(nil)
        try cable.run()
    }
}
