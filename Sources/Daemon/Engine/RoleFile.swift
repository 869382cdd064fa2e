internal import Glibc
internal import Replication
internal import SystemIO

/// Remembers the role over a restart of the daemon, beside the control socket: keepalived tells it only once.
///
/// It lives where the socket lives, under /run, so a reboot forgets it: a router that comes back is told anew.
struct RoleFile {
    private let path: String

    init(socketPath: String) {
        path = socketPath + ".role"
    }

    /// The role and takeover number written last; nil if there is none, or the file says nothing that makes sense.
    func read() throws(SystemError) -> (NodeRole, UInt32)? {
        let bytes: [UInt8]
        do {
            bytes = try SystemFile.read(path, byteCountMax: 256)
        } catch {
            guard error.errno == ENOENT else { throw error }
            return nil
        }
        let words = String(decoding: bytes, as: UTF8.self).split { $0 == " " || $0 == "\n" }
        guard words.count == 2, let number = UInt32(words[1]),
            let role = [NodeRole.unset, .primary, .backup, .fault].first(where: { $0.text == words[0] })
        else { return nil }
        return (role, number)
    }

    /// Replaces the file in one step.
    func write(_ role: NodeRole, takeoverNumber: UInt32) throws(SystemError) {
        try SystemFile.writeAtomically(Array("\(role.text) \(takeoverNumber)\n".utf8), to: path, mode: 0o600)
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
