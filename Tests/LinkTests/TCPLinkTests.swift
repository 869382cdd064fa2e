import Glibc
import Link
import SystemIO
import Testing

@Suite struct TCPLinkTests {
    @Test(arguments: StreamKind.allCases)
    func datagramsGoBothWays(kind: StreamKind) throws {
        let network = try Network()
        let a = try Node(network.a, kind.transport(own: 1, peers: [2]))
        let b = try Node(network.b, kind.transport(own: 2, peers: [1]))
        #expect(a.nextDeadline == nil)
        let change = try a.refresh()
        let text =
            "tcp \(kind.host(1)) to \(kind.host(2)) port 3780 on sync0: live, up to 8900 bytes per datagram"
        #expect(change == .opened(descriptor: a.descriptor ?? -1, text: text))
        #expect(a.nextDeadline == 0)
        #expect(a.stateText == "live; \(kind.host(2)) not connected (connecting)")
        #expect(a.isLive && !a.canSend)
        try connect([a, b])
        #expect(a.stateText == "live; \(kind.host(2)) connected")
        #expect(a.canSend)
        #expect(try a.refresh() == nil)

        let texts = (0..<200).map { "datagram \($0)" }
        a.send(texts)
        b.send(["back"])
        try serve([a, b]) { a.inbox.count == 1 && b.inbox.count == 200 }
        #expect(a.inbox == ["back"])
        #expect(b.inbox == texts)

        var expected = LinkCounters()
        expected.connectionsOpened = 1
        expected.datagramsSent = 200
        expected.bytesSent = UInt64(texts.reduce(0) { $0 + $1.utf8.count })
        expected.datagramsReceived = 1
        expected.bytesReceived = 4
        #expect(a.counters == expected)
        #expect(b.counters.datagramsReceived == 200)
        #expect(b.counters.bytesReceived == expected.bytesSent)
        // Connected, and nobody asks for anything: there is nothing to wait for.
        #expect(a.nextDeadline == nil)
    }

    @Test(arguments: StreamKind.allCases)
    func threeNodesHearEachOther(kind: StreamKind) throws {
        let segment = try Segment(hostCount: 3)
        let nodes = try (1...3).map { own in
            try Node(segment.hosts[own - 1], kind.transport(own: own, peers: [1, 2, 3].filter { $0 != own }))
        }
        try connect(nodes)
        #expect(nodes[0].stateText == "live; \(kind.host(2)) connected; \(kind.host(3)) connected")
        for (index, node) in nodes.enumerated() { node.send((0..<100).map { "\(index) says \($0)" }) }
        try serve(nodes) { nodes.allSatisfy { $0.inbox.count == 200 } }
        for (index, node) in nodes.enumerated() {
            for other in 0..<3 {
                let expected = other == index ? [] : (0..<100).map { "\(other) says \($0)" }
                #expect(node.inbox.filter { $0.hasPrefix("\(other) ") } == expected)
            }
            #expect(node.counters.datagramsSent == 200)
        }
    }

    @Test func theLargestDatagramNeedsNoLargePackets() throws {
        let network = try Network()
        for node in [network.a, network.b] { try run("ip -n \(node) link set sync0 mtu 576") }
        let a = try Node(network.a, StreamKind.tcp4.transport(own: 1, peers: [2]))
        let b = try Node(network.b, StreamKind.tcp4.transport(own: 2, peers: [1]))
        try connect([a, b])
        #expect(a.payloadByteCountMax == 8_900)
        let texts = (0..<10).map { String(repeating: "\($0)", count: 8_900) }
        a.send(texts)
        try serve([a, b]) { b.inbox.count == 10 }
        #expect(b.inbox == texts)
    }

    @Test func whatOneReadBringsPastTheBatchIsNotForgotten() throws {
        let network = try Network()
        let a = try Node(network.a, StreamKind.tcp4.transport(own: 1, peers: [2]))
        let b = try Node(network.b, StreamKind.tcp4.transport(own: 2, peers: [1]))
        try connect([a, b])
        // 8,000 bytes in one read, 64 datagrams in one batch: for the other 936 no socket says anything any more. Each
        // batch here is asked for only because the descriptor is readable.
        let texts = (0..<1_000).map { "\(1_000 + $0)" }
        a.send(texts)
        usleep(100_000)
        #expect(try b.receiveTexts(1_000) == texts)
        #expect(try b.receiveTexts(1, quietMilliseconds: 0) == [])
        var loop = try EventLoop.open()
        try loop.add(b.descriptor ?? -1, token: 0, interest: .readable)
        #expect(try loop.wait(timeoutMilliseconds: 50) == 0)
    }

