internal import Glibc
public import Logging

/// Writes log lines to stderr as systemd's journal wants them.
///
/// Each line is one message. Under the journal (`JOURNAL_STREAM` is set) it starts with the priority in angle brackets
/// (`sd-daemon(3)`); elsewhere with the level's name.
public struct JournalLogHandler: LogHandler {
    /// Lines below this level are not written.
    public var logLevel = Logger.Level.info
    /// Values added to every line.
    public var metadata = Logger.Metadata()
    private let isJournal: Bool

    /// A handler for the process's stderr.
    public init() {
        isJournal = unsafe getenv("JOURNAL_STREAM") != nil
    }

    /// One of the values added to every line.
    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    /// Writes one line; line breaks in the message become spaces.
    public func log(event: LogEvent) {
        let prefix = isJournal ? "<\(Self.priority(event.level))>" : "\(event.level): "
        var line = prefix + event.message.description.replacing("\n", with: " ")
        for (key, value) in metadata.merging(event.metadata ?? [:], uniquingKeysWith: { $1 }).sorted(by: {
            $0.key < $1.key
        }) {
            line += " \(key)=\(value)"
        }
        line += "\n"
        // One write per line: stderr is not buffered, and lines of several threads do not mix.
        line.withUTF8 { bytes in
            _ = unsafe write(STDERR_FILENO, bytes.baseAddress, bytes.count)
        }
    }

    private static func priority(_ level: Logger.Level) -> Int {
        switch level {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }
}
