internal import Glibc

/// Where the programs lie that the lab starts.
public enum LabPrograms {
    /// The folder of `flowsyncd` and `flowsync`: `$FLOWSYNC_BIN`, else the release build, else beside this program.
    public static var directory: String {
        if let value = getenv("FLOWSYNC_BIN") { return String(cString: value) }
        let candidates = [".build/release", programDirectory()]
        return candidates.first { access($0 + "/flowsyncd", X_OK) == 0 } ?? candidates[0]
    }

    /// The daemon.
    public static func daemon() throws(LabError) -> String { try find("flowsyncd", in: directory) }

    /// The command.
    public static func command() throws(LabError) -> String { try find("flowsync", in: directory) }

    /// The lab's own tool: beside the daemon, where it is fast, else beside the tests.
    public static func labTool() throws(LabError) -> String {
        let isBesideDaemon = access(directory + "/flowsync-lab", X_OK) == 0
        return try find("flowsync-lab", in: isBesideDaemon ? directory : programDirectory())
    }

    private static func find(_ name: String, in directory: String) throws(LabError) -> String {
        let path = directory + "/" + name
        guard access(path, X_OK) == 0 else {
            throw LabError("no program at \(path): build it with `swift build --product \(name)`, or set FLOWSYNC_BIN")
        }
        return path.hasPrefix("/") ? path : workingDirectory() + "/" + path
    }

    private static func workingDirectory() -> String {
        var buffer = [CChar](repeating: 0, count: 4_096)
        guard getcwd(&buffer, buffer.count) != nil else { return "." }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
