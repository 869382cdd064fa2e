import Glibc
import Link
import Synchronization
import SystemIO
import Testing

/// An address literal of a test.
func address(_ text: String) -> IPAddress {
    guard let address = IPAddress(text) else { preconditionFailure("no address: \(text)") }
    return address
}

/// A command of a test that did not work.
struct CommandFailure: Error {
    let command: String
    let status: Int32
}

/// Runs a shell command.
func run(_ command: String) throws {
    let status = system(command)
    if status != 0 { throw CommandFailure(command: command, status: status) }
}

/// Runs `body` on a thread of its own inside a network namespace, and hands back what it returns or throws.
func inside<Value: Sendable>(_ namespace: String, _ body: @escaping @Sendable () throws -> Value) throws -> Value {
    let result = Mutex<Result<Value, any Error>?>(nil)
    let thread = try SystemThread.start(name: "inside") {
        let outcome = Result {
            try enterNetworkNamespace(named: namespace)
            return try body()
        }
        result.withLock { $0 = outcome }
    }
    thread.join()
    return try #require(result.withLock { $0 }).get()
}

/// Two routers with a sync network between them, and a third host that reaches only the second one's LAN side.
///
///     a ── sync0 ═══ sync0 ── b ── lan0 ═══ lan0 ── c
///
/// sync0: a 192.168.100.1, fd00:100::1, fe80::1 — b the same with 2. lan0: b 10.9.9.2, fd00:9::2 — c the same with 3.
/// Duplicate address detection is off, so that addresses work at once. Namespaces are named after process and test.
final class Network: Sendable {
    let a: String
    let b: String
    let c: String
    private static let number = Atomic(0)
    /// Removes, once, what test runs left behind that did not live to do it themselves.
    private static let sweep: Void = {
        let list = "ip netns list | sed -n 's/^fs-link-\\([0-9]*\\)-.*/\\1 &/p'"
        _ = system("\(list) | while read pid name _; do kill -0 $pid 2>&- || ip netns del $name; done")
    }()

    /// What the names of one test's namespaces begin with.
    static func uniquePrefix() -> String {
        sweep
        return "fs-link-\(getpid())-\(number.wrappingAdd(1, ordering: .relaxed).newValue)"
    }

    init(isWired: Bool = true) throws {
        let prefix = Network.uniquePrefix()
        a = "\(prefix)-a"
        b = "\(prefix)-b"
        c = "\(prefix)-c"
        for name in [a, b, c] {
            try run("ip netns add \(name)")
            try run("ip -n \(name) link set lo up")
        }
        guard isWired else { return }
        try wire()
        try run("ip -n \(b) link add lan0 type veth peer name lan0 netns \(c)")
        try address("lan0", of: b, v4: "10.9.9.2/24", v6: ["fd00:9::2/64"])
        try address("lan0", of: c, v4: "10.9.9.3/24", v6: ["fd00:9::3/64"])
        // Linux answers for its addresses on every interface: this way in must lead nowhere.
        try run("ip -n \(c) route add 192.168.100.0/24 via 10.9.9.2")
        try run("ip -n \(c) route add fd00:100::/64 via fd00:9::2")
    }

    /// Makes the sync network; after `ip link del` it makes it anew.
    func wire() throws {
        try run("ip -n \(a) link add sync0 type veth peer name sync0 netns \(b)")
        try address("sync0", of: a, v4: "192.168.100.1/24", v6: ["fd00:100::1/64", "fe80::1/64"])
        try address("sync0", of: b, v4: "192.168.100.2/24", v6: ["fd00:100::2/64", "fe80::2/64"])
    }

    /// Makes a second network between a and b: sync1, 192.168.101.1 and 2, fd00:101::1 and 2.
    func wireAgain() throws {
        try run("ip -n \(a) link add sync1 type veth peer name sync1 netns \(b)")
        try address("sync1", of: a, v4: "192.168.101.1/24", v6: ["fd00:101::1/64"])
        try address("sync1", of: b, v4: "192.168.101.2/24", v6: ["fd00:101::2/64"])
    }

    private func address(_ interface: String, of namespace: String, v4: String, v6: [String]) throws {
        try run("ip -n \(namespace) link set \(interface) addrgenmode none up")
        try run("ip -n \(namespace) address add \(v4) dev \(interface)")
        for address in v6 {
            try run("ip -n \(namespace) address add \(address) dev \(interface) nodad")
        }
    }

    deinit {
        for name in [a, b, c] {
            _ = system("ip netns del \(name)")
        }
    }
}

/// One end of a link in a namespace, driven as the daemon's engine drives it.
///
/// Used by one thread at a time: `inside` waits for the thread it starts.
final class Node: @unchecked Sendable {
    let namespace: String
    private var link: SyncLink
    /// What `serve` received.
    private(set) var inbox: [String] = []
    private let monitor: InterfaceMonitor
    private var outgoing = SendBatch()
    private var incoming = ReceiveBatch()

    init(_ namespace: String, _ settings: LinkSettings) throws {
        self.namespace = namespace
        link = SyncLink(settings)
        let adopted = try inside(namespace) { Box(try InterfaceMonitor.open()) }
        monitor = adopted.take()
    }

    convenience init(
        _ namespace: String,
        interface: String = "sync0",
        _ transport: LinkSettings.Transport,
        socketBufferByteCount: Int = 8 << 20
    ) throws {
        let settings = try LinkSettings(
            transport: transport,
            interface: interface,
            socketBufferByteCount: socketBufferByteCount
        )
        try self.init(namespace, settings)
    }

