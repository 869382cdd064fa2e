/// What the kernel holds of the daemons.
extension Lab {
    /// Whether a gate is in a router's kernel: the table `inet flowsync`, with rules that drop.
    public func hasGate(_ router: LabNode) throws(LabError) -> Bool {
        try check(on: router, ["nft", "list", "ruleset"]).text.split(separator: "table ").contains {
            $0.hasPrefix("inet flowsync ") && $0.contains("drop")
        }
    }

    /// How many entries a router's kernel holds.
    public func kernelFlowCount(of router: LabNode) throws(LabError) -> Int {
        let text = try check(on: router, ["conntrack", "-C"]).text
        guard let count = Int(text.prefix { $0.isNumber }) else { throw LabError("conntrack -C: \(text)") }
        return count
    }

    /// Raises the kernel's limit of entries, which all namespaces share, while something runs.
    public static func withTableLimit<Value>(atLeast count: Int, _ body: () throws -> Value) throws -> Value {
        let path = "/proc/sys/net/netfilter/nf_conntrack_max"
        let before = try readTextFile(path)
        guard let old = Int(before.prefix { $0.isNumber }) else { throw LabError("\(path): \(before)") }
        guard old < count else { return try body() }
        func set(_ value: Int) throws {
            try runChecked(["sysctl", "-q", "-w", "net.netfilter.nf_conntrack_max=\(value)"])
        }
        try set(count)
        defer { try? set(old) }
        return try body()
    }
}
