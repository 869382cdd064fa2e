import ArgumentParser
import Configuration
import Control
import Daemon
import Glibc

/// The daemon's command line: it reads the configuration and hands over to `FlowSyncDaemon`.
@main
struct FlowSyncDaemonCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flowsyncd",
        abstract: "Keeps the connections of this router and its peers the same.",
        discussion: """
            Runs in the foreground and logs to standard error. SIGHUP reloads the configuration, SIGTERM stops. \
            The command flowsync talks to it.
            """,
        version: "flowsyncd \(Version.text)"
    )

    @Option(help: ArgumentHelp("The configuration file.", valueName: "file"))
    var config = Configuration.standardPath

    @Flag(help: "Only check the configuration file: exit status 0 if it is valid.")
    var check = false

    /// Runs the daemon and ends the process: 0 done, 1 failed, 2 usage.
    static func main() {
        let command: FlowSyncDaemonCommand
        do {
            command = try parse()
        } catch {
            // --help and --version come this way too, with exit code 0.
            let isUsageError = exitCode(for: error) != .success
            print(fullMessage(for: error), to: isUsageError ? STDERR_FILENO : STDOUT_FILENO)
            Glibc.exit(isUsageError ? 2 : 0)
        }
        do {
            let configuration = try Configuration.load(path: command.config)
            if command.check {
                try FlowSyncDaemon.check(configuration)
                print("\(command.config): valid", to: STDOUT_FILENO)
                Glibc.exit(0)
            }
            Glibc.exit(FlowSyncDaemon.run(configuration: configuration, configurationPath: command.config))
        } catch {
            print("\(error)", to: STDERR_FILENO)
            Glibc.exit(1)
        }
    }

    /// Writes a line unbuffered; Swift's standard streams are C variables that strict concurrency does not let us use.
    private static func print(_ text: String, to descriptor: Int32) {
        let line = Array((text + "\n").utf8)
        // SAFETY: the buffer is the array's own, for the call's duration. A failed write has nobody to be told.
        _ = unsafe line.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
    }
}
