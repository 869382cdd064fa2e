internal import Glibc
internal import Synchronization

/// Names labs and removes them, also those whose process died without doing it.
enum LabSweeper {
    /// Counts this process's labs.
    private static let counter = AtomicCounter()

    /// "fs-<process id>-<its start time>-<number>": the start time tells a dead owner from a later process that was
    /// given the same id.
    static func nextName() -> String {
        "fs-\(getpid())-\(startTime(of: getpid()) ?? 0)-\(counter.next())"
    }

    /// Removes every lab whose process is gone.
    static func sweep() throws(LabError) {
        let stale = (entries(of: "/run/netns") + entries(of: "/tmp")).compactMap { labName(of: $0) }
        for name in Set(stale) where !isOwnerAlive(name) { remove(name) }
    }

    /// Kills what runs in a lab, then removes its namespaces and its folder.
    static func remove(_ name: String) {
        let namespaces = entries(of: "/run/netns").filter { labName(of: $0) == name }
        for namespace in namespaces {
            guard let pids = try? runCommand(["ip", "netns", "pids", namespace]).text else { continue }
            for pid in pids.split(separator: "\n").compactMap({ Int32($0) }) where pid != getpid() {
                kill(pid, SIGKILL)
            }
        }
        for namespace in namespaces { _ = try? runCommand(["ip", "netns", "del", namespace]) }
        _ = try? runCommand(["rm", "-rf", "--one-file-system", "/tmp/" + name])
    }

    /// "fs-1-2-3" of "fs-1-2-3-client" or of itself; nil for what is none of ours.
    static func labName(of entry: String) -> String? {
        let parts = entry.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count >= 4, parts[0] == "fs", parts[1...3].allSatisfy({ UInt64($0) != nil }) else { return nil }
        return parts[0...3].joined(separator: "-")
    }

    private static func isOwnerAlive(_ name: String) -> Bool {
        let parts = name.split(separator: "-")
        guard let pid = Int32(parts[1]), let time = UInt64(parts[2]) else { return true }
        return startTime(of: pid) == time
    }

    /// Field 22 of /proc/<pid>/stat; nil if there is no such process.
    private static func startTime(of pid: Int32) -> UInt64? {
        guard let text = try? readTextFile("/proc/\(pid)/stat"), let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[end...].split(separator: " ")
        return fields.count > 20 ? UInt64(fields[20]) : nil
    }

    private static func entries(of directory: String) -> [String] {
        guard let stream = opendir(directory) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            names.append(
                withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
            )
        }
        return names
    }
}

/// A number per call, from 1.
private final class AtomicCounter: Sendable {
    private let value = Atomic<Int>(0)

    func next() -> Int {
        value.add(1, ordering: .relaxed).newValue
    }
}
