internal import Glibc
internal import Replication
internal import SystemIO

/// Remembers the role over a restart of the daemon, beside the control socket: keepalived tells it only once.
///
/// It lives where the socket lives, under /run, so a reboot forgets it: a router that comes back is told anew.
/// One line: role, takeover number, highest takeover number heard of, and `purge` if flows of a role that was given up
/// are still to be deleted.
struct RoleFile {
    /// What is remembered.
    struct Memory: Equatable {
        var role = NodeRole.unset
        var takeoverNumber: UInt32 = 0
        var highestTakeoverNumber: UInt32 = 0
        var owesPurge = false
    }

    /// Numbers from here on are refused, as on the wire: adding to them could overflow.
    private static let takeoverNumberLimit: UInt32 = 1 << 31

    private let path: String

    /// The file of a traffic group; nil is the default one.
    init(socketPath: String, group: String? = nil) {
        path = socketPath + ".role" + (group.map { "-\($0)" } ?? "")
    }

    /// What was written last, or a fresh memory if that makes no sense; nil if there is no file.
    func read() throws(SystemError) -> Memory? {
        do {
            let bytes = try SystemFile.read(path, byteCountMax: 256)
            return Self.parse(String(decoding: bytes, as: UTF8.self)) ?? Memory()
        } catch {
            guard error.errno == ENOENT else { throw error }
            return nil
        }
    }

    /// Replaces the file in one step.
    func write(_ memory: Memory) throws(SystemError) {
        let line =
            "\(memory.role.text) \(memory.takeoverNumber) \(memory.highestTakeoverNumber)"
            + (memory.owesPurge ? " purge\n" : "\n")
        try SystemFile.writeAtomically(Array(line.utf8), to: path, mode: 0o600)
    }

    static func parse(_ line: String) -> Memory? {
        let words = line.split { $0 == " " || $0 == "\n" }
        guard words.count == 3 || (words.count == 4 && words[3] == "purge"),
            let role = NodeRole.allCases.first(where: { $0.text == words[0] }),
            let number = UInt32(words[1]), let highest = UInt32(words[2]), number < takeoverNumberLimit,
            highest < takeoverNumberLimit
        else { return nil }
        return Memory(
            role: role,
            takeoverNumber: number,
            highestTakeoverNumber: highest,
            owesPurge: words.count == 4
        )
    }
}

extension NodeRole {
    /// The role as the configuration, the command and the role file spell it.
    var text: String {
        switch self {
        case .unset: "unset"
        case .primary: "primary"
        case .backup: "backup"
        case .fault: "fault"
        }
    }
}
