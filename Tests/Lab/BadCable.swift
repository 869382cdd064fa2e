internal import Glibc

/// Carries frames between two interfaces and loses, doubles and holds back some of them.
///
/// It is told what to do by lines, and answers by lines: `set <loss> <duplicate> <delay> <milliseconds>` with `done`,
/// `counts` with the words of `CableCounts`.
public struct BadCable: ~Copyable {
    private struct Held {
        var due: UInt64
        var side: Int
        var frame: [UInt8]
    }

    private let ends: [PacketSocket]
    private var impairment = Impairment()
    private var counts = CableCounts()
    private var random: SeededRandom
    /// In the order of their time.
    private var held: [Held] = []
    private var buffer = [UInt8](repeating: 0, count: PacketSocket.frameByteCountMax)
    private var commandBytes: [UInt8] = []

    /// A good cable between two interfaces.
    public init(_ first: String, _ second: String, seed: UInt64) throws(LabError) {
        ends = [try PacketSocket(interface: first), try PacketSocket(interface: second)]
        random = SeededRandom(seed: seed)
    }

    /// Works until its standard input ends.
    public mutating func run() throws(LabError) {
        while true {
            let isCommanded = waitForWork()
            for side in ends.indices { carry(from: side) }
            releaseHeld()
            if isCommanded, try !readCommands() { return }
        }
    }

    /// Sleeps until a frame or a command comes or a frame is due; whether a command came.
    private func waitForWork() -> Bool {
        var requests = [
            pollfd(fd: 0, events: Int16(POLLIN), revents: 0),
            pollfd(fd: ends[0].descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: ends[1].descriptor, events: Int16(POLLIN), revents: 0),
        ]
        var timeout: Int32 = -1
        if let next = held.first {
            let now = Clock.nanoseconds
            timeout = next.due > now ? Int32((next.due - now) / 1_000_000) + 1 : 0
        }
        return poll(&requests, 3, timeout) > 0 && requests[0].revents != 0
    }

    /// A limited number, so that neither direction nor the commands starve.
    private mutating func carry(from side: Int) {
        for _ in 0..<256 {
            guard let count = ends[side].receive(into: &buffer) else { return }
            counts.received += 1
            if roll(impairment.lossPercent) {
                counts.lost += 1
                continue
            }
            pass(to: 1 - side, count)
            if roll(impairment.duplicatePercent) {
                counts.duplicated += 1
                pass(to: 1 - side, count)
            }
        }
    }

    private mutating func pass(to side: Int, _ count: Int) {
        guard impairment.delayMillisecondsMax > 0, roll(impairment.delayPercent) else {
            return send(side, buffer, count)
        }
        counts.delayed += 1
        let delay = UInt64.random(in: 1...UInt64(impairment.delayMillisecondsMax) * 1_000_000, using: &random)
        let item = Held(due: Clock.nanoseconds + delay, side: side, frame: Array(buffer[..<count]))
        let position = held.firstIndex { $0.due > item.due } ?? held.endIndex
        held.insert(item, at: position)
    }

    private mutating func releaseHeld() {
        let now = Clock.nanoseconds
        let dueCount = held.firstIndex { $0.due > now } ?? held.count
        for item in held[..<dueCount] { send(item.side, item.frame, item.frame.count) }
        held.removeFirst(dueCount)
    }

    private mutating func send(_ side: Int, _ frame: [UInt8], _ count: Int) {
        let isSent = frame.withUnsafeBytes { ends[side].send(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        if !isSent { counts.refused += 1 }
    }

    private mutating func roll(_ percent: Int) -> Bool {
        percent > 0 && Int.random(in: 0..<100, using: &random) < percent
    }

    /// False when the commands have ended.
    private mutating func readCommands() throws(LabError) -> Bool {
        var bytes = [UInt8](repeating: 0, count: 4_096)
        let count = read(0, &bytes, bytes.count)
        guard count > 0 else { return false }
        commandBytes += bytes[..<count]
        while let end = commandBytes.firstIndex(of: 0x0a) {
            let words = String(decoding: commandBytes[..<end], as: UTF8.self).split(separator: " ")
            commandBytes.removeSubrange(...end)
            switch words.first {
            case "set":
                guard let new = Impairment(words: words.dropFirst()) else {
                    throw LabError("not an impairment: \(words)")
                }
                impairment = new
                print("done")
            case "counts":
                print(counts.words)
            default:
                throw LabError("unknown command: \(words)")
            }
            fflush(nil)
        }
        return true
    }
}
