import Configuration
import Testing

/// Whatever stands in the file, the answer is a configuration or an error with at least one problem, never a trap.
@Suite("Hostile configuration files")
struct HostileConfigurationTests {
    private static let seeds = [
        minimalText,
        """
        # comment
        [node]
        name = "r1"
        [sync]
        key-file = "/etc/flowsync/sync.key"
        mode = "best-effort"
        [[sync.link]]
        transport = "tcp"
        interface = 'eth2'
        local = "192.168.100.1"
        peers = ["192.168.100.2", "192.168.100.3"]
        [[sync.link]]
        transport = "udp"
        interface = 'eth2'
        local = "192.168.100.1"
        peers = ["192.168.100.2", "2001:db8::1"]
        port = 3_780
        [kernel]
        event-buffer = "8 MiB"
        event-buffer-max = "64 MiB"
        [takeover]
        commit = "preload"
        gate-interfaces = ["eth0", "eth1"]
        [replicate]
        protocols = ["tcp", "udp", '''icmp''', \"""gre\"""]
        ignore-addresses = ["127.0.0.0/8", "::1/128"]
        [[group]]
        name = "web"
        sources = ["10.1.0.0/16", "2001:db8::/32"]
        destinations = ["203.0.113.0/24"]
        nat-addresses = ["198.51.100.1"]
        [[group]]
        name = "mail"
        marks = ["0x10/0xf0", "7"]
        zones = [5, 65_535]
        [control]
        socket = "/run/flowsync/control.sock"
        """,
        """
        sync.key-file = "/etc/flowsync/sync.key"
        sync.mode = "best-effort"
        [[sync.link]]
        transport = "tcp"
        interface = "eth2"
        local = "10.0.0.1"
        peers = ["10.0.0.2"]
        [[sync.link]]
        transport = "tcp"
        interface = "eth3"
        local = "10.0.0.1"
        peers = ["10.0.0.2"]
        """,
        "sync = { insecure = true, link = [ { transport = \"multicast\", interface = 'e', group = \"ff02::1\" } ] }",
    ]

    /// Pieces that steer the parser into its corners.
    private static let pieces = [
        "[[", "]]", "[", "]", "{", "}", "=", ".", ",", "\"", "'", "\"\"\"", "'''", "\\", "\\u0000", "\\U0010FFFF", "#",
        "\n",
        "\r\n", "\r", "\t", " ", "\u{0}", "\u{7f}", "\u{feff}", "é", "1", "-0", "0x", "1e999", "nan", "inf", "true",
        "1979-05-27", "07:32:00Z", "takeover", "gate-interfaces", "9223372036854775808", "sync", "sync.link", "link",
        "group", "mode", "key-file", "[[group]]", "name", "zones", "marks", "/0x",
        "\"\" = 1", "a.b.c = 1",
    ]

    private func expectAnswer(_ bytes: [UInt8]) -> Bool {
        do {
            _ = try Configuration(parsing: bytes, path: "f", hostName: "r")
            return true
        } catch {
            let text = String(decoding: bytes, as: UTF8.self)
            #expect(!error.problems.isEmpty, "no reason given for: \(text.debugDescription)")
            let lineCount = bytes.count { $0 == UInt8(ascii: "\n") } + 1
            #expect(error.problems.allSatisfy { ($0.line ?? 1) >= 1 && ($0.line ?? 1) <= lineCount }, "\(error)")
            return false
        }
    }

    @Test("Mutated files", arguments: 1...4 as ClosedRange<UInt64>)
    func mutations(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var acceptedCount = 0
        for round in 0..<2_500 {
            var bytes = Array(Self.seeds[round % Self.seeds.count].utf8)
            for _ in 0...Int.random(in: 0...3, using: &random) { mutate(&bytes, &random) }
            if expectAnswer(bytes) { acceptedCount += 1 }
        }
        // Had the seeds themselves been broken, the loop would only test the first check.
        #expect(acceptedCount > 0)
    }

    private func mutate(_ bytes: inout [UInt8], _ random: inout SeededGenerator) {
        let start = Int.random(in: 0...bytes.count, using: &random)
        let end = min(bytes.count, start + Int.random(in: 0...12, using: &random))
        switch Int.random(in: 0..<5, using: &random) {
        case 0:
            if !bytes.isEmpty { bytes[start % bytes.count] ^= 1 << UInt8.random(in: 0..<8, using: &random) }
        case 1:
            bytes.removeSubrange(start..<end)
        case 2:
            bytes.insert(contentsOf: bytes[start..<end], at: Int.random(in: 0...bytes.count, using: &random))
        case 3:
            bytes.removeSubrange(start...)
        default:
            bytes.insert(contentsOf: Array(Self.pieces[Int(random.next() % UInt64(Self.pieces.count))].utf8), at: start)
        }
    }

    @Test("Random pieces of TOML")
    func pieces() {
        var random = SeededGenerator(seed: 99)
        for _ in 0..<10_000 {
            var bytes: [UInt8] = []
            for _ in 0..<Int.random(in: 0...12, using: &random) {
                bytes += Array(Self.pieces[Int(random.next() % UInt64(Self.pieces.count))].utf8)
            }
            _ = expectAnswer(bytes)
        }
    }

    @Test("Depth and length")
    func depthAndLength() {
        for opener in ["[", "{a=", "[[", "\"", "a."] {
            _ = expectAnswer(Array(("a = " + String(repeating: opener, count: 20_000)).utf8))
            _ = expectAnswer(Array(String(repeating: opener, count: 20_000).utf8))
        }
        let nested = String(repeating: "[", count: 200) + String(repeating: "]", count: 200)
        #expect(!expectAnswer(Array("a = \(nested)\n\(minimalText)".utf8)))
        #expect(!expectAnswer(Array("\(String(repeating: "x", count: 500_000)) = 1\n\(minimalText)".utf8)))
    }
}
