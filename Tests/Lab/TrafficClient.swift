internal import Glibc
public import SystemIO

/// Opens connections and keeps exchanging numbered messages over them at random moments.
///
/// It is told what to do by lines, and answers by lines:
///
/// | line | answer |
/// | --- | --- |
/// | `open <group> <tcp\|udp> <source,source…> <destination> <port> <count>` | `opened <group> <open> <failed>` |
/// | `pace <milliseconds min> <milliseconds max>` | `done`: the time between two messages of a connection |
/// | `alive <milliseconds>` | per group `group <name> <total> <alive> <reset> <ended> <silent>`, then `done` |
/// | `close <group>` | `done`: closes the group's connections in an orderly way |
///
/// A connection is alive if a message that was sent *after* the question came back. A TCP connection whose echo comes
/// back with the wrong number counts as ended.
public struct TrafficClient: ~Copyable {
    private enum State {
        case connecting
        case open
        case reset
        case ended
    }

    private struct Connection {
        let group: Int
        let kind: TrafficProtocol
        let descriptor: Int32
        var state: State
        var nextSend: UInt64
        var sentNumber: UInt64 = 0
        var echoedNumber: UInt64 = 0
        /// Echoes with a number above this one prove that it lives.
        var markedNumber: UInt64 = 0
        /// The start of a message that has not come whole yet.
        var partial: [UInt8] = []
    }

    private static let messageByteCount = 16
    private var loop: EventLoop
    private var connections: [Connection] = []
    private var groupNames: [String] = []
    private var connectingCount = 0
    private var pace: ClosedRange<UInt64> = 150_000_000...900_000_000
    private var random = SeededRandom(seed: Clock.nanoseconds)
    private var buffer = [UInt8](repeating: 0, count: 4_096)
    private var commandBytes: [UInt8] = []
    private static let commandToken = UInt64.max

    /// A client without connections.
    public init() throws(SystemError) {
        raiseDescriptorLimit()
        let loop = try EventLoop.open()
        try loop.add(0, token: Self.commandToken, interest: .readable)
        self.loop = loop
    }

    /// Works until its standard input ends.
    public mutating func run() throws {
        while try turn() {
            while let end = commandBytes.firstIndex(of: 0x0a) {
                let line = String(decoding: commandBytes[..<end], as: UTF8.self)
                commandBytes.removeSubrange(...end)
                try perform(line.split(separator: " ").map(String.init))
                fflush(nil)
            }
        }
    }

    private mutating func perform(_ words: [String]) throws {
        switch words.first {
        case "open" where words.count == 7:
            try open(words)
        case "pace" where words.count == 3:
            try setPace(words)
        case "alive" where words.count == 2:
            try reportAlive(within: Double(words[1]) ?? 0)
        case "close" where words.count == 2:
            for index in connections.indices where groupNames[connections[index].group] == words[1] {
                end(index, as: .ended)
            }
            print("done")
        default:
            throw LabError("unknown command: \(words.joined(separator: " "))")
        }
    }

    // MARK: Commands

    private mutating func setPace(_ words: [String]) throws {
        guard let low = UInt64(words[1]), let high = UInt64(words[2]), low <= high else {
            throw LabError("bad pace command: \(words)")
        }
        pace = low * 1_000_000...high * 1_000_000
        for index in connections.indices { connections[index].nextSend = Clock.nanoseconds + nextPause() }
        print("done")
    }

    private mutating func open(_ words: [String]) throws {
        guard let kind = TrafficProtocol(rawValue: words[2]), let port = Int(words[5]), let count = Int(words[6]) else {
            throw LabError("bad open command: \(words)")
        }
        let group = groupNames.count
        groupNames.append(words[1])
        var sources: [SocketAddress] = []
        for text in words[3].split(separator: ",") { sources.append(try SocketAddress(String(text), port: 0)) }
        let destination = try SocketAddress(words[4], port: port)
        for number in 0..<count {
            // Bounded, so that the listener's queue cannot overflow; a lost SYN would cost a second.
            // One per source address first: while a router still asks for a neighbour it keeps few packets back.
            let limit = number == sources.count ? 1 : 256
            while connectingCount >= limit { _ = try turn() }
            let source = sources[number % sources.count]
            let descriptor = try openClientSocket(kind, from: source, to: destination)
            if kind == .tcp { setOption(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY) }
            let isConnecting = kind == .tcp
            let token = UInt64(connections.count)
            connections.append(
                Connection(
                    group: group,
                    kind: kind,
                    descriptor: descriptor,
                    state: isConnecting ? .connecting : .open,
                    nextSend: Clock.nanoseconds
                )
            )
            connectingCount += isConnecting ? 1 : 0
            try loop.add(descriptor, token: token, interest: isConnecting ? [.readable, .writable] : .readable)
        }
        // Every connection has to have exchanged a message, so that nothing is left half open.
        let deadline = Clock.nanoseconds + 20_000_000_000
        func isReady(_ connection: borrowing Connection) -> Bool { connection.echoedNumber > 0 }
        while Clock.nanoseconds < deadline, connections.contains(where: { $0.group == group && !isReady($0) }) {
            _ = try turn()
        }
        let opened = connections.count { $0.group == group && isReady($0) }
        print("opened \(words[1]) \(opened) \(count - opened)")
    }

