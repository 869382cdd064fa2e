import Testing

/// A change to a valid file, and the one problem that it makes.
struct Slip: CustomTestStringConvertible, Sendable {
    let text: String
    let problem: String
    var testDescription: String { problem }

    init(_ text: String, _ problem: String) {
        self.text = text
        self.problem = problem
    }
}

// The slips, by kind. Line numbers are those of the text: `base` has six lines, `udp` five.
extension Slip {
    static var all: [Slip] {
        [unknownNames, wrongTypes, outOfRange, contradictions, syncContradictions, takeover, groups, missing, noTOML]
            .flatMap { $0 }
    }

    /// Lines 1…6 of what follows in the slips.
    static let base = minimalText + "\n"

    /// The same without headers; it begins on line 2 of what is put before it.
    static let dottedBase = """
        sync.insecure = true
        sync.link = [ { transport = "multicast", interface = "eth2", group = "225.0.0.50" } ]

        """

    static let udp = """
        [sync]
        insecure = true
        [[sync.link]]
        transport = "udp"
        interface = "eth2"

        """

    static let keyRule =
        "needs key-file = \"/etc/flowsync/sync.key\", a key made once by `flowsync keygen` and copied to all nodes."
        + " Or write insecure = true, if only the routers can reach the sync link"
    static let protocolNames = "tcp, udp, icmp, icmpv6, sctp, gre, dccp, udplite"

    static let unknownNames = [
        Slip(
            base + "[replicate]\nprotcols = [\"tcp\"]",
            "f.toml:8: unknown key \"protcols\" in [replicate]; did you mean \"protocols\"?"
                + " Allowed: protocols, ignore-addresses."
        ),
        Slip(
            base + "prot = 3780",
            "f.toml:7: unknown key \"prot\" in [[sync.link]]; did you mean \"port\"?"
                + " Allowed: transport, interface, group, local, peers, port."
        ),
        Slip(
            base + "[metrics]\nlisten = \"127.0.0.1:9813\"",
            "f.toml:7: unknown key \"metrics\" at the top of the file."
                + " Allowed: node, sync, kernel, takeover, replicate, group, control."
        ),
        Slip(
            "nodes.name = 3\n" + base,
            "f.toml:1: unknown key \"nodes\" at the top of the file; did you mean \"node\"?"
                + " Allowed: node, sync, kernel, takeover, replicate, group, control."
        ),
        Slip(
            base + "[kernel]\n\"event-\\u0007buffer\" = 1",
            "f.toml:8: unknown key \"event-\u{fffd}buffer\" in [kernel]; did you mean \"event-buffer\"?"
                + " Allowed: event-buffer, event-buffer-max."
        ),
        Slip(
            base + "[replicate]\nprotocols = [\n  \"tcp\",\n  \"upd\",\n]",
            "f.toml:10: unknown protocol \"upd\"; did you mean \"udp\"? Allowed: \(protocolNames)."
        ),
        Slip(
            base.replacing("multicast", with: "sctp"),
            "f.toml:4: unknown transport \"sctp\". Allowed: multicast, udp, tcp."
        ),
        Slip(
            base.replacing("multicast", with: "multikast"),
            "f.toml:4: unknown transport \"multikast\"; did you mean \"multicast\"? Allowed: multicast, udp, tcp."
        ),
        Slip(
            "sync.mode = \"besteffort\"\n" + dottedBase,
            "f.toml:1: unknown mode \"besteffort\"; did you mean \"best-effort\"? Allowed: reliable, best-effort."
        ),
        Slip(
            "sync.keyfile = \"/k\"\n" + dottedBase,
            "f.toml:1: unknown key \"keyfile\" in [sync]; did you mean \"key-file\"?"
                + " Allowed: key-file, insecure, mode, link."
        ),
    ]