    @Test func aBusyPeerDoesNotSilenceTheOther() throws {
        let segment = try Segment(hostCount: 3)
        let kind = StreamKind.tcp4
        let nodes = try (1...3).map { own in
            try Node(segment.hosts[own - 1], kind.transport(own: own, peers: [1, 2, 3].filter { $0 != own }))
        }
        try connect(nodes)
        nodes[1].send((0..<6_400).map { "busy \($0)" })
        nodes[2].send(["quiet"])
        usleep(100_000)
        // Two batches are enough to have heard both.
        let heard = try nodes[0].receiveTexts(65)
        #expect(heard.contains("quiet"))
        #expect(heard.contains("busy 0"))
        #expect(heard.count <= 128)
    }

    @Test func aPeerThatIsNotThereIsSaid() throws {
        let segment = try Segment(hostCount: 2)
        let a = try Node(segment.hosts[0], StreamKind.tcp4.transport(own: 1, peers: [2, 3]))
        try a.refresh()
        try serve([a]) { a.stateText.contains("refused") && a.stateText.contains("no answer") }
        #expect(
            a.stateText == "live; 192.168.100.2 not connected (Connection refused (ECONNREFUSED)); "
                + "192.168.100.3 not connected (no answer)"
        )
        a.send(["nobody", "hears"])
        #expect(a.counters.droppedNotConnected == 4)
        #expect(a.counters.datagramsSent == 0)
        #expect(a.isLive && !a.canSend)
        // It is tried again, and not all the time.
        #expect((a.nextDeadline ?? 0) > 0)
    }

    @Test func oneWayIsSaidOnBothSides() throws {
        let network = try Network()
        let a = try Node(network.a, StreamKind.tcp4.transport(own: 1, peers: [2]))
        let b = try Node(network.b, StreamKind.tcp4.transport(own: 2, peers: [1]))
        // A firewall on a that lets nobody in.
        let nft = "ip netns exec \(network.a) nft"
        try run("\(nft) add table ip t && \(nft) 'add chain ip t in { type filter hook input priority 0; }'")
        try run("\(nft) add rule ip t in tcp dport 3780 reject with tcp reset")
        try a.refresh()
        try b.refresh()
        try serve([a, b]) { a.canSend && b.stateText.contains("refused") }
        #expect(a.stateText == "live; 192.168.100.2 connected, but it has not connected to this node")
        #expect(
            b.stateText == "live; 192.168.100.1 connected to this node, but not from it "
                + "(Connection refused (ECONNREFUSED))"
        )
        a.send(["still works"])
        try serve([a, b]) { b.inbox == ["still works"] }
    }

    @Test(arguments: StreamKind.allCases)
    func aPortInUseIsSaidAndWaitedFor(kind: StreamKind) throws {
        let network = try Network()
        var first: Node? = try Node(network.a, kind.transport(own: 1, peers: [2]))
        try first?.refresh()
        #expect(first?.isLive == true)
        let second = try Node(network.a, kind.transport(own: 1, peers: [2]))
        try second.refresh()
        #expect(!second.isLive)
        #expect(
            second.stateText
                == "port 3780 of \(kind.host(1)) is already used by another program (ss -tlpn sport = :3780)"
        )
        second.send(["lost"])
        #expect(second.counters.droppedNotLive == 1)
        first = nil
        _ = try second.refreshPastForks()
        #expect(second.isLive)
    }

    @Test func smallBuffersAreReported() throws {
        let network = try Network()
        let transport = StreamKind.tcp4.transport(own: 1, peers: [2])
        let a = try Node(network.a, transport, socketBufferByteCount: Int(Int32.max))
        guard case .opened(_, let text)? = try a.refresh() else {
            Issue.record("not opened: \(a.stateText)")
            return
        }
        #expect(text.hasSuffix("give it CAP_NET_ADMIN, or raise net.core.rmem_max and net.core.wmem_max"))
    }
}
