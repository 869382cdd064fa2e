import Link
import Testing

/// The link kinds, as seen from a (192.168.100.1) and from b (192.168.100.2).
enum Kind: String, CaseIterable, Sendable {
    case multicast4
    case multicast6
    case siteMulticast6
    case udp4
    case udp6
    case linkLocalUDP6

    func transport(own: Int, peer: Int) -> LinkSettings.Transport {
        func unicast(_ prefix: String) -> LinkSettings.Transport {
            .udp(local: address("\(prefix)\(own)"), peers: [address("\(prefix)\(peer)")], port: 3_780)
        }
        return switch self {
        case .multicast4: .multicast(group: address("225.0.0.50"), port: 3_780)
        case .multicast6: .multicast(group: address("ff02::50"), port: 3_780)
        case .siteMulticast6: .multicast(group: address("ff05::50"), port: 3_780)
        case .udp4: unicast("192.168.100.")
        case .udp6: unicast("fd00:100::")
        case .linkLocalUDP6: unicast("fe80::")
        }
    }

    var payloadByteCount: Int { self == .multicast4 || self == .udp4 ? 1_472 : 1_452 }
}

@Suite struct SyncLinkDeliveryTests {
    @Test(arguments: Kind.allCases)
    func datagramsGoBothWays(kind: Kind) throws {
        let network = try Network()
        let a = try Node(network.a, kind.transport(own: 1, peer: 2))
        let b = try Node(network.b, kind.transport(own: 2, peer: 1))
        #expect(try a.refresh() == .opened(descriptor: a.descriptor ?? -1, text: liveText(a)))
        try b.refresh()
        #expect(a.stateText == "live")
        #expect(try a.refresh() == nil)

        let texts = (0..<200).map { "datagram \($0)" }
        a.send(texts)
        #expect(try b.receiveTexts(200) == texts)
        b.send(["back"])
        #expect(try a.receiveTexts(1) == ["back"])

        // Nobody hears himself.
        #expect(try a.receiveTexts(1, quietMilliseconds: 50) == [])

        var expected = LinkCounters()
        expected.datagramsSent = 200
        expected.bytesSent = UInt64(texts.reduce(0) { $0 + $1.utf8.count })
        expected.datagramsReceived = 1
        expected.bytesReceived = 4
        #expect(a.counters == expected)
        #expect(b.counters.datagramsReceived == 200)
        #expect(b.counters.bytesReceived == expected.bytesSent)
    }

    private func liveText(_ node: Node) -> String {
        "\(node.settings): live, up to \(node.payloadByteCountMax) bytes per datagram"
    }

    @Test(arguments: Kind.allCases)
    func theLargestDatagramFitsOnePacket(kind: Kind) throws {
        let network = try Network()
        let a = try Node(network.a, kind.transport(own: 1, peer: 2))
        let b = try Node(network.b, kind.transport(own: 2, peer: 1))
        try a.refresh()
        try b.refresh()
        #expect(a.payloadByteCountMax == kind.payloadByteCount)
        let bytes = (0..<kind.payloadByteCount).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        a.send(bytes: bytes)
        a.flush()
        #expect(try b.receive(1) == [bytes])
        // A fragmented datagram would be two packets.
        let statistics = "ip netns exec \(network.b) cat /proc/net/snmp /proc/net/snmp6"
        try run("\(statistics) | grep -qx 'Ip6ReasmReqds[[:space:]]*0'")
        try run("\(statistics) | awk '/^Ip: [0-9]/ { exit $15 }'")
    }

    @Test func eachListedPeerGetsItsCopy() throws {
        let network = try Network()
        try run("ip -n \(network.b) address add 192.168.100.3/24 dev sync0")
        let peers = [address("192.168.100.2"), address("192.168.100.3")]
        let a = try Node(network.a, .udp(local: address("192.168.100.1"), peers: peers, port: 3_780))
        let b = try Node(network.b, Kind.udp4.transport(own: 2, peer: 1))
        let third = try Node(network.b, Kind.udp4.transport(own: 3, peer: 1))
        for node in [a, b, third] { try node.refresh() }
        a.send(["one", "two"])
        #expect(try b.receiveTexts(2) == ["one", "two"])
        #expect(try third.receiveTexts(2) == ["one", "two"])
        #expect(a.counters.datagramsSent == 4)
        #expect(a.counters.bytesSent == 12)
    }

    @Test func jumboFramesAreUsedUpToTheLimit() throws {
        let network = try Network()
        let a = try Node(network.a, Kind.udp4.transport(own: 1, peer: 2))
        let b = try Node(network.b, Kind.udp4.transport(own: 2, peer: 1))
        try a.refresh()
        try b.refresh()
        try run("ip -n \(network.a) link set sync0 mtu 9000 && ip -n \(network.b) link set sync0 mtu 9000")
        let text = "udp 192.168.100.1 to 192.168.100.2 port 3780 on sync0: datagrams now carry up to 8900 bytes"
        #expect(try a.refresh() == .resized(text: text))
        let bytes = [UInt8](repeating: 0xa5, count: 8_900)
        a.send(bytes: bytes)
        a.flush()
        #expect(try b.receive(1) == [bytes])
    }
}
