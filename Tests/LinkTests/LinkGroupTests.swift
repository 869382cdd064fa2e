import Glibc
import Link
import SystemIO
import Testing

/// One end of several links, driven as the daemon's engine drives it.
private final class GroupNode: @unchecked Sendable {
    private var group: LinkGroup
    private let namespace: String
    private var incoming = ReceiveBatch()
    private(set) var inboxes: [[String]]

    init(_ namespace: String, _ settings: [LinkSettings]) {
        self.namespace = namespace
        group = LinkGroup(settings)
        inboxes = settings.map { _ in [] }
    }

    var count: Int { group.count }
    var liveMask: UInt8 { group.liveMask }
    var payloadByteCountMax: Int { group.payloadByteCountMax }
    var nextDeadline: UInt64? { group.nextDeadline() }
    func isLive(_ index: Int) -> Bool { group.isLive(index) }
    func stateText(_ index: Int) -> String { group.stateText(index) }
    func counters(_ index: Int) -> LinkCounters { group.counters(index) }
    func settings(_ index: Int) -> LinkSettings { group.settings(index) }
    func descriptor(_ index: Int) -> Int32? { group.descriptor(index) }

    @discardableResult
    func refresh() throws -> [Int] {
        try inside(namespace) { [self] in
            let interfaces = try InterfaceMonitor.open().snapshot()
            return group.refresh(with: interfaces, now: MonotonicClock.nanoseconds()).map(\.index)
        }
    }

    func serve() throws {
        let now = MonotonicClock.nanoseconds()
        if let deadline = group.nextDeadline(), deadline <= now {
            try inside(namespace) { [self] in group.step(now: now) }
        }
        for index in 0..<group.count {
            for datagram in 0..<(try group.receive(index, into: &incoming)) {
                inboxes[index].append(String(decoding: copy(incoming.datagram(at: datagram)), as: UTF8.self))
            }
        }
    }

    /// Sends the same text over all links, with the link's number behind it.
    func sendEverywhere(_ text: String) {
        var outgoing = SendBatch()
        _ = outgoing.withNextDatagram(byteCountMax: group.payloadByteCountMax) { span in
            span.withUnsafeMutableBytes { $0.copyBytes(from: "\(text) #".utf8) }
            return text.utf8.count + 2
        }
        for index in 0..<group.count {
            outgoing.withDatagram(at: 0) { span in
                let number = UInt8(ascii: "0") + UInt8(index)
                span.storeBytes(of: number, toByteOffset: span.byteCount - 1, as: UInt8.self)
            }
            group.send(outgoing, over: index)
        }
    }
}

private func serve(_ nodes: [GroupNode], until isDone: () throws -> Bool) throws {
    let deadline = MonotonicClock.nanoseconds() + 15_000_000_000
    while true {
        for node in nodes { try node.serve() }
        if try isDone() { return }
        guard MonotonicClock.nanoseconds() < deadline else {
            throw Timeout(nodes.map { "\($0.inboxes), \((0..<$0.count).map($0.stateText))" }.joined(separator: "\n"))
        }
        usleep(1_000)
    }
}

@Suite struct LinkGroupTests {
    /// Multicast and IPv6 udp on sync0, tcp of both families on sync1.
    private func mixed(own: Int, peer: Int) throws -> [LinkSettings] {
        func tcp(_ prefix: String, _ port: UInt16) -> LinkSettings.Transport {
            .tcp(local: address("\(prefix)\(own)"), peers: [address("\(prefix)\(peer)")], port: port)
        }
        return [
            try LinkSettings(transport: Kind.multicast4.transport(own: own, peer: peer), interface: "sync0"),
            try LinkSettings(transport: tcp("192.168.101.", 3_780), interface: "sync1"),
            try LinkSettings(
                transport: .udp(local: address("fd00:100::\(own)"), peers: [address("fd00:100::\(peer)")], port: 3_781),
                interface: "sync0"
            ),
            try LinkSettings(transport: tcp("fd00:101::", 3_782), interface: "sync1"),
        ]
    }

