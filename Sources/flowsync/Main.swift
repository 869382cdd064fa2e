import ArgumentParser
import Control
import Glibc

/// The operator's command: it asks the running daemon through its local API and prints what it answers.
@main
struct FlowSyncCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flowsync",
        abstract: "Shows and steers the running flowsyncd.",
        discussion: "Exit status: 0 done, 1 failed, 2 wrong usage, 3 no daemon answers.",
        version: "flowsync \(Version.text)",
        subcommands: [
            Status.self, Stats.self, Dump.self, RoleCommand.self, Ready.self, Rehearse.self, Commit.self, Flush.self,
            Resync.self, Push.self, Config.self, Keygen.self, Debug.self,
        ]
    )

    /// Runs the command and ends the process.
    static func main() {
        // A reader that went away (`flowsync dump internal | head`) is seen as EPIPE and ends the command quietly.
        _ = signal(SIGPIPE, SIG_IGN)
        do {
            var command = try parseAsRoot(Self.reordered(CommandLine.arguments.dropFirst()))
            try command.run()
            Glibc.exit(ExitStatus.done.rawValue)
        } catch let failure as CommandFailure {
            if !failure.text.isEmpty { Output.writeError("flowsync: \(failure.text)\n") }
            Glibc.exit(failure.status.rawValue)
        } catch {
            // --help comes this way too, with exit code 0.
            let isUsageError = exitCode(for: error) != .success
            let text = fullMessage(for: error) + "\n"
            if isUsageError { Output.writeError(text) } else { try? Output.write(Array(text.utf8)) }
            Glibc.exit(isUsageError ? ExitStatus.usage.rawValue : ExitStatus.done.rawValue)
        }
    }

    /// The arguments with the options that stand before the subcommand moved behind it, where the parser wants them:
    /// `flowsync --socket PATH status` is how everybody writes it.
    static func reordered(_ arguments: some Collection<String>) -> [String] {
        var rest = Array(arguments)
        var leading: [String] = []
        while let first = rest.first, first == "--json" || first == "--socket" || first.hasPrefix("--socket=") {
            let count = first == "--socket" ? min(2, rest.count) : 1
            leading += rest.prefix(count)
            rest.removeFirst(count)
        }
        return rest + leading
    }

    /// Called without a subcommand.
    func run() throws {
        throw ValidationError("say what to do, for example: flowsync status")
    }
}

/// The command's exit statuses.
enum ExitStatus: Int32 {
    /// What was asked for is done.
    case done = 0
    /// It failed, or was refused.
    case failed = 1
    /// The command line is wrong.
    case usage = 2
    /// No daemon answers.
    case noDaemon = 3
}

/// Why a command ends without having done what it was asked for.
struct CommandFailure: Error {
    /// The exit status.
    var status = ExitStatus.failed
    /// One line for the operator; empty if everything has been said on standard output.
    var text: String
}
