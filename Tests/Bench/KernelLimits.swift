internal import Lab

/// The size of the connection tables, which the kernel keeps for all namespaces in one place.
///
/// Raised for a run and put back after it, unless somebody else has changed it meanwhile.
final class KernelLimits {
    private static let folder = "/proc/sys/net/netfilter/"
    private var changed: [(name: String, before: Int, during: Int)] = []

    /// Raises what is too small for so many entries in one namespace.
    init(entryCountMax: Int) throws(LabError) {
        try raise("nf_conntrack_max", to: entryCountMax)
        // The kernel's own ratio for large machines is one bucket per entry.
        try raise("nf_conntrack_buckets", to: entryCountMax)
    }

    deinit {
        for (name, before, during) in changed where (try? Self.value(name)) == during {
            _ = try? runCommand(["sysctl", "-q", "-w", "net.netfilter.\(name)=\(before)"])
        }
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
