// What can be wrong with `[sync]` as a whole: its protection, and links beside each other.
extension Slip {
    static let syncContradictions = protection + surplus + twins

    private static let protection = [
        Slip(
            base.replacing("insecure = true", with: "insecure = true\nkey-file = \"/etc/flowsync/sync.key\""),
            "f.toml:2: insecure = true and key-file on line 3 contradict each other: remove insecure to seal the sync"
                + " link, or key-file to leave it open"
        ),
        Slip(base.replacing("= true", with: "= false"), "f.toml:2: insecure = false \(keyRule)"),
        Slip(base.replacing("insecure = true", with: ""), "f.toml:1: [sync] \(keyRule)"),
        Slip(
            base.replacing("insecure = true", with: "key-file = \"sync.key\""),
            "f.toml:2: key-file must be the absolute path of a file, not \"sync.key\""
        ),
        Slip(
            base.replacing("insecure = true", with: "key-file = \"\""),
            "f.toml:2: key-file must be the absolute path of a file, not \"\""
        ),
        Slip(
            base.replacing("insecure = true", with: "key-file = \"/etc/flowsync/\""),
            "f.toml:2: key-file must be the absolute path of a file, not \"/etc/flowsync/\""
        ),
        Slip(
            base.replacing("insecure = true", with: "key-file = \"/\(String(repeating: "x", count: 4_095))\""),
            "f.toml:2: key-file must be the absolute path of a file, not \"/\(String(repeating: "x", count: 59))…\""
        ),
    ]

    private static let surplus = [
        Slip(
            base + (1...4).map { multicast("eth2\($0)") }.joined(),
            "f.toml:19: this is one [[sync.link]] too many: at most 4 are allowed, and there are 5"
        ),
        Slip(
            udp.replacing("udp", with: "tcp") + "local = \"10.0.0.1\"\npeers = [\"10.0.0.2\"]\ngroup = \"225.0.0.50\"",
            "f.toml:8: group belongs to transport = \"multicast\"; a tcp link has local and peers"
        ),
        Slip(
            udp.replacing("udp", with: "tcp") + "peers = [\"10.0.0.2\"]",
            "f.toml:3: a tcp link needs local: this node's address on it"
        ),
        Slip(
            udp.replacing("udp", with: "tcp") + "local = \"10.0.0.1\"\npeers = [\"10.0.0.2\", \"10.0.0.1\"]",
            "f.toml:7: peers holds 10.0.0.1, which is local: list the other nodes only"
        ),
        Slip(
            base + "peers = [\"10.0.0.1\"]",
            "f.toml:7: peers belongs to transport = \"udp\" or \"tcp\"; a multicast link has group only"
        ),
    ]

    /// Pairs of links that one node cannot have both.
    private static let twins = [
        Slip(
            base + multicast("eth2") + multicast("eth3"),
            "f.toml:7: \(twin("multicast", "group 225.0.0.50 and port 3780", 3))"
        ),
        Slip(
            base + multicast("eth3") + multicast("eth2") + "port = 3780",
            "f.toml:11: \(twin("multicast", "group 225.0.0.50 and port 3780", 3))"
        ),
        Slip(
            base + unicast("udp", "10.0.0.2") + unicast("udp", "10.0.0.3"),
            "f.toml:12: \(twin("udp", "local 10.0.0.1 and port 3780", 7))"
        ),
        Slip(
            base + unicast("tcp", "10.0.0.2") + unicast("udp", "10.0.0.2") + unicast("tcp", "10.0.0.2"),
            "f.toml:17: \(twin("tcp", "local 10.0.0.1 and port 3780", 7))"
        ),
    ]

    private static func twin(_ name: String, _ rest: String, _ line: Int) -> String {
        "this [[sync.link]] has transport \"\(name)\", interface \"eth2\", \(rest) like the one of line \(line):"
            + " change one of them or remove this section"
    }

    /// A link of four lines.
    private static func multicast(_ interface: String) -> String {
        "[[sync.link]]\ntransport = \"multicast\"\ninterface = \"\(interface)\"\ngroup = \"225.0.0.50\"\n"
    }

    /// A link of five lines.
    private static func unicast(_ transport: String, _ peer: String) -> String {
        let head = "[[sync.link]]\ntransport = \"\(transport)\"\ninterface = \"eth2\"\n"
        return "\(head)local = \"10.0.0.1\"\npeers = [\"\(peer)\"]\n"
    }
}
