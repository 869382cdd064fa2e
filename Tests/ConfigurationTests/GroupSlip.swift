// What can be wrong with `[[group]]`.
extension Slip {
    private static let nameRule = "1 to 32 of a-z, 0-9 and -, beginning with a letter"

    private static func group(_ text: String, name: String = "web") -> String {
        base + "[[group]]\nname = \"\(name)\"\n" + text
    }

    static let groups: [Slip] = groupSections + groupNames + groupEntries

    private static let groupSections = [
        Slip(
            group("zones = [5]\nsource = [\"10.1.0.0/16\"]"),
            "f.toml:10: unknown key \"source\" in [[group]]; did you mean \"sources\"?"
                + " Allowed: name, sources, destinations, nat-addresses, marks, zones."
        ),
        Slip(
            base + "[group]\nname = \"web\"\nzones = [5]",
            "f.toml:7: group must be an array of tables, written as [[group]] with two brackets on each side, not a"
                + " table"
        ),
        Slip(
            base + "[[groups]]\nname = \"web\"",
            "f.toml:7: unknown key \"groups\" at the top of the file; did you mean \"group\"?"
                + " Allowed: node, sync, kernel, takeover, replicate, group, control."
        ),
        Slip(
            group(""),
            "f.toml:7: this [[group]] matches no flow: say which are its own by sources, destinations, nat-addresses,"
                + " marks or zones, or remove it"
        ),
        Slip(
            group("sources = []\nzones = []"),
            "f.toml:7: this [[group]] matches no flow: say which are its own by sources, destinations, nat-addresses,"
                + " marks or zones, or remove it"
        ),
        Slip(base + "[[group]]\nzones = [5]", "f.toml:7: [[group]] needs name: \(nameRule), such as \"web\""),
        Slip(base + "[[group]]\nname = 1\nzones = [5]", "f.toml:8: name must be a string, not an integer"),
        Slip(
            group("zones = [5]\n[[group]]\nname = \"mail\"\nzones = [6]\n[[group]]\nzones = [7]\nname = \"web\""),
            "f.toml:15: \"web\" is the name of the [[group]] of line 8 already: choose another name, or put the entries"
                + " of both into one"
        ),
        Slip(
            group("zones = [5]", name: "default"),
            "f.toml:8: \"default\" is the group of all flows that no [[group]] matches: choose another name"
        ),
        Slip(
            base + (1...17).map { "[[group]]\nname = \"g\($0)\"\nzones = [\($0)]\n" }.joined(),
            "f.toml:52: this is one [[group]] too many: at most 15 are allowed, and there are 17"
        ),
    ]

    private static let groupNames =
        [
            "", "Web", "1web", "-web", "web_1", "web 1", "web.1", "web/1", "wéb", "../web",
        ].map { name in
            Slip(group("zones = [5]", name: name), "f.toml:8: a group's name must be \(nameRule), not \"\(name)\"")
        } + [
            Slip(
                group("zones = [5]", name: String(repeating: "a", count: 33)),
                "f.toml:8: a group's name must be \(nameRule), not \"\(String(repeating: "a", count: 33))\""
            )
        ]

    private static let groupEntries = [
        Slip(
            group("sources = \"10.1.0.0/16\""),
            "f.toml:9: sources must be a list of strings, not a string"
        ),
        Slip(
            group("sources = [\n\"10.1.0.0/16\",\n\"10.1.0.1/16\"]"),
            "f.toml:11: sources: \"10.1.0.1/16\" has address bits set beyond its prefix; the network is"
                + " \"10.1.0.0/16\""
        ),
        Slip(
            group("destinations = [\"10.1.0.0/33\"]"),
            "f.toml:9: destinations: \"10.1.0.0/33\" needs a prefix length from 0 to 32 after the slash"
        ),
        Slip(
            group("nat-addresses = [\"web.example\"]"),
            "f.toml:9: nat-addresses: \"web.example\" is not an IPv4 or IPv6 address"
        ),
        Slip(
            group("marks = [\"0x10/0xf0\", 7]"),
            "f.toml:9: marks must be a list of strings; element 2 is an integer"
        ),
        Slip(
            group("marks = [\n\"7\",\n\"seven\"]"),
            "f.toml:11: marks: \"seven\" is not a mark: write VALUE or VALUE/MASK, each decimal or 0x and hexadecimal,"
                + " up to 0xffffffff"
        ),
        Slip(
            group("marks = [\"0x11/0xf0\"]"),
            "f.toml:9: marks: \"0x11/0xf0\" has bits set that its mask leaves out, which no mark matches; perhaps"
                + " \"0x10/0xf0\" is meant"
        ),
        Slip(
            group("marks = [\"7/0\"]"),
            "f.toml:9: marks: \"7/0\" has a mask without a bit, which every mark matches: write the bits that count"
                + " after the slash"
        ),
        Slip(group("zones = 5"), "f.toml:9: zones must be a list of integers, not an integer"),
        Slip(group("zones = [5, \"6\"]"), "f.toml:9: zones must be a list of integers; element 2 is a string"),
        Slip(group("zones = [\n5,\n65536]"), "f.toml:11: zones: a conntrack zone is from 1 to 65535, not 65536"),
        Slip(group("zones = [-1]"), "f.toml:9: zones: a conntrack zone is from 1 to 65535, not -1"),
        Slip(
            group("zones = [0]"),
            "f.toml:9: zones: 0 is the zone of all flows that have been given none: name 1 to 65535"
        ),
    ]
}
