internal import Link

/// Sends datagrams that nobody must take in, among them changed copies of the real ones that come by meanwhile.
public struct HostileSender: ~Copyable {
    private static let poolCount = 4_096
    private static let magicByteCount = 4

    private let plan: HostilePlan
    private var tap: DatagramTap
    private var random: SeededRandom
    /// Real datagrams that came by lately.
    private var pool: [SyncDatagram] = []
    private let earlier: [SyncDatagram]
    /// What lies inside of real datagrams.
    private var contents: [[UInt8]] = []
    private var ownKey: Sealer
    private var wrongKey: Sealer
    private var opener: Opener

    /// Reads the key and the capture, and opens the interface.
    public init(_ plan: HostilePlan) throws {
        let keys = try KeyRing.load(path: plan.keyFilePath)
        let other = try KeyRing(parsing: Array((Lab.makeKey() + "\n").utf8), path: "a key made up")
        let earlier = try capturedDatagrams(plan.earlierPath)
        tap = try DatagramTap(interface: plan.interface)
        self.plan = plan
        self.earlier = earlier
        random = SeededRandom(seed: plan.seed)
        ownKey = Sealer(keys)
        opener = Opener(keys)
        wrongKey = Sealer(other)
    }

    /// Waits for real datagrams to copy.
    private mutating func listen() throws(LabError) {
        pool = tap.collect(200, within: 10)
        guard pool.count == 200 else { throw LabError("only \(pool.count) datagrams came by in 10 s") }
        for datagram in pool { takeApart(datagram) }
        guard !contents.isEmpty else { throw LabError("no datagram of the network can be opened with the key") }
    }

    /// Sends everything.
    public mutating func run() throws(LabError) -> HostileReport {
        try listen()
        var report = HostileReport()
        let start = Clock.seconds
        for number in 0..<plan.count {
            if number.isMultiple(of: 64) {
                watch()
                let due = Double(number) / Double(plan.rate) - (Clock.seconds - start)
                if due > 0.001 { Clock.sleep(seconds: due) }
            }
            let kind = HostileKind.allCases[number % HostileKind.allCases.count]
            let datagram = make(kind)
            tap.send(datagram)
            report.kinds[kind, default: 0] += 1
            report.sources[datagram.source.map { "\($0)" }.joined(separator: "."), default: 0] += 1
        }
        report.seconds = Clock.seconds - start
        return report
    }

    /// Keeps the copies fresh: the daemons' windows move on.
    private mutating func watch() {
        while let datagram = tap.next() {
            if pool.count < Self.poolCount {
                pool.append(datagram)
            } else {
                pool[Int.random(in: pool.indices, using: &random)] = datagram
            }
            if contents.count < Self.poolCount { takeApart(datagram) }
        }
    }

    private mutating func takeApart(_ datagram: SyncDatagram) {
        var bytes = datagram.payload
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        if let count = opener.open(&raw, byteCount: datagram.payload.count) {
            contents.append(Array(bytes[..<count]))
        }
    }

    private mutating func make(_ kind: HostileKind) -> SyncDatagram {
        var datagram = pool[Int.random(in: pool.indices, using: &random)]
        switch kind {
        case .random:
            datagram.payload = noise(.random(in: 1...DatagramTap.payloadByteCountMax, using: &random))
        case .truncated:
            datagram.payload.removeLast(.random(in: 1..<datagram.payload.count, using: &random))
        case .flipped:
            for bit in bits(Int.random(in: 1...3, using: &random), of: datagram.payload.count * 8) {
                datagram.payload[bit / 8] ^= 1 << UInt8(bit % 8)
            }
        case .replayed:
            break
        case .earlier:
            datagram = earlier[Int.random(in: earlier.indices, using: &random)]
        case .wrongKey:
            let keyID = Array(datagram.payload[4..<8])
            let content = contents[Int.random(in: contents.indices, using: &random)]
            datagram.payload = sealed(content, with: &wrongKey)
            if Bool.random(using: &random) { datagram.payload.replaceSubrange(4..<8, with: keyID) }
        case .malformedInside:
            let content = malformedContent()
            datagram.payload = sealed(content, with: &ownKey)
        }
        // Half of them say who they really come from.
        if Bool.random(using: &random) { datagram.source = [192, 168, 100, 66] }
        return datagram
    }

    /// What no node would ever send, though it has the key.
    private mutating func malformedContent() -> [UInt8] {
        var content = contents[Int.random(in: contents.indices, using: &random)]
        switch Int.random(in: 0..<4, using: &random) {
        case 0:
            return noise(.random(in: 1...1_400, using: &random))
        case 1:
            return content[..<Self.magicByteCount] + noise(.random(in: 0...1_300, using: &random) * 4 + 1)
        case 2:
            // Everything in a datagram is a multiple of 4 bytes.
            let count = Int.random(in: 0...content.count / 4 - 1, using: &random) * 4
            return Array(content[..<(count + Int.random(in: 1...3, using: &random))])
        default:
            // The first message is longer than the datagram.
            let header = 32
            if content.count >= header + 4 {
                content.replaceSubrange(header + 2..<header + 4, with: [0xfc, 0xff])
            }
            return content.count >= header + 4 ? content : noise(7)
        }
    }

    private mutating func noise(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &random) }
    }

    /// Different positions, so that no bit is turned back.
    private mutating func bits(_ count: Int, of total: Int) -> Set<Int> {
        var chosen: Set<Int> = []
        while chosen.count < count { chosen.insert(.random(in: 0..<total, using: &random)) }
        return chosen
    }
}

private func sealed(_ content: [UInt8], with sealer: inout Sealer) -> [UInt8] {
    var bytes = content + [UInt8](repeating: 0, count: Sealer.overheadByteCount)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    let count = sealer.seal(&raw, byteCount: content.count)
    return Array(bytes[..<count])
}
