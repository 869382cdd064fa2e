/// Which datagrams of a sender's epoch have arrived: everything up to `cumulative`, and a bitmap above it.
struct ReceiveWindow: Sendable {
    /// How far above `cumulative` datagrams are taken.
    static let datagramCountMax: UInt64 = 4096

    /// Every datagram up to here has arrived or was resolved otherwise.
    private(set) var cumulative: UInt64
    /// The highest datagram that has arrived.
    private(set) var largest: UInt64
    private var bits: [64 of UInt64] = .init(repeating: 0)

    /// A window that expects `floor` next.
    init(floor: UInt64) {
        cumulative = floor &- 1
        largest = cumulative
    }

    enum Verdict: Sendable {
        case fresh
        case duplicate
        case beyondWindow
    }

    /// Whether datagrams below `largest` are still missing.
    var hasGap: Bool { largest > cumulative }

    /// What a datagram's number says of it.
    func verdict(_ sequence: UInt64) -> Verdict {
        if sequence <= cumulative { return .duplicate }
        if sequence - cumulative > Self.datagramCountMax { return .beyondWindow }
        return contains(sequence) ? .duplicate : .fresh
    }

    /// Marks a fresh datagram as arrived.
    mutating func insert(_ sequence: UInt64) {
        let position = Int(sequence % Self.datagramCountMax)
        bits[position / 64] |= 1 << UInt64(position % 64)
        if sequence > largest { largest = sequence }
        advance()
    }

    /// Learns that the sender waits for nothing below `floor`: what is missing there was resolved by newer datagrams.
    mutating func advance(toFloor floor: UInt64) {
        guard floor > cumulative + 1 else { return }
        if floor - cumulative > Self.datagramCountMax {
            bits = .init(repeating: 0)
            cumulative = floor - 1
        } else {
            while cumulative + 1 < floor {
                cumulative += 1
                remove(cumulative)
            }
        }
        if largest < cumulative { largest = cumulative }
        advance()
    }

    /// The ranges that have arrived above `cumulative`, lowest first.
    func ranges(countMax: Int) -> [Range<UInt64>] {
        guard hasGap else { return [] }
        var ranges: [Range<UInt64>] = []
        var sequence = cumulative + 1
        while sequence <= largest, ranges.count < countMax {
            if contains(sequence) {
                let start = sequence
                while sequence <= largest, contains(sequence) { sequence += 1 }
                ranges.append(start..<sequence)
            } else {
                sequence += 1
            }
        }
        return ranges
    }

    private func contains(_ sequence: UInt64) -> Bool {
        let position = Int(sequence % Self.datagramCountMax)
        return bits[position / 64] & 1 << UInt64(position % 64) != 0
    }

    private mutating func remove(_ sequence: UInt64) {
        let position = Int(sequence % Self.datagramCountMax)
        bits[position / 64] &= ~(1 << UInt64(position % 64))
    }

    private mutating func advance() {
        while cumulative < largest, contains(cumulative + 1) {
            cumulative += 1
            remove(cumulative)
        }
    }
}
