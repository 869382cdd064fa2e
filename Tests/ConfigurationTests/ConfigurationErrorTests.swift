import Configuration
import Testing

@Suite("Configuration errors")
struct ConfigurationErrorTests {
    @Test(
        "One slip is one problem, with its line and what would be right",
        arguments: Slip.all
    )
    func slip(_ slip: Slip) {
        #expect(problems(of: slip.text) == [slip.problem])
    }

    @Test("The base of all slips has none")
    func base() {
        #expect(problems(of: Slip.base) == [])
        #expect(problems(of: Slip.udp + "local = \"10.0.0.1\"\npeers = [\"10.0.0.2\"]") == [])
    }

    @Test("A line of broken UTF-8 is named")
    func brokenUTF8() {
        let bytes = Array("# Gr\u{fc}\u{df}e\n[node]\nname = \"".utf8) + [0xff, 0x22]
        #expect {
            try Configuration(parsing: bytes, path: "f.toml", hostName: nil)
        } throws: {
            "\($0)" == "f.toml:3: this line is not valid UTF-8"
        }
    }

    @Test("All problems are shown at once, in the order of their lines")
    func allAtOnce() {
        let found = problems(
            of: """
                [control]
                socket = 1
                [replicate]
                protocols = ["tpc", "tcp", "x"]
                [[sync.link]]
                transport = "udp"
                port = 0
                """
        )
        let lines = found.map { $0.prefix { $0 != " " } }
        #expect(
            lines == [
                "f.toml:2:", "f.toml:4:", "f.toml:4:", "f.toml:5:", "f.toml:5:", "f.toml:5:", "f.toml:5:", "f.toml:7:",
            ]
        )
    }

    @Test("An empty file says what the least is")
    func empty() {
        #expect(
            problems(of: "").map { $0.prefix(40) } == [
                "f.toml: [sync] needs insecure = true: th", "f.toml: a [[sync.link]] section is missi",
            ]
        )
    }

    @Test("A host without a usable name needs one in the file")
    func hostName() {
        #expect(problems(of: minimalText, hostName: nil) == ["f.toml: this host has no name: set name in [node]"])
        #expect(problems(of: minimalText, hostName: "a b").count == 1)
        #expect(problems(of: "node.name = \"r1\"\n" + minimalText, hostName: nil) == [])
    }
}
