internal import Lab
internal import SystemIO

/// The size of the connection tables, which the kernel keeps for all namespaces in one place.
///
/// Raised for a run and put back after it, unless somebody else has changed it meanwhile.
final class KernelLimits {
    private static let folder = "/proc/sys/net/netfilter/"
    private static let lockPath = "/run/flowsync-bench.lock"

    private let lock: FileLock
    private var changed: [(name: String, before: Int, during: Int)] = []

    /// Raises what is too small for so many entries in one namespace.
    ///
    /// - Throws: also if another bench runs: it would put the limits back under this one's feet, and take its
    ///   processors.
    init(entryCountMax: Int) throws(LabError) {
        lock = try Self.acquire()
        try raise("nf_conntrack_max", to: entryCountMax)
        // The kernel's own ratio for large machines is one bucket per entry.
        try raise("nf_conntrack_buckets", to: entryCountMax)
    }

    deinit {
        restore()
    }

    /// Puts back what was changed.
    func restore() {
        defer { changed = [] }
        for (name, before, during) in changed where (try? Self.value(name)) == during {
            _ = try? runCommand(["sysctl", "-q", "-w", "net.netfilter.\(name)=\(before)"])
        }
    }

    private static func acquire() throws(LabError) -> FileLock {
        do {
            if let lock = try FileLock.acquire(lockPath) { return lock }
        } catch {
            throw LabError("\(error)")
        }
        throw LabError("another flowsync-bench runs (it holds \(lockPath)): wait for its end")
    }

    private func raise(_ name: String, to value: Int) throws(LabError) {
        let before = try Self.value(name)
        guard before < value else { return }
        try runChecked(["sysctl", "-q", "-w", "net.netfilter.\(name)=\(value)"])
        changed.append((name, before, try Self.value(name)))
    }

    private static func value(_ name: String) throws(LabError) -> Int {
        let text = try readTextFile(folder + name)
        guard let value = Int(text.split(separator: "\n").first ?? "") else {
            throw LabError("\(folder + name) holds \(text)")
        }
        return value
    }
}
