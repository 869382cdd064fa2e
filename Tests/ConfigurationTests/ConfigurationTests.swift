import Configuration
import Glibc
import Policy
import SystemIO
import Testing

@Suite("Valid configurations")
struct ConfigurationTests {
    @Test("What is not set has its default")
    func defaults() throws {
        let configuration = try parse(minimalText)
        #expect(configuration.nodeName == "router")
        #expect(configuration.sync.security == .insecure)
        #expect(configuration.sync.mode == .reliable)
        let transport = SyncLinkSettings.Transport.multicast(group: try HostAddress(parsing: "225.0.0.50"))
        #expect(configuration.sync.links == [SyncLinkSettings(transport: transport, interface: "eth2", port: 3780)])
        #expect(configuration.kernel.eventBufferByteCount == 8 << 20)
        #expect(configuration.kernel.eventBufferByteCountMax == 64 << 20)
        #expect(configuration.takeover.commit == .onTakeover)
        #expect(configuration.takeover.gateInterfaces == [])
        #expect(configuration.replicate.protocols.numbers == [1, 6, 17, 33, 47, 58, 132, 136])
        #expect(configuration.replicate.ignoredNetworks.map(\.description) == ["127.0.0.0/8", "::1/128"])
        #expect(configuration.groups == TrafficGroups())
        #expect(configuration.controlSocketPath == "/run/flowsync/control.sock")
    }

