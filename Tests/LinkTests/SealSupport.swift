@testable import Link

/// Keys that tests can name.
enum TestKey {
    static let zeroToThirtyOne = Array(UInt8(0)..<32)

    static func hexadecimal(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    /// The line of the key whose every byte is `byte`.
    static func line(_ byte: UInt8) -> String { hexadecimal([UInt8](repeating: byte, count: 32)) }

    /// The ring of such keys.
    static func ring(_ bytes: UInt8...) throws -> KeyRing {
        try KeyRing(parsing: Array(bytes.map(line).joined(separator: "\n").utf8), path: "k")
    }
}

extension Sealer {
    /// The sealed form of a datagram.
    mutating func sealed(_ plain: [UInt8]) -> [UInt8] {
        var bytes = plain + [UInt8](repeating: 0xee, count: Sealer.overheadByteCount)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        let count = seal(&raw, byteCount: plain.count)
        return Array(bytes.prefix(count))
    }
}

extension Opener {
    /// The datagram in a sealed one; nil if it is refused.
    mutating func opened(_ sealed: [UInt8]) -> [UInt8]? {
        var bytes = sealed + [0xee]
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        guard let count = open(&raw, byteCount: sealed.count) else { return nil }
        return Array(bytes.prefix(count))
    }
}

/// SplitMix64: the same numbers for the same seed, on every machine.
struct SealGenerator: RandomNumberGenerator {
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