    // `#expect` cannot look into values that cannot be copied, so the link's properties are repeated here.
    var settings: LinkSettings { link.settings }
    var isLive: Bool { link.isLive }
    var stateText: String { link.stateText }
    var descriptor: Int32? { link.descriptor }
    var payloadByteCountMax: Int { link.payloadByteCountMax }
    var counters: LinkCounters { link.counters }
    var canSend: Bool { link.canSend }
    var nextDeadline: UInt64? { link.nextDeadline() }

    /// Looks at the interfaces once.
    @discardableResult
    func refresh() throws -> LinkChange? {
        try inside(namespace) { [self] in
            _ = try monitor.drain()
            return link.refresh(with: try monitor.snapshot())
        }
    }

    /// Looks at the interfaces, again while the link's port is taken: for links that close a socket and bind anew.
    ///
    /// Other tests start commands in this process. Between fork and exec such a child holds copies of all descriptors,
    /// so a socket that is closed here may live on for a moment.
    func refreshPastForks() throws -> LinkChange? {
        let deadline = MonotonicClock.nanoseconds() + 5_000_000_000
        var change = try refresh()
        while stateText.contains("already used"), MonotonicClock.nanoseconds() < deadline {
            usleep(10_000)
            change = try refresh()
        }
        return change
    }

    /// Looks at the interfaces until something changes: the kernel may tell of a carrier up to a second later.
    func nextChange() throws -> LinkChange? {
        let deadline = MonotonicClock.nanoseconds() + 5_000_000_000
        while MonotonicClock.nanoseconds() < deadline {
            if let change = try refresh() { return change }
            usleep(10_000)
        }
        return nil
    }

    /// Refreshes when the monitor says so, and only then, until the link is as wanted.
    func wait(untilLive isLive: Bool, seconds: UInt64 = 10) throws {
        var loop = try EventLoop.open()
        try loop.add(monitor.descriptor, token: 0, interest: .readable)
        _ = try refreshPastForks()
        let deadline = MonotonicClock.nanoseconds() + seconds * 1_000_000_000
        while link.isLive != isLive {
            guard MonotonicClock.nanoseconds() < deadline else { throw Timeout(link.stateText) }
            if try loop.wait(timeoutMilliseconds: 100) > 0 { _ = try refreshPastForks() }
        }
    }

    /// Does what is due, and takes what has come into the inbox: one turn of an engine's loop that never sleeps.
    func serve() throws {
        let now = MonotonicClock.nanoseconds()
        if let deadline = link.nextDeadline(), deadline <= now {
            try inside(namespace) { [self] in link.step(now: now) }
        }
        repeat {
            _ = try link.receive(into: &incoming)
            inbox += incomingTexts
        } while incoming.isFull
    }

    func clearInbox() {
        inbox = []
    }

    /// Sends texts, one per datagram, in batches.
    func send(_ texts: [String]) {
        for text in texts {
            send(bytes: Array(text.utf8))
            if outgoing.isFull { flush() }
        }
        flush()
    }

    func send(bytes: [UInt8]) {
        _ = outgoing.withNextDatagram(byteCountMax: link.payloadByteCountMax) { span in
            span.withUnsafeMutableBytes { $0.copyBytes(from: bytes) }
            return bytes.count
        }
    }

    func flush() {
        link.send(outgoing)
        outgoing.clear()
    }

    /// Receives until `count` datagrams have come, or nothing has for a while.
    func receive(_ count: Int, quietMilliseconds: Int = 2_000) throws -> [[UInt8]] {
        guard let descriptor = link.descriptor else { return [] }
        var loop = try EventLoop.open()
        try loop.add(descriptor, token: 0, interest: .readable)
        var received: [[UInt8]] = []
        while received.count < count, try loop.wait(timeoutMilliseconds: quietMilliseconds) > 0 {
            for index in 0..<(try link.receive(into: &incoming)) {
                received.append(copy(incoming.datagram(at: index)))
            }
        }
        return received
    }

    /// The datagrams of the last receive call, as they lie in the batch now.
    var incomingTexts: [String] {
        var texts: [String] = []
        for index in 0..<incoming.count {
            texts.append(String(decoding: copy(incoming.datagram(at: index)), as: UTF8.self))
        }
        return texts
    }

    /// Writes an X over the last byte of a received datagram, and says how long the datagram is.
    func crossOutLastByte(ofIncoming index: Int) -> Int {
        incoming.withDatagram(at: index) { crossOut(&$0) }
    }

    /// The same with a datagram that is not sent yet.
    func crossOutLastByte(ofOutgoing index: Int) -> Int {
        outgoing.withDatagram(at: index) { crossOut(&$0) }
    }

    func receiveTexts(_ count: Int, quietMilliseconds: Int = 2_000) throws -> [String] {
        try receive(count, quietMilliseconds: quietMilliseconds).map { String(decoding: $0, as: UTF8.self) }
    }
}

private func crossOut(_ datagram: inout MutableRawSpan) -> Int {
    datagram.storeBytes(of: UInt8(ascii: "X"), toByteOffset: datagram.byteCount - 1, as: UInt8.self)
    return datagram.byteCount
}

/// The bytes of a datagram.
func copy(_ datagram: RawSpan) -> [UInt8] {
    datagram.withUnsafeBytes { Array($0) }
}

/// Something did not happen in time.
struct Timeout: Error {
    let text: String

    init(_ text: String) {
        self.text = text
    }
}

/// Carries a value that cannot be copied out of a closure.
private final class Box: @unchecked Sendable {
    private var value: InterfaceMonitor?

    init(_ value: consuming InterfaceMonitor) {
        self.value = consume value
    }

    func take() -> InterfaceMonitor {
        guard let taken = value.take() else { preconditionFailure("taken twice") }
        return taken
    }
}
