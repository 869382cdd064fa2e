import ArgumentParser
import Configuration
import Link

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
                let configuration = try Configuration.load(path: path)
                if case .sealed(let keyFile) = configuration.sync.security { _ = try KeyRing.load(path: keyFile) }
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
