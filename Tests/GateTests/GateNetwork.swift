import Foundation
import Policy
import Synchronization
import SystemIO
import Testing

@testable import Gate

/// A router and a client of one test, as two network namespaces; removed when the test lets go of it.
///
/// ```
/// client  e0 ──── in0  router  out0 ──── e1  client
/// 10.1.0.2        10.1.0.1     10.2.0.1      (no address: what is forwarded need not arrive)
/// fd01::2         fd01::1      fd02::1
/// 10.1.0.3, fd01::3: a second client
///                 10.1.0.100, fd01::100: floating addresses
/// ```
///
/// In the router the packets with the mark of `Probe` are counted right before and right after the gate.
final class GateNetwork: Sendable {
    /// The addresses of one family.
    struct Addresses: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let client: String
        let own: String
        let floating: String
        /// Behind the router.
        let forwarded: String
        /// Of the second client.
        let otherClient: String
        /// Behind the router, in a network of its own.
        let otherForwarded: String
    }

    static let ipv4 = Addresses(
        testDescription: "IPv4",
        client: "10.1.0.2",
        own: "10.1.0.1",
        floating: "10.1.0.100",
        forwarded: "10.2.0.9",
        otherClient: "10.1.0.3",
        otherForwarded: "10.2.0.20"
    )
    static let ipv6 = Addresses(
        testDescription: "IPv6",
        client: "fd01::2",
        own: "fd01::1",
        floating: "fd01::100",
        forwarded: "fd02::9",
        otherClient: "fd01::3",
        otherForwarded: "fd02::20"
    )
    static let ownAddresses = ["10.1.0.1", "10.2.0.1", "fd01::1", "fd02::1"].compactMap {
        try? HostAddress(parsing: $0)
    }

    let router: String
    let client: String

    init() throws {
        let number = UInt32.random(in: 0 ... .max)
        router = "gate-test-r-\(number)"
        client = "gate-test-c-\(number)"
        for name in [router, client] { try execute("ip", "netns", "add", name) }
        try inRouter(
            """
            sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.icmp_echo_ignore_broadcasts=0
            ip link set lo up
            ip link add in0 type veth peer name e0 netns \(client)
            ip link add out0 type veth peer name e1 netns \(client)
            for a in 10.1.0.1/24 10.1.0.100/32; do ip addr add $a brd + dev in0; done
            for a in fd01::1/64 fd01::100/128; do ip addr add $a dev in0 nodad; done
            ip addr add 10.2.0.1/24 dev out0; ip addr add fd02::1/64 dev out0 nodad
            ip link set in0 up; ip link set out0 up
            nft -f - <<END
            table inet observer {
                counter before { }
                counter invalid { }
                counter after { }
                chain before {
                    type filter hook prerouting priority -195
                    ip dscp != \(Probe.dscp) accept
                    ip6 dscp != \(Probe.dscp) accept
                    counter name before
                    ct state invalid counter name invalid
                }
                chain after {
                    type filter hook prerouting priority -185
                    ip dscp != \(Probe.dscp) accept
                    ip6 dscp != \(Probe.dscp) accept
                    counter name after
                }
            }
            END
            """
        )
        try inClient(
            """
            ip link set lo up
            ip addr add 10.1.0.2/24 brd + dev e0; ip addr add 10.1.0.3/24 brd + dev e0
            ip addr add fd01::3/64 dev e0 nodad preferred_lft 0; ip addr add fd01::2/64 dev e0 nodad
            ip link set e0 up; ip link set e1 up
            ip route add default via 10.1.0.1; ip route add 224.0.0.0/4 dev e0; ip route add default via fd01::1
            """
        )
    }

    deinit {
        for name in [router, client] { _ = try? execute("ip", "netns", "del", name) }
    }

    /// Runs commands of the shell in the router, until one fails.
    @discardableResult
    func inRouter(_ commands: String) throws -> String {
        try execute("ip", "netns", "exec", router, "sh", "-ec", commands)
    }

    /// Runs commands of the shell in the client, until one fails.
    @discardableResult
    func inClient(_ commands: String) throws -> String {
        try execute("ip", "netns", "exec", client, "sh", "-ec", commands)
    }

    /// An open gate in the router.
    func makeGate(
        interfaces: [String] = ["in0"],
        table: String = "flowsync",
        scope: GateScope = GateScope(),
        receiveBufferByteCount: Int = 1 << 20
    ) throws -> TestGate {
        try run(in: router) {
            try TestGate(
                GateTable(name: table, interfaces: interfaces, scope: scope),
                receiveBufferByteCount: receiveBufferByteCount
            )
        }
    }

    /// A gate in the router that is closed except for the router's own addresses.
    func makeClosedGate(
        interfaces: [String] = ["in0"],
        table: String = "flowsync",
        scope: GateScope = GateScope()
    ) throws -> TestGate {
        let gate = try makeGate(interfaces: interfaces, table: table, scope: scope)
        try gate.close(ownAddresses: Self.ownAddresses)
        return gate
    }

    /// Sends packets from the client, and says how many of them passed once all have come to the gate.
    func passedCount(of probe: Probe, count: UInt64 = 3) throws -> UInt64 {
        let before = try counted("before")
        let after = try counted("after")
        try run(in: client) { for _ in 0..<count { try probe.send() } }
        try waitForArrival(of: before + count)
        return try counted("after") - after
    }

    /// Waits until that many packets have come to the gate since the network was made.
    func waitForArrival(of count: UInt64) throws {
        for _ in 0..<500 {
            if try counted("before") >= count { break }
            usleep(10_000)
        }
        try #require(try counted("before") == count, "not all packets came to the router")
    }

    /// Packets of the observer's counter.
    func counted(_ name: String) throws -> UInt64 {
        let listing = try inRouter("nft list counter inet observer \(name)")
        let match = try #require(listing.firstMatch(of: /packets (\d+)/))
        return try #require(UInt64(match.1))
    }

    /// Waits until a gate's table is gone.
    ///
    /// A process that another test starts holds the gate's socket, too, until it has become another program.
    func waitForRemoval(of table: String = "flowsync") throws {
        for _ in 0..<500 where try listing(of: table) != nil { usleep(10_000) }
        try #require(try listing(of: table) == nil)
    }

    /// What nft lists of a gate's table; nil if there is none.
    func listing(of table: String = "flowsync") throws -> String? {
        let tables = try inRouter("nft list tables").split(separator: "\n")
        guard tables.contains("table inet \(table)") else { return nil }
        return try inRouter("nft list table inet \(table)")
    }

    /// Whether the tests can run here: as root, with ip, nft and conntrack.
    static let isAvailable = geteuid() == 0 && (try? execute("sh", "-c", "ip -V && nft -v && conntrack -V")) != nil
}

