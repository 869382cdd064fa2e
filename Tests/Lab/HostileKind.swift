/// What a stranger on the sync network sends.
public enum HostileKind: String, CaseIterable, Sendable {
    /// Bytes without sense.
    case random
    /// The start of a real datagram.
    case truncated
    /// A real datagram with one to three bits turned.
    case flipped
    /// A real datagram once more.
    case replayed
    /// A datagram from before the daemons were restarted.
    case earlier
    /// A real content, sealed with another key; every other one claims to be sealed with the right one.
    case wrongKey
    /// Sealed with the right key, and malformed inside.
    case malformedInside
}

/// What a run of hostile datagrams sent.
public struct HostileReport: Sendable {
    /// How many of each kind.
    public var kinds: [HostileKind: Int] = [:]
    /// How many claimed to come from each address.
    ///
    /// A kernel drops by itself what claims to come from its own address.
    public var sources: [String: Int] = [:]
    /// How long it took.
    public var seconds = 0.0

    /// A report of nothing.
    public init() {}

    /// All datagrams.
    public var total: Int { kinds.values.reduce(0, +) }

    /// Datagrams that a router's kernel does not drop by itself.
    public func total(at router: LabNode) -> Int {
        total - sources[LabAddress.sync(router), default: 0]
    }

    /// The report as words: `random=10 … from:192.168.100.1=3 … seconds=1.5`.
    public var words: String {
        let kinds = HostileKind.allCases.map { "\($0.rawValue)=\(self.kinds[$0, default: 0])" }
        let sources = sources.sorted { $0.key < $1.key }.map { "from:\($0.key)=\($0.value)" }
        return (kinds + sources + ["seconds=\(seconds)"]).joined(separator: " ")
    }

    /// What `words` say; nil if they are none.
    public init?(words: String) {
        for word in words.split(separator: " ") {
            let parts = word.split(separator: "=")
            guard parts.count == 2, let number = Double(parts[1]) else { return nil }
            if parts[0] == "seconds" {
                seconds = number
            } else if parts[0].hasPrefix("from:") {
                sources[String(parts[0].dropFirst(5))] = Int(number)
            } else if let kind = HostileKind(rawValue: String(parts[0])) {
                kinds[kind] = Int(number)
            } else {
                return nil
            }
        }
    }
}

/// What to send, how much and how fast.
public struct HostilePlan: Sendable {
    /// The interface to the sync network.
    public var interface = "sync"
    /// Datagrams in all, of every kind the same share.
    public var count = 1_000_000
    /// Datagrams a second.
    public var rate = 20_000
    /// The seed of what is sent.
    public var seed: UInt64 = 1
    /// The daemons' key file, for what is sealed with their key.
    public var keyFilePath: String
    /// What was captured before the daemons were restarted.
    public var earlierPath: String

    /// A plan with the usual numbers.
    public init(keyFilePath: String, earlierPath: String) {
        self.keyFilePath = keyFilePath
        self.earlierPath = earlierPath
    }
}
