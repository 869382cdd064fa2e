import ArgumentParser
import Configuration

/// The command `flowsync config`.
struct Config: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Work on configuration files.",
        subcommands: [Check.self]
    )

    /// The command `flowsync config check`.
    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check a configuration file, without a daemon."
        )

        @Argument(help: ArgumentHelp("The file.", valueName: "file"))
        var path = Configuration.standardPath

        func run() throws {
            do {
                _ = try Configuration.load(path: path)
            } catch {
                Output.writeError("\(error)\n")
                throw CommandFailure(text: "")
            }
            try Output.write("\(path): valid\n")
        }
    }

    func run() throws {
        throw ValidationError("say what to do: flowsync config check [<file>]")
    }
}
