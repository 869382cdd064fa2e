internal import Glibc
internal import SystemIO

/// One end of connections on which both ends talk all the time: it sends numbered messages at random moments and
/// listens to the other end's, which are no answers.
///
/// A client that waits for echoes is silent while it is cut off, and so is its server; here a router that takes over
/// meets packets of both directions at any moment. Every message carries the moment of its sending (both ends run on
/// one machine's clock), so that the receiver knows how long it was held up. It is told what to do by lines, and
/// answers by lines:
///
/// | line | answer |
/// | --- | --- |
/// | `open <group> <tcp\|udp> <source,source…> <destination> <port> <count>` | `opened <group> <open> <failed>` |
/// | `pace <milliseconds min> <milliseconds max>` | `done`: time between two messages of an end of a connection |
/// | `mark` | `done`: from now on the longest stall is measured anew |
/// | `alive <milliseconds>` | per group `group <group> <total> <alive> <reset> <ended> <µs> <µs> <µs>`, then `done` |
///
/// Groups are numbers. A connection is alive if a message came that was sent *after* the question. The three times are
/// of the connections' longest stalls: the longest, that of the 99th percentile, and the median. With TCP a stall is
/// the time between sending and arrival of a message, retransmissions included; with UDP, where messages are lost, it
/// is the time between two arrivals.
public struct TalkingEnd: ~Copyable {
    enum State: UInt8 {
        case connecting
        case open
        case reset
        case ended
    }

    /// What travels: three words.
    struct Message {
        /// The connection: group in the upper half, number in the lower.
        var identity: UInt64
        var number: UInt64
        var sentNanoseconds: UInt64

        static let byteCount = 24
    }

    struct Connection {
        /// 0 at the listening end until the first message has come.
        var identity: UInt64
        let kind: TrafficProtocol
        let descriptor: Int32
        var state: State
        /// Where the other end is: for the listening end's UDP, which has one socket for all.
        var remote: SocketAddress?
        var sentNumber: UInt64 = 0
        var receivedNumber: UInt64 = 0
        /// When the other end sent what came last.
        var heardNanoseconds: UInt64 = 0
        /// When that came.
        var arrivedNanoseconds: UInt64 = 0
        var longestNanoseconds: UInt64 = 0
        /// The start of a message that has not come whole yet.
        var partial: [UInt8] = []

        var group: Int { Int(identity >> 32) }
    }

    /// Pauses are shorter than this.
    static let pauseMillisecondsMax = 4_000
    static let commandToken = UInt64.max
    /// Listening sockets have the tokens above this one.
    static let listenerToken = UInt64.max - 1_000

    var loop: EventLoop
    var connections: [Connection] = []
    /// Connections by the millisecond, modulo its length, in which they send next.
    private var wheel = [[Int32]](repeating: [], count: pauseMillisecondsMax)
    private var wheelMilliseconds = Clock.nanoseconds / 1_000_000
    var listeners: [(kind: TrafficProtocol, descriptor: Int32)] = []
    /// The listening end's UDP connections by identity.
    private var datagramPeers: [UInt64: Int] = [:]
    var connectingCount = 0
    var pace: ClosedRange<UInt64> = 500...1_500
    private var random = SeededRandom(seed: Clock.nanoseconds)
    private var buffer = [UInt8](repeating: 0, count: Message.byteCount * 1_024)
    private var commandBytes: [UInt8] = []

