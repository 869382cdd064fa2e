internal import Control
internal import SystemIO

/// Keeps the last changes of role over a restart of the daemon, beside the control socket.
struct HistoryFile {
    private let path: String

    init(socketPath: String) {
        path = socketPath + ".history"
    }

    /// What was written last; an empty history if there is none, or none that can be read.
    func read() -> TakeoverHistory {
        guard let bytes = try? SystemFile.read(path) else { return TakeoverHistory() }
        return (try? TakeoverHistory(decoding: bytes)) ?? TakeoverHistory()
    }

    /// Replaces the file in one step; returns what is wrong if it cannot be written.
    func write(_ history: TakeoverHistory) -> String? {
        do {
            try SystemFile.writeAtomically(try history.encoded(), to: path, mode: 0o600)
            return nil
        } catch {
            return "the history of takeovers will not outlive a restart of the daemon: \(error)"
        }
    }
}
