import ArgumentParser
import Lab

/// Compares lists of flows.
struct CompareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Compares dumps of conntrack and of flowsync with each other; prints differences and exits 1."
    )

    @Option(help: "Addresses, separated by commas, whose flows in the first list are not expected in the others.")
    var ignore = ""

    @Argument(help: "Files, each compared with the next one.")
    var files: [String]

    func run() throws {
        let ignored = Set(ignore.split(separator: ",").map(String.init))
        let snapshots = try files.enumerated().map { index, path in
            let label = String(path[(path.lastIndex(of: "/").map(path.index(after:)) ?? path.startIndex)...])
            return FlowSnapshot(label, parsing: Array(try readTextFile(path).utf8), ignoring: index == 0 ? ignored : [])
        }
        var areEqual = true
        for (first, second) in zip(snapshots, snapshots.dropFirst()) {
            for line in first.differences(to: second) {
                print(line)
                areEqual = false
            }
        }
        if !areEqual { throw ExitCode.failure }
    }
}
