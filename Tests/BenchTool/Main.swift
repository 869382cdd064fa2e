import ArgumentParser
import Bench

/// Measures FlowSync beside conntrackd.
@main
struct BenchTool: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flowsync-bench",
        abstract: "Measures FlowSync beside conntrackd, under the same load in the same run.",
        subcommands: [RunCommand.self, TableCommand.self, LoadCommand.self, FloorCommand.self],
        defaultSubcommand: RunCommand.self
    )
}
