/// Everything that is wrong with a configuration file.
public struct ConfigurationError: Error, Equatable, CustomStringConvertible {
    /// One thing that is wrong.
    public struct Problem: Equatable, Sendable {
        /// The line it is about, counted from 1; nil if it is about something that is missing.
        public let line: Int?
        /// What is wrong and what would be right.
        public let text: String
    }

    /// The file.
    public let path: String
    /// At least one problem, in the order of their lines.
    public let problems: [Problem]

    /// One line per problem, each as `FILE:LINE: TEXT`.
    public var description: String {
        problems.map { problem in
            guard let line = problem.line else { return "\(path): \(problem.text)" }
            return "\(path):\(line): \(problem.text)"
        }
        .joined(separator: "\n")
    }
}