    @Test("Every key is taken over")
    func everyKey() throws {
        let configuration = try parse(
            """
            [node]
            name = "r1"
            [sync]
            key-file = "/etc/flowsync/other.key"
            mode = "best-effort"
            [[sync.link]]
            transport = "udp"
            interface = "bond0.100"
            local = "2001:db8::1"
            peers = ["2001:db8::2", "2001:db8::3"]
            port = 65535
            [[sync.link]]
            transport = "tcp"
            interface = "eth3"
            local = "10.0.0.1"
            peers = ["10.0.0.2"]
            port = 3781
            [[sync.link]]
            transport = "multicast"
            interface = "eth2"
            group = "ff02::50"
            [kernel]
            event-buffer = "64 KiB"
            event-buffer-max = "1GiB"
            [takeover]
            commit = "preload"
            gate-interfaces = ["eth0", "bond0.200", "a-name-of-15-by"]
            [replicate]
            protocols = ["tcp", "icmpv6"]
            ignore-addresses = ["10.0.0.0/8", "2001:db8::53"]
            [control]
            socket = "/tmp/r1.sock"
            """
        )
        #expect(configuration.nodeName == "r1")
        #expect(configuration.sync.security == .sealed(keyFile: "/etc/flowsync/other.key"))
        #expect(configuration.sync.mode == .bestEffort)
        let udp = SyncLinkSettings.Transport.udp(
            local: try HostAddress(parsing: "2001:db8::1"),
            peers: [try HostAddress(parsing: "2001:db8::2"), try HostAddress(parsing: "2001:db8::3")]
        )
        let tcp = SyncLinkSettings.Transport.tcp(
            local: try HostAddress(parsing: "10.0.0.1"),
            peers: [try HostAddress(parsing: "10.0.0.2")]
        )
        let multicast = SyncLinkSettings.Transport.multicast(group: try HostAddress(parsing: "ff02::50"))
        #expect(
            configuration.sync.links == [
                SyncLinkSettings(transport: udp, interface: "bond0.100", port: 65_535),
                SyncLinkSettings(transport: tcp, interface: "eth3", port: 3781),
                SyncLinkSettings(transport: multicast, interface: "eth2", port: 3780),
            ]
        )
        #expect(configuration.kernel.eventBufferByteCount == 65_536)
        #expect(configuration.kernel.eventBufferByteCountMax == 1 << 30)
        #expect(configuration.takeover.commit == .preload)
        #expect(configuration.takeover.gateInterfaces == ["eth0", "bond0.200", "a-name-of-15-by"])
        #expect(configuration.replicate.protocols == ProtocolSet([6, 58]))
        #expect(
            configuration.replicate.policy.ignoredNetworks.map(\.description) == ["10.0.0.0/8", "2001:db8::53/128"]
        )
        #expect(configuration.controlSocketPath == "/tmp/r1.sock")
    }

    @Test("Groups are taken over in the order of the file")
    func groups() throws {
        let configuration = try parse(
            minimalText + """

                [[group]]
                name = "web"
                sources = ["10.1.0.0/16", "2001:db8::/32"]
                destinations = ["203.0.113.0/24"]
                nat-addresses = ["198.51.100.1"]
                marks = ["0x10/0xf0", "7"]
                zones = [5, 65535]
                [control]
                socket = "/tmp/r1.sock"
                [[group]]
                name = "\(String(repeating: "a", count: 30))-9"
                marks = ["0"]
                sources = []
                """
        )
        let web = TrafficGroup(
            name: "web",
            sources: try ["10.1.0.0/16", "2001:db8::/32"].map { try Network(parsing: $0) },
            destinations: [try Network(parsing: "203.0.113.0/24")],
            natAddresses: [try Network(parsing: "198.51.100.1")],
            marks: try ["0x10/0xf0", "7"].map { try MarkMatch(parsing: $0) },
            zones: [5, 65_535]
        )
        let last = TrafficGroup(
            name: String(repeating: "a", count: 30) + "-9",
            marks: [try MarkMatch(parsing: "0")]
        )
        #expect(configuration.groups.groups == [web, last])
        let most = (1...15).map { "[[group]]\nname = \"g\($0)\"\nzones = [\($0)]\n" }.joined()
        #expect(try parse(minimalText + "\n" + most).groups.names.last == "g15")
    }

    @Test("Other spellings of TOML mean the same")
    func spellings() throws {
        let inline = """
            sync = { insecure = true, link = [ { transport = "multicast", interface = 'eth2', group = "225.0.0.50" } ] }
            """
        #expect(try parse(inline) == parse(minimalText))
        let dotted = """
            sync . insecure = true # yes
            sync."link" = [
              # the only one
              { transport = "multi\\u0063ast", interface = "\\u0065th2", group = "225.0.0.50" }
            ]
            replicate.ignore-addresses = [ "127.0.0.0/8",
               '::1/128', ]\r\n
            """
        #expect(try parse(dotted) == parse(minimalText))
    }

    @Test("insecure = false beside a key file says nothing new")
    func notInsecure() throws {
        let sealed = minimalText.replacing("insecure = true", with: "key-file = \"/k\"\nmode = \"reliable\"")
        let configuration = try parse(sealed)
        #expect(configuration.sync.security == .sealed(keyFile: "/k"))
        #expect(try parse(sealed.replacing("key-file", with: "insecure = false\nkey-file")) == configuration)
    }

    @Test("A large event-buffer alone lifts the limit it may grow to")
    func eventBufferAlone() throws {
        let configuration = try parse("kernel.event-buffer = \"128 MiB\"\n" + minimalText)
        #expect(configuration.kernel.eventBufferByteCount == 128 << 20)
        #expect(configuration.kernel.eventBufferByteCountMax == 128 << 20)
    }

    @Test("Empty lists of ignored addresses are the operator's choice")
    func nothingIgnored() throws {
        let configuration = try parse("replicate.ignore-addresses = []\n" + minimalText)
        #expect(configuration.replicate.ignoredNetworks.isEmpty)
    }

    @Test("The host name of this machine is the default node name, and a missing file has its own message")
    func load() throws {
        let path = "/tmp/flowsync-configuration-test-\(WallClock.nanoseconds()).toml"
        #expect {
            try Configuration.load(path: path)
        } throws: { error in
            "\(error)" == "\(path): cannot be read: open \(path): No such file or directory (ENOENT)"
        }
        try SystemFile.writeAtomically(Array(minimalText.utf8), to: path, mode: 0o600)
        defer { unlink(path) }
        let hostName = String(decoding: try SystemFile.read("/proc/sys/kernel/hostname").dropLast(), as: UTF8.self)
        #expect(try Configuration.load(path: path).nodeName == hostName)
    }
}
