import Configuration

/// The least that is a valid configuration.
let minimalText = """
    [sync]
    insecure = true
    [[sync.link]]
    transport = "multicast"
    interface = "eth2"
    group = "225.0.0.50"
    """

/// The configuration of a text, as if it stood in the file `f.toml` of host `router`.
func parse(_ text: String, hostName: String? = "router") throws(ConfigurationError) -> Configuration {
    try Configuration(parsing: Array(text.utf8), path: "f.toml", hostName: hostName)
}

/// What is wrong with a text, one `FILE:LINE: TEXT` per problem; empty if nothing is.
func problems(of text: String, hostName: String? = "router") -> [String] {
    do {
        _ = try parse(text, hostName: hostName)
        return []
    } catch {
        return error.description.split(separator: "\n").map(String.init)
    }
}

/// SplitMix64: the same numbers for the same seed, on every machine.
struct SeededGenerator: RandomNumberGenerator {
    private var word: UInt64

    init(seed: UInt64) { word = seed }

    mutating func next() -> UInt64 {
        word &+= 0x9e37_79b9_7f4a_7c15
        var mixed = word
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