    /// An end without connections.
    ///
    /// - Parameter port: where it listens on all addresses, TCP and UDP; nil for the end that connects.
    public init(port: Int?) throws {
        raiseDescriptorLimit()
        let loop = try EventLoop.open()
        try loop.add(0, token: Self.commandToken, interest: .readable)
        if let port {
            for (kind, address) in [(TrafficProtocol.tcp, "0.0.0.0"), (.tcp, "::"), (.udp, "0.0.0.0"), (.udp, "::")] {
                let descriptor = try openServerSocket(kind, address, port: port)
                listeners.append((kind, descriptor))
                try loop.add(descriptor, token: Self.listenerToken + UInt64(listeners.count), interest: .readable)
            }
        }
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

    // MARK: Traffic

    /// One turn of the loop: what arrived, then what is due.
    ///
    /// False when the commands have ended.
    mutating func turn() throws -> Bool {
        let count = try loop.wait(timeoutMilliseconds: 2)
        for position in 0..<count {
            let (token, _) = loop.ready(at: position)
            if token == Self.commandToken {
                let byteCount = read(0, &buffer, buffer.count)
                guard byteCount > 0 else { return false }
                commandBytes.append(contentsOf: buffer[..<byteCount])
            } else if token > Self.listenerToken {
                let listener = listeners[Int(token - Self.listenerToken) - 1]
                if listener.kind == .tcp {
                    try acceptAll(listener.descriptor)
                } else {
                    takeInDatagrams(listener.descriptor)
                }
            } else {
                try takeIn(Int(token))
            }
        }
        sendWhatIsDue()
        return true
    }

    private mutating func sendWhatIsDue() {
        let now = Clock.nanoseconds / 1_000_000
        while wheelMilliseconds < now {
            wheelMilliseconds += 1
            let slot = Int(wheelMilliseconds % UInt64(Self.pauseMillisecondsMax))
            guard !wheel[slot].isEmpty else { continue }
            let due = wheel[slot]
            wheel[slot].removeAll(keepingCapacity: true)
            for index in due where connections[Int(index)].state == .open {
                sendMessage(Int(index))
                schedule(Int(index))
            }
        }
    }

    /// Lets a connection talk after a pause.
    private mutating func schedule(_ index: Int) {
        let isProbe = connections[index].kind == .udp
        let pause = isProbe ? UInt64.random(in: 5...15, using: &random) : UInt64.random(in: pace, using: &random)
        wheel[Int((wheelMilliseconds + max(1, pause)) % UInt64(Self.pauseMillisecondsMax))].append(Int32(index))
    }

    private mutating func sendMessage(_ index: Int) {
        // A listening end does not know yet whom it talks to.
        guard connections[index].identity != 0 else { return }
        let message = Message(
            identity: connections[index].identity,
            number: connections[index].sentNumber + 1,
            sentNanoseconds: Clock.nanoseconds
        )
        let descriptor = connections[index].descriptor
        let sent = withUnsafeBytes(of: message) { bytes in
            guard let remote = connections[index].remote else {
                return send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
            }
            return Int(
                remote.withPointer { Int32(sendto(descriptor, bytes.baseAddress, bytes.count, 0, $0, $1)) }
            )
        }
        if sent == Message.byteCount {
            connections[index].sentNumber += 1
        } else if connections[index].kind == .tcp, !(sent < 0 && errno == EAGAIN) {
            end(index, as: sent < 0 && errno == ECONNRESET ? .reset : .ended)
        }
    }

    private mutating func acceptAll(_ listener: Int32) throws {
        while true {
            let descriptor = accept(listener, nil, nil)
            guard descriptor >= 0 else { return }
            _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
            setOption(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY)
            try append(Connection(identity: 0, kind: .tcp, descriptor: descriptor, state: .open), .readable)
        }
    }

    /// Adds a connection and begins to talk on it if it is open.
    mutating func append(_ connection: Connection, _ interest: Interest?) throws {
        let index = connections.count
        connections.append(connection)
        if let interest { try loop.add(connection.descriptor, token: UInt64(index), interest: interest) }
        if connection.state == .open { schedule(index) }
    }

    private mutating func takeInDatagrams(_ descriptor: Int32) {
        while true {
            var source = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let count = withUnsafeMutablePointer(to: &source) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                    recvfrom(descriptor, &buffer, buffer.count, 0, address, &length)
                }
            }
            guard count == Message.byteCount else {
                if count < 0 { return }
                continue
            }
            let message = buffer.withUnsafeBytes { $0.loadUnaligned(as: Message.self) }
            let index = datagramPeers[message.identity] ?? connections.count
            if index == connections.count {
                datagramPeers[message.identity] = index
                var connection = Connection(
                    identity: message.identity,
                    kind: .udp,
                    descriptor: descriptor,
                    state: .open
                )
                connection.remote = SocketAddress(storage: source, byteCount: length)
                connections.append(connection)
                schedule(index)
            }
            take(message, index, at: Clock.nanoseconds)
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
            sendMessage(index)
            schedule(index)
        }
        guard connections[index].state == .open else { return }
        let count = read(connections[index].descriptor, &buffer, buffer.count)
        if count < 0, errno == EAGAIN || connections[index].kind == .udp { return }
        guard count > 0 else { return end(index, as: count < 0 && errno == ECONNRESET ? .reset : .ended) }
        let now = Clock.nanoseconds
        let isWhole = connections[index].partial.isEmpty && count % Message.byteCount == 0
        var bytes = isWhole ? [] : connections[index].partial + buffer[..<count]
        let byteCount = isWhole ? count : bytes.count
        for offset in stride(from: 0, through: byteCount - Message.byteCount, by: Message.byteCount) {
            let message = (isWhole ? buffer : bytes).withUnsafeBytes {
                $0.loadUnaligned(fromByteOffset: offset, as: Message.self)
            }
            take(message, index, at: now)
        }
        if !isWhole {
            bytes.removeFirst(byteCount / Message.byteCount * Message.byteCount)
            connections[index].partial = bytes
        }
    }

    private mutating func take(_ message: Message, _ index: Int, at now: UInt64) {
        guard connections[index].state == .open else { return }
        if connections[index].identity == 0 { connections[index].identity = message.identity }
        let isInOrder = connections[index].kind == .udp || message.number == connections[index].receivedNumber + 1
        guard message.identity == connections[index].identity, isInOrder else { return end(index, as: .ended) }
        let since =
            switch connections[index].kind {
            case .tcp: message.sentNanoseconds
            case .udp: connections[index].arrivedNanoseconds
            }
        if since > 0, now > since {
            connections[index].longestNanoseconds = max(connections[index].longestNanoseconds, now - since)
        }
        connections[index].receivedNumber = message.number
        connections[index].heardNanoseconds = max(connections[index].heardNanoseconds, message.sentNanoseconds)
        connections[index].arrivedNanoseconds = now
    }

    mutating func end(_ index: Int, as state: State) {
        guard connections[index].state == .connecting || connections[index].state == .open else { return }
        connections[index].state = state
        close(connections[index].descriptor)
    }
}
