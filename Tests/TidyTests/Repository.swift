import FoundationEssentials

/// The tree under test.
enum Repository {
    /// The repository's root, two folders above this file's own.
    static let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
        .joined(separator: "/")

    /// A text file of the tree.
    struct File: Sendable {
        /// Relative to the root.
        let path: String
        let text: String

        var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }

        /// The module it belongs to: the folder below Sources or Tests.
        var module: String { String(path.split(separator: "/")[1]) }
    }

    static func read(_ path: String) throws -> File {
        File(path: path, text: try String(contentsOfFile: root + "/" + path, encoding: .utf8))
    }

    /// All files below `folders` that end in one of `suffixes`, in the order of their paths.
    static func files(in folders: [String], suffixes: [String] = [".swift"]) throws -> [File] {
        try folders.flatMap { folder in
            try FileManager.default.subpathsOfDirectory(atPath: root + "/" + folder)
                .filter { path in suffixes.contains { path.hasSuffix($0) } }
                .map { "\(folder)/\($0)" }
        }
        .sorted()
        .map { try read($0) }
    }
}
