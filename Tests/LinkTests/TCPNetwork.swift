import Glibc
import Link
import SystemIO
import Testing

/// Hosts on one switch: each has sync0 with 192.168.100.n, fd00:100::n and fe80::n, n from 1 on.
final class Segment: Sendable {
    let hosts: [String]
    private let bridge: String

    init(hostCount: Int) throws {
        let prefix = Network.uniquePrefix()
        bridge = "\(prefix)-switch"
        hosts = (1...hostCount).map { "\(prefix)-\($0)" }
        for name in [bridge] + hosts { try run("ip netns add \(name)") }
        try run("ip -n \(bridge) link add switch type bridge && ip -n \(bridge) link set switch up")
        for (index, host) in hosts.enumerated() {
            let port = "port\(index + 1)"
            try run("ip -n \(host) link add sync0 type veth peer name \(port) netns \(bridge)")
            try run("ip -n \(bridge) link set \(port) master switch up")
            try run("ip -n \(host) link set sync0 addrgenmode none up")
            try run("ip -n \(host) address add 192.168.100.\(index + 1)/24 dev sync0")
            for prefix in ["fd00:100::", "fe80::"] {
                try run("ip -n \(host) address add \(prefix)\(index + 1)/64 dev sync0 nodad")
            }
        }
    }

    deinit {
        for name in hosts + [bridge] { _ = system("ip netns del \(name)") }
    }
}

/// The tcp links, as seen from a (192.168.100.1) and from b (192.168.100.2).
enum StreamKind: String, CaseIterable, Sendable {
    case tcp4
    case tcp6
    case linkLocalTCP6

    private var prefix: String {
        switch self {
        case .tcp4: "192.168.100."
        case .tcp6: "fd00:100::"
        case .linkLocalTCP6: "fe80::"
        }
    }

    func host(_ number: Int) -> IPAddress { address("\(prefix)\(number)") }

    func transport(own: Int, peers: [Int]) -> LinkSettings.Transport {
        .tcp(local: host(own), peers: peers.map(host), port: 3_780)
    }
}

/// Drives nodes, as their engines would, until something is so.
func serve(_ nodes: [Node], seconds: UInt64 = 15, until isDone: () throws -> Bool) throws {
    let deadline = MonotonicClock.nanoseconds() + seconds * 1_000_000_000
    while true {
        for node in nodes { try node.serve() }
        if try isDone() { return }
        guard MonotonicClock.nanoseconds() < deadline else {
            throw Timeout(nodes.map { "\($0.stateText), \($0.inbox.count) received" }.joined(separator: "\n"))
        }
        usleep(1_000)
    }
}

/// Drives nodes for a while.
func serve(_ nodes: [Node], milliseconds: UInt64) throws {
    let deadline = MonotonicClock.nanoseconds() + milliseconds * 1_000_000
    try serve(nodes) { MonotonicClock.nanoseconds() >= deadline }
}

/// Opens the links of nodes and waits until all are connected both ways.
func connect(_ nodes: [Node]) throws {
    for node in nodes { _ = try node.refreshPastForks() }
    try serve(nodes) { nodes.allSatisfy(\.isConnectedBothWays) }
}

extension Node {
    var isConnectedBothWays: Bool { isLive && !stateText.contains("not") && !stateText.contains("connecting") }
}

/// A program at the other end that speaks what it likes: a plain TCP socket in a namespace.
final class RawSocket: Sendable {
    let descriptor: Int32

    private init(_ descriptor: Int32) {
        self.descriptor = descriptor
    }

    deinit {
        close(descriptor)
    }

    /// Connects from an address to port 3780 of another, both IPv4.
    static func connect(in namespace: String, from source: String, to target: String) throws -> RawSocket {
        try inside(namespace) {
            let raw = RawSocket(socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
            try raw.act(source, 0, Glibc.bind)
            try raw.act(target, 3_780, Glibc.connect)
            return raw
        }
    }

    /// Listens at port 3780 of an IPv4 address.
    static func listen(in namespace: String, at local: String) throws -> RawSocket {
        try inside(namespace) {
            let raw = RawSocket(socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
            try raw.act(local, 3_780, Glibc.bind)
            guard Glibc.listen(raw.descriptor, 4) == 0 else { throw SystemError(call: "listen", errno: errno) }
            return raw
        }
    }

    func accept() throws -> RawSocket {
        let accepted = Glibc.accept(descriptor, nil, nil)
        guard accepted >= 0 else { throw SystemError(call: "accept", errno: errno) }
        return RawSocket(accepted)
    }

    func write(_ bytes: [UInt8]) throws {
        let count = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        guard count == bytes.count else { throw SystemError(call: "send", errno: errno) }
    }

    /// What the next read says: a byte count, 0 at the end, below zero -errno.
    func read() -> Int {
        var bytes = [UInt8](repeating: 0, count: 4_096)
        let count = recv(descriptor, &bytes, bytes.count, Int32(MSG_DONTWAIT))
        return count < 0 ? -Int(errno) : count
    }

    var isClosedByPeer: Bool { [0, -Int(ECONNRESET)].contains(read()) }

    private func act(
        _ host: String,
        _ port: UInt16,
        _ call: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) throws {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        inet_pton(AF_INET, host, &address.sin_addr)
        let result = withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                call(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw SystemError(call: "bind or connect", errno: errno, context: host) }
    }
}

/// A datagram as it goes into the stream.
func frame(_ text: String) -> [UInt8] {
    let count = text.utf8.count
    return [UInt8(truncatingIfNeeded: count), UInt8(truncatingIfNeeded: count >> 8)] + Array(text.utf8)
}