/// A gate that may be used from a test's closures.
final class TestGate: Sendable {
    private let gate = Mutex<Gate?>(nil)

    /// Opens the gate's socket in the namespace of the calling thread.
    init(_ table: GateTable, receiveBufferByteCount: Int) throws {
        try gate.withLock { gate in
            gate = try Gate.make(table, receiveBufferByteCount: receiveBufferByteCount)
        }
    }

    func close(ownAddresses: [HostAddress]) throws {
        try gate.withLock { gate in try gate?.close(ownAddresses: ownAddresses) }
    }

    @discardableResult
    func open() throws -> GateCount? {
        try gate.withLock { gate in try gate?.open() }
    }

    func count() throws -> GateCount? {
        try gate.withLock { gate in try gate?.count() }
    }

    var isClosed: Bool? { gate.withLock { gate in gate?.isClosed } }

    /// Lets the gate go as it is.
    func letGo() {
        gate.withLock { gate in _ = gate.take() }
    }
}

/// Runs `body` on a thread inside a namespace and waits for it.
func run<Value: Sendable>(in namespace: String, _ body: @escaping @Sendable () throws -> Value) throws -> Value {
    let box = ResultBox<Value>()
    let thread = try SystemThread.start(name: "in-namespace") {
        box.set(
            Result {
                try enterNetworkNamespace(named: namespace)
                return try body()
            }
        )
    }
    thread.join()
    return try #require(box.get()).get()
}

private final class ResultBox<Value: Sendable>: Sendable {
    private let value = Mutex<Result<Value, any Error>?>(nil)

    func set(_ result: Result<Value, any Error>) { value.withLock { $0 = result } }
    func get() -> Result<Value, any Error>? { value.withLock { $0 } }
}

/// Runs a command, and returns what it wrote.
@discardableResult
func execute(_ command: String...) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    let output = Pipe()
    process.standardOutput = output
    process.standardError = output
    try process.run()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    let text = String(decoding: data, as: UTF8.self)
    guard process.terminationStatus == 0 else {
        throw CommandFailure(command: command.joined(separator: " "), output: text)
    }
    return text
}

struct CommandFailure: Error {
    let command: String
    let output: String
}