    static let wrongTypes = [
        Slip("node.name = 1\n" + base, "f.toml:1: name must be a string, not an integer"),
        Slip("node = 1\n" + base, "f.toml:1: node must be a table, not an integer"),
        Slip(base + "port = \"3780\"", "f.toml:7: port must be an integer, not a string"),
        Slip(
            base + "port = 3780.0",
            "f.toml:7: a value was expected (\"text\", an integer, true, false, [list] or {table}), not \"3780.0\""
        ),
        Slip("sync.mode = true\n" + dottedBase, "f.toml:1: mode must be a string, not a boolean"),
        Slip(
            base.replacing("insecure = true", with: "key-file = [\"/k\"]"),
            "f.toml:2: key-file must be a string, not a list"
        ),
        Slip(base.replacing("= true", with: "= \"true\""), "f.toml:2: insecure must be true or false, not a string"),
        Slip(
            base + "[replicate]\nprotocols = \"tcp\"",
            "f.toml:8: protocols must be a list of strings, not a string"
        ),
        Slip(
            base + "[replicate]\nignore-addresses = [\n\"::1\",\n0x7f]",
            "f.toml:10: ignore-addresses must be a list of strings; element 2 is an integer"
        ),
        Slip(
            base.replacing("[[sync.link]]", with: "[sync.link]"),
            "f.toml:3: link must be an array of tables, written as [[sync.link]] with two brackets on each side,"
                + " not a table"
        ),
        Slip(
            "sync = { insecure = true, link = [] }",
            "f.toml:1: link must be an array of tables, written as [[sync.link]] with two brackets on each side,"
                + " not a list"
        ),
        Slip(
            "sync = { insecure = true, link = [ 1 ] }",
            "f.toml:1: link must be an array of tables, written as [[sync.link]] with two brackets on each side,"
                + " not a list"
        ),
    ]

    static let outOfRange = [
        Slip(base + "port = 0", "f.toml:7: port must be from 1 to 65535, not 0"),
        Slip(base + "port = 65536", "f.toml:7: port must be from 1 to 65535, not 65536"),
        Slip(base + "port = -9223372036854775808", "f.toml:7: port must be from 1 to 65535, not -9223372036854775808"),
        Slip(
            "node.name = \"a b\"\n" + base,
            "f.toml:1: name must be 1 to 64 printable ASCII characters without spaces, not \"a b\""
        ),
        Slip(
            base.replacing("eth2", with: "a-name-too-long1"),
            "f.toml:5: \"a-name-too-long1\" cannot be an interface's name (1 to 15 bytes, no space, / or :)"
        ),
        Slip(
            base + "[kernel]\nevent-buffer = \"8 MB\"",
            "f.toml:8: event-buffer must be a size written as \"NUMBER KiB\", \"NUMBER MiB\" or \"NUMBER GiB\","
                + " not \"8 MB\""
        ),
        Slip(
            base + "[kernel]\nevent-buffer = 8388608",
            "f.toml:8: event-buffer must be a size written as \"NUMBER KiB\", \"NUMBER MiB\" or \"NUMBER GiB\","
                + " not an integer"
        ),
        Slip(
            base + "[kernel]\nevent-buffer = \"1 KiB\"",
            "f.toml:8: event-buffer must be from \"4 KiB\" to \"1 GiB\", not \"1 KiB\""
        ),
        Slip(
            base + "[kernel]\nevent-buffer-max = \"4294967295 GiB\"",
            "f.toml:8: event-buffer-max must be from \"4 KiB\" to \"1 GiB\", not \"4294967295 GiB\""
        ),
        Slip(base + "[replicate]\nprotocols = []", "f.toml:8: protocols is empty: nothing would be replicated"),
        Slip(
            base + "[replicate]\nignore-addresses = [\"10.1.2.3/8\"]",
            "f.toml:8: ignore-addresses: \"10.1.2.3/8\" has address bits set beyond its prefix;"
                + " the network is \"10.0.0.0/8\""
        ),
        Slip(
            base + "[control]\nsocket = \"run/x.sock\"",
            "f.toml:8: socket must be the absolute path of a socket, not \"run/x.sock\""
        ),
        Slip(
            base + "[control]\nsocket = \"/" + String(repeating: "x", count: 107) + "\"",
            "f.toml:8: socket has 108 bytes: a Unix socket's path holds at most 107"
        ),
    ]

