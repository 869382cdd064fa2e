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

    @Test("Links that only look alike go together")
    func similarLinks() {
        let multicast = "[[sync.link]]\ntransport = \"multicast\"\ninterface = \"eth2\"\ngroup = \"225.0.0.51\"\n"
        #expect(problems(of: Slip.base + multicast) == [])
        #expect(problems(of: Slip.base + multicast.replacing(".51", with: ".50") + "port = 3781") == [])
        #expect(problems(of: Slip.base + multicast.replacing("eth2", with: "eth3").replacing(".51", with: ".50")) == [])
        let udp =
            "[[sync.link]]\ntransport = \"udp\"\ninterface = \"eth2\"\nlocal = \"10.0.0.1\"\npeers = [\"10.0.0.2\"]\n"
        #expect(problems(of: Slip.base + udp + udp.replacing("udp", with: "tcp")) == [])
        #expect(problems(of: Slip.base + udp + udp.replacing("10.0.0.1", with: "10.0.0.3")) == [])
        // The problem of a link does not hide that of the next one.
        let broken = udp.replacing("eth2", with: "") + udp.replacing("10.0.0.1", with: "10.0.0.2")
        #expect(problems(of: Slip.base + broken).map { $0.prefix(10) } == ["f.toml:9: ", "f.toml:16:"])
    }

    @Test("A gate as large as allowed is none too large, and a broken link does not hide one in the gate's way")
    func gateInterfaces() {
        let names = (0..<64).map { "\"eth1\($0)\"" }.joined(separator: ", ")
        #expect(problems(of: Slip.base + "[takeover]\ngate-interfaces = [\(names)]") == [])
        let other = "[[sync.link]]\ntransport = \"tcp\"\ninterface = \"eth3\"\n"
        let found = problems(of: Slip.base + other + "[takeover]\ngate-interfaces = [\"eth2\"]")
        #expect(found.map { $0.prefix(10) } == ["f.toml:7: ", "f.toml:7: ", "f.toml:11:"])
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
                "f.toml: [sync] needs key-file = \"/etc/fl", "f.toml: a [[sync.link]] section is missi",
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
