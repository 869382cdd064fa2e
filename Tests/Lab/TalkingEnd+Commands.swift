internal import Glibc
internal import SystemIO

/// What it is told, and what it answers.
extension TalkingEnd {
    mutating func perform(_ words: [String]) throws {
        switch words.first {
        case "open" where words.count == 7:
            try open(words)
        case "pace" where words.count == 3:
            guard let low = UInt64(words[1]), let high = UInt64(words[2]), low <= high,
                high < Self.pauseMillisecondsMax
            else { throw LabError("bad pace command: \(words)") }
            pace = low...high
            print("done")
        case "mark" where words.count == 1:
            for index in connections.indices {
                connections[index].longestNanoseconds = 0
                connections[index].arrivedNanoseconds = Clock.nanoseconds
            }
            print("done")
        case "alive" where words.count == 2:
            try reportAlive(within: Double(words[1]) ?? 0)
        default:
            throw LabError("unknown command: \(words.joined(separator: " "))")
        }
    }

    private mutating func open(_ words: [String]) throws {
        guard let group = UInt64(words[1]), let kind = TrafficProtocol(rawValue: words[2]),
            let port = Int(words[5]), let count = Int(words[6]), group > 0
        else { throw LabError("bad open command: \(words)") }
        var sources: [SocketAddress] = []
        for text in words[3].split(separator: ",") { sources.append(try SocketAddress(String(text), port: 0)) }
        let destination = try SocketAddress(words[4], port: port)
        let first = connections.count
        for number in 0..<count {
            // Bounded, so that the listener's queue cannot overflow; a lost SYN would cost a second.
            // One per source address first: while a router still asks for a neighbour it keeps few packets back.
            let limit = number == sources.count ? 1 : 256
            while connectingCount >= limit { _ = try turn() }
            let descriptor = try openClientSocket(kind, from: sources[number % sources.count], to: destination)
            if kind == .tcp { setOption(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY) }
            let isConnecting = kind == .tcp
            connectingCount += isConnecting ? 1 : 0
            let connection = Connection(
                identity: group << 32 | UInt64(number),
                kind: kind,
                descriptor: descriptor,
                state: isConnecting ? .connecting : .open
            )
            try append(connection, isConnecting ? [.readable, .writable] : .readable)
        }
        // The other end talks once it has heard this one, so a message from there proves both directions.
        let deadline = Clock.nanoseconds + 30_000_000_000
        func isTalking(_ connection: borrowing Connection) -> Bool { connection.receivedNumber > 0 }
        while Clock.nanoseconds < deadline, connections[first...].contains(where: { !isTalking($0) }) {
            _ = try turn()
        }
        let opened = connections[first...].count { isTalking($0) }
        print("opened \(words[1]) \(opened) \(count - opened)")
    }

    private mutating func reportAlive(within milliseconds: Double) throws {
        let asked = Clock.nanoseconds
        let deadline = asked + UInt64(milliseconds * 1e6)
        while Clock.nanoseconds < deadline {
            if !connections.contains(where: { $0.state == .open && $0.heardNanoseconds <= asked }) { break }
            _ = try turn()
        }
        // What has not ended yet lasts at least until now.
        for index in connections.indices where connections[index].kind == .udp {
            let silence = Clock.nanoseconds - connections[index].arrivedNanoseconds
            connections[index].longestNanoseconds = max(connections[index].longestNanoseconds, silence)
        }
        for group in Set(connections.map(\.group)).sorted() {
            let members = connections.filter { $0.group == group }
            let alive = members.count { $0.state == .open && $0.heardNanoseconds > asked }
            let reset = members.count { $0.state == .reset }
            let ended = members.count { $0.state == .ended }
            let stalls = members.map(\.longestNanoseconds).sorted()
            let times = [stalls.count - 1, stalls.count * 99 / 100, stalls.count / 2].map { stalls[$0] / 1_000 }
            let numbers = [members.count, alive, reset, ended].map(String.init) + times.map(String.init)
            print("group \(group) " + numbers.joined(separator: " "))
        }
        print("done")
    }
}