    static let contradictions = [
        Slip(
            base.replacing("225.0.0.50", with: "10.0.0.1"),
            "f.toml:6: group must be a multicast address (224.0.0.0/4 or ff00::/8), not 10.0.0.1"
        ),
        Slip(
            base + "local = \"2001:db8::1\"",
            "f.toml:7: local belongs to transport = \"udp\" or \"tcp\"; a multicast link has group only"
        ),
        Slip(
            base.replacing("group = \"225.0.0.50\"\n", with: ""),
            "f.toml:3: a multicast link needs group, such as \"225.0.0.50\" or \"ff02::50\""
        ),
        Slip(
            udp + "local = \"10.0.0.1\"\npeers = [\"10.0.0.2\"]\ngroup = \"225.0.0.50\"",
            "f.toml:8: group belongs to transport = \"multicast\"; a udp link has local and peers"
        ),
        Slip(udp + "peers = [\"10.0.0.2\"]", "f.toml:3: a udp link needs local: this node's address on it"),
        Slip(udp + "local = \"10.0.0.2\"", "f.toml:3: a udp link needs peers: the other nodes' addresses"),
        Slip(udp + "local = \"10.0.0.2\"\npeers = []", "f.toml:7: peers is empty: name at least one"),
        Slip(
            udp + "local = \"10.0.0.1\"\npeers = [\n\"10.0.0.2\",\n\"10.0.0.1\"]",
            "f.toml:9: peers holds 10.0.0.1, which is local: list the other nodes only"
        ),
        Slip(
            udp + "local = \"10.0.0.1\"\npeers = [\"2001:db8::1\"]",
            "f.toml:7: peer 2001:db8::1 and local 10.0.0.1 must be of the same address family"
        ),
        Slip(
            udp + "local = \"10.0.0.1\"\npeers = [\"10.0.0.2\", \"10.0.0.2\"]",
            "f.toml:7: peers lists 10.0.0.2 twice"
        ),
        Slip(
            udp + "local = \"0.0.0.0\"\npeers = [\"10.0.0.2\"]",
            "f.toml:6: local: 0.0.0.0 is not the address of a host"
        ),
        Slip(
            udp + "local = \"10.0.0.1\"\npeers = [\"225.0.0.50\"]",
            "f.toml:7: peers: 225.0.0.50 is not the address of a host"
        ),
        Slip(
            udp + "local = \"fe80::1%eth2\"\npeers = [\"fe80::2\"]",
            "f.toml:6: local: \"fe80::1%eth2\" is not an IPv4 or IPv6 address; the interface is given by interface,"
                + " not after a %"
        ),
        Slip(
            base + "[kernel]\nevent-buffer = \"64 MiB\"\nevent-buffer-max = \"32 MiB\"",
            "f.toml:9: event-buffer-max is smaller than event-buffer"
        ),
        Slip(
            base + "[kernel]\nevent-buffer-max = \"4 MiB\"",
            "f.toml:8: event-buffer-max is smaller than event-buffer, which is \"8 MiB\" if not set"
        ),
    ]

    static let missing = [
        Slip(
            "[sync]\ninsecure = true",
            "f.toml:1: a [[sync.link]] section is missing: it says how the peers are reached"
        ),
        Slip(
            base.replacing("transport = \"multicast\"", with: ""),
            "f.toml:3: [[sync.link]] needs transport. Allowed: multicast, udp, tcp."
        ),
        Slip(
            base.replacing("interface = \"eth2\"", with: ""),
            "f.toml:3: [[sync.link]] needs interface: the link is bound to it"
        ),
    ]

    static let noTOML = [
        Slip(base + "[node", "f.toml:7: the header must end in ], with nothing but the name before it"),
        Slip(base + "[=]", "f.toml:7: a key was expected (letters, digits, - and _), not \"=]\""),
        Slip(base + "\n[sync]", "f.toml:8: \"sync\" is a table since line 1: it cannot be defined again"),
        Slip(base + "port = 1\nport = 2", "f.toml:8: \"port\" is set on line 7 already"),
        Slip(base + "port 1", "f.toml:7: \"port\" must be followed by ="),
        Slip(
            base + "port = 1979-05-27",
            "f.toml:7: a value was expected (\"text\", an integer, true, false, [list] or {table}), not \"1979-05-27\""
        ),
        Slip(
            base + "port = # none",
            "f.toml:7: a value was expected (\"text\", an integer, true, false, [list] or {table}), not \"#\""
        ),
        Slip(base + "port = 1 2", "f.toml:7: nothing may follow here on the line, but there is \"2\""),
        Slip(
            base + "peers = [\n\"10.0.0.1\"\n\"10.0.0.2\"]",
            "f.toml:9: the list begun on line 7 goes on with , or ends with ], not \"\"10.0.0.2\"]\""
        ),
        Slip(base + "local = \"1", "f.toml:7: the string is not closed: its quote is missing at the end of the line"),
        Slip(base + "local = \"\\u0000\"", "f.toml:7: a NUL character has no meaning in any key or value"),
        Slip(
            base + "local = \"\u{0}\"",
            "f.toml:7: a string holds the control character 0x0; it can be written as an escape"
        ),
    ]
}
