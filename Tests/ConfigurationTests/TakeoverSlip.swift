// What can be wrong with `[takeover]`.
extension Slip {
    static let takeover = [
        Slip(
            base + "[takeover]\ncommit = \"pre-load\"",
            "f.toml:8: unknown time of the commit \"pre-load\"; did you mean \"preload\"?"
                + " Allowed: on-takeover, preload."
        ),
        Slip(base + "[takeover]\ncommit = true", "f.toml:8: commit must be a string, not a boolean"),
        Slip(
            base + "[takeover]\ngate-interface = [\"eth0\"]",
            "f.toml:8: unknown key \"gate-interface\" in [takeover]; did you mean \"gate-interfaces\"?"
                + " Allowed: commit, gate-interfaces."
        ),
        Slip(
            base + "[takeover]\ngate-interfaces = \"eth0\"",
            "f.toml:8: gate-interfaces must be a list of strings, not a string"
        ),
        Slip(
            base + "[takeover]\ngate-interfaces = [\n\"eth0\",\n\"eth 1\"]",
            "f.toml:10: gate-interfaces: \"eth 1\" cannot be an interface's name (1 to 15 bytes, no space, / or :)"
        ),
        Slip(
            base + "[takeover]\ngate-interfaces = [\"\"]",
            "f.toml:8: gate-interfaces: \"\" cannot be an interface's name (1 to 15 bytes, no space, / or :)"
        ),
        Slip(
            base + "[takeover]\ngate-interfaces = [\"eth0\", \"a-name-of-16-byt\"]",
            "f.toml:8: gate-interfaces: \"a-name-of-16-byt\" cannot be an interface's name (1 to 15 bytes, no space,"
                + " / or :)"
        ),
        Slip(
            base + "[takeover]\ngate-interfaces = [\"eth*\"]",
            "f.toml:8: gate-interfaces: \"eth*\" is a pattern: name each interface"
        ),
        Slip(
            base + "[takeover]\ngate-interfaces = [\n\"eth0\",\n\"eth1\",\n\"eth0\"]",
            "f.toml:11: gate-interfaces names \"eth0\" twice, first on line 9"
        ),
        Slip(
            base + "[takeover]\ngate-interfaces = [\"eth0\", \"eth0\"]",
            "f.toml:8: gate-interfaces names \"eth0\" twice"
        ),
        Slip(
            base + "[takeover]\ngate-interfaces = [\"eth0\",\n\"eth2\"]",
            "f.toml:9: gate-interfaces names \"eth2\", which carries the sync link of line 5: the gate would shut out"
                + " the peers. Remove it here or move the link"
        ),
        Slip(
            base + "[takeover]\ngate-interfaces = [\((0..<65).map { "\"eth1\($0)\"" }.joined(separator: ", "))]",
            "f.toml:8: gate-interfaces names 65 interfaces: at most 64 are allowed"
        ),
    ]
}