    private mutating func reportAlive(within milliseconds: Double) throws {
        let deadline = Clock.nanoseconds + UInt64(milliseconds * 1e6)
        for index in connections.indices { connections[index].markedNumber = connections[index].sentNumber }
        while Clock.nanoseconds < deadline {
            let isDone = !connections.contains { $0.state == .open && $0.echoedNumber <= $0.markedNumber }
            if isDone { break }
            _ = try turn()
        }
        for (group, name) in groupNames.enumerated() {
            let members = connections.filter { $0.group == group }
            let alive = members.count { $0.state == .open && $0.echoedNumber > $0.markedNumber }
            let reset = members.count { $0.state == .reset }
            let ended = members.count { $0.state == .ended }
            print("group \(name) \(members.count) \(alive) \(reset) \(ended) \(members.count - alive - reset - ended)")
        }
        print("done")
    }

    // MARK: Traffic

    private mutating func nextPause() -> UInt64 { .random(in: pace, using: &random) }

    /// One turn of the loop: what arrived, then what is due.
    ///
    /// False when the commands have ended.
    private mutating func turn() throws -> Bool {
        let count = try loop.wait(timeoutMilliseconds: 10)
        for position in 0..<count {
            let (token, _) = loop.ready(at: position)
            if token == Self.commandToken {
                let byteCount = read(0, &buffer, buffer.count)
                guard byteCount > 0 else { return false }
                commandBytes.append(contentsOf: buffer[..<byteCount])
            } else {
                try takeIn(Int(token))
            }
        }
        let now = Clock.nanoseconds
        for index in connections.indices where connections[index].nextSend <= now && connections[index].state == .open {
            sendMessage(index)
            connections[index].nextSend = now + nextPause()
        }
        return true
    }

    private mutating func sendMessage(_ index: Int) {
        connections[index].sentNumber += 1
        let message = (UInt64(index), connections[index].sentNumber)
        let sent = withUnsafeBytes(of: message) {
            send(connections[index].descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        if sent < 0, connections[index].kind == .tcp, errno != EAGAIN {
            end(index, as: errno == ECONNRESET ? .reset : .ended)
        }
    }

    private mutating func takeIn(_ index: Int) throws {
        if connections[index].state == .connecting {
            var code: Int32 = 0
            var length = socklen_t(MemoryLayout<Int32>.size)
            getsockopt(connections[index].descriptor, SOL_SOCKET, SO_ERROR, &code, &length)
            connectingCount -= 1
            guard code == 0 else { return end(index, as: code == ECONNRESET ? .reset : .ended) }
            connections[index].state = .open
            try loop.modify(connections[index].descriptor, token: UInt64(index), interest: .readable)
        }
        guard connections[index].state == .open else { return }
        let count = read(connections[index].descriptor, &buffer, buffer.count)
        if count < 0, errno == EAGAIN || connections[index].kind == .udp { return }
        guard count > 0 else { return end(index, as: count < 0 && errno == ECONNRESET ? .reset : .ended) }
        connections[index].partial.append(contentsOf: buffer[..<count])
        takeMessages(index)
    }

    private mutating func takeMessages(_ index: Int) {
        while connections[index].partial.count >= Self.messageByteCount {
            let (owner, number) = connections[index].partial.withUnsafeBytes {
                ($0.loadUnaligned(as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            }
            connections[index].partial.removeFirst(Self.messageByteCount)
            let isExpected = connections[index].kind == .udp || number == connections[index].echoedNumber + 1
            guard owner == UInt64(index), isExpected else { return end(index, as: .ended) }
            connections[index].echoedNumber = max(number, connections[index].echoedNumber)
        }
    }

    private mutating func end(_ index: Int, as state: State) {
        guard connections[index].state == .connecting || connections[index].state == .open else { return }
        connections[index].state = state
        close(connections[index].descriptor)
    }
}