    @Test func fourLinksOfAllKindsCarryTheSame() throws {
        let network = try Network()
        try network.wireAgain()
        let a = GroupNode(network.a, try mixed(own: 1, peer: 2))
        let b = GroupNode(network.b, try mixed(own: 2, peer: 1))
        #expect(a.count == 4)
        #expect(a.liveMask == 0 && a.nextDeadline == nil)
        #expect(a.settings(2).description == "udp fd00:100::1 to fd00:100::2 port 3781 on sync0")
        #expect(try a.refresh() == [0, 1, 2, 3])
        // The tcp links dial, but are not there yet.
        #expect(a.liveMask == 0b0101)
        #expect(a.isLive(1) && a.nextDeadline != nil)
        try b.refresh()
        #expect(try b.refresh() == [])
        try serve([a, b]) { a.liveMask == 0b1111 && b.liveMask == 0b1111 }
        #expect(Set((0..<4).compactMap(a.descriptor)).count == 4)
        #expect(a.payloadByteCountMax == 1_452)

        for turn in 0..<100 {
            a.sendEverywhere("hello \(turn)")
            b.sendEverywhere("there \(turn)")
        }
        try serve([a, b]) { (a.inboxes + b.inboxes).allSatisfy { $0.count == 100 } }
        for index in 0..<4 {
            #expect(b.inboxes[index] == (0..<100).map { "hello \($0) \(index)" })
            #expect(a.inboxes[index] == (0..<100).map { "there \($0) \(index)" })
            #expect(a.counters(index).datagramsSent == 100)
            #expect(a.counters(index).datagramsReceived == 100)
        }
        try serve([a, b]) { a.nextDeadline == nil && b.nextDeadline == nil }
    }

    @Test func aLinkThatIsDownHarmsNoOther() throws {
        let network = try Network()
        try network.wireAgain()
        let a = GroupNode(network.a, try mixed(own: 1, peer: 2))
        let b = GroupNode(network.b, try mixed(own: 2, peer: 1))
        for node in [a, b] { try node.refresh() }
        try serve([a, b]) { a.liveMask == 0b1111 && b.liveMask == 0b1111 }

        try run("ip netns exec \(network.a) sysctl -qw net.ipv6.conf.sync1.keep_addr_on_down=1")
        try run("ip -n \(network.a) link set sync1 down")
        #expect(try a.refresh() == [1, 3])
        #expect(a.liveMask == 0b0101)
        #expect(a.descriptor(1) == nil)
        #expect(a.stateText(1) == "interface sync1 is down (ip link set sync1 up)")
        #expect(a.stateText(0) == "live")
        a.sendEverywhere("one")
        try serve([a, b]) { b.inboxes[0].count == 1 && b.inboxes[2].count == 1 }
        #expect(b.inboxes == [["one 0"], [], ["one 2"], []])
        #expect(a.counters(1).droppedNotLive == 1)
        #expect(a.counters(0).droppedNotLive == 0)

        try run("ip -n \(network.a) link set sync1 up")
        // The kernel may tell of the carrier a little later.
        try serve([a, b]) {
            try a.refresh()
            try b.refresh()
            return a.liveMask == 0b1111 && b.liveMask == 0b1111
        }
        a.sendEverywhere("two")
        try serve([a, b]) { b.inboxes.allSatisfy { $0.last?.hasPrefix("two") == true } }
        #expect(b.inboxes[1] == ["two 1"])
    }

    @Test func theSmallestLimitCountsAlsoWhileItsLinkIsDown() throws {
        let network = try Network()
        try network.wireAgain()
        let a = GroupNode(network.a, try mixed(own: 1, peer: 2))
        // Before the interfaces are known: what every network carries.
        #expect(a.payloadByteCountMax == 1_232)
        try run("ip -n \(network.a) link set sync0 mtu 9000 && ip -n \(network.b) link set sync0 mtu 9000")
        try a.refresh()
        #expect(a.payloadByteCountMax == 8_900)
        try run("ip -n \(network.a) link set sync0 mtu 1300")
        #expect(try a.refresh() == [0, 2])
        #expect(a.payloadByteCountMax == 1_252)
        try run("ip -n \(network.a) link set sync0 down")
        try a.refresh()
        #expect(a.payloadByteCountMax == 1_252)
        let tcp = GroupNode(network.a, [a.settings(1)])
        #expect(tcp.payloadByteCountMax == 8_900)
    }

    @Test func aGroupWithoutTCPWaitsForNothing() throws {
        let network = try Network()
        let a = GroupNode(network.a, [try mixed(own: 1, peer: 2)[0]])
        try a.refresh()
        #expect(a.liveMask == 1)
        #expect(a.nextDeadline == nil)
    }
}
