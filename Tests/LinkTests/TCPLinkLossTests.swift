import Glibc
import Link
import SystemIO
import Testing

/// What happens to connections, and that the stream survives it.
@Suite struct TCPLinkLossTests {
    private func pair(
        _ network: borrowing Network,
        _ kind: StreamKind = .tcp4,
        bufferByteCount: Int = 8 << 20
    ) throws -> (a: Node, b: Node) {
        let a = try Node(
            network.a,
            kind.transport(own: 1, peers: [2]),
            socketBufferByteCount: bufferByteCount
        )
        let b = try Node(
            network.b,
            kind.transport(own: 2, peers: [1]),
            socketBufferByteCount: bufferByteCount
        )
        try connect([a, b])
        return (a, b)
    }

    @Test(arguments: StreamKind.allCases)
    func aPeerThatRestartsIsConnectedAgain(kind: StreamKind) throws {
        let network = try Network()
        let a = try Node(network.a, kind.transport(own: 1, peers: [2]))
        for turn in 1...3 {
            try liveOnce(network, kind, a, turn)
            try serve([a]) { !a.canSend }
            a.send(["to nobody"])
            #expect(a.counters.droppedNotConnected == UInt64(turn))
        }
        #expect(a.counters.connectionsOpened == 3)
    }

    /// A life of b's, from start to end.
    private func liveOnce(_ network: Network, _ kind: StreamKind, _ a: Node, _ turn: Int) throws {
        let b = try Node(network.b, kind.transport(own: 2, peers: [1]))
        try connect([a, b])
        a.clearInbox()
        a.send(["to \(turn)"])
        b.send(["from \(turn)"])
        try serve([a, b]) { b.inbox.count == 1 && a.inbox.count == 1 }
        #expect(b.inbox == ["to \(turn)"])
        #expect(a.inbox == ["from \(turn)"])
    }

    @Test func aCutIsNoticedAndHeals() throws {
        let network = try Network()
        let (a, b) = try pair(network)
        let nft = "ip netns exec \(network.a) nft"
        try run("\(nft) add table inet t && \(nft) 'add chain inet t in { type filter hook input priority 0; }'")
        try run("\(nft) add rule inet t in iifname sync0 drop")
        // Nobody tells of it: only that nothing is acknowledged any more.
        a.send(["into the dark"])
        b.send(["into the dark too"])
        try serve([a, b]) { !a.canSend && !b.canSend }
        #expect(a.isLive && b.isLive)
        #expect(a.stateText.contains("192.168.100.2 not connected ("))
        try run("\(nft) flush chain inet t in")
        try serve([a, b]) { a.isConnectedBothWays && b.isConnectedBothWays }
        a.clearInbox()
        b.clearInbox()
        a.send(["again"])
        b.send(["here too"])
        // What was in the dark may have come through on the old connection, or not.
        try serve([a, b]) { b.inbox.last == "again" && a.inbox.last == "here too" }
    }

    @Test func aSilentPeerThatIsGoneLosesItsConnection() throws {
        let network = try Network()
        let (a, b) = try pair(network)
        // b's host dies: it says nothing any more, not even that it is gone.
        let nft = "ip netns exec \(network.b) nft"
        try run("\(nft) add table inet t && \(nft) 'add chain inet t out { type filter hook output priority 0; }'")
        try run("\(nft) add rule inet t out oifname sync0 drop")
        try serve([a]) { a.stateText == "live; 192.168.100.2 not connected (no answer)" }
        #expect(b.isLive)
    }

    @Test(arguments: StreamKind.allCases)
    func theMonitorAloneBringsItThroughEverything(kind: StreamKind) throws {
        let network = try Network(isWired: false)
        let a = try Node(network.a, kind.transport(own: 1, peers: [2]))
        let b = try Node(network.b, kind.transport(own: 2, peers: [1]))
        #expect(try a.refresh() != nil)
        for turn in ["wired", "re-created"] {
            try network.wire()
            try a.wait(untilLive: true)
            try b.wait(untilLive: true)
            try serve([a, b]) { a.isConnectedBothWays && b.isConnectedBothWays }
            a.clearInbox()
            a.send([turn])
            b.send([turn])
            try serve([a, b]) { a.inbox.last == turn && b.inbox.last == turn }
            try run("ip -n \(network.a) link del sync0")
            try a.wait(untilLive: false)
            try b.wait(untilLive: false)
            #expect(a.stateText == "interface sync0 does not exist")
            #expect(a.descriptor == nil && a.nextDeadline == nil && !a.canSend)
        }
    }

    @Test(arguments: [(100, 64), (1_400, 64), (8_900, 16)])
    func aPeerThatNeverReadsCostsDatagramsAndNothingElse(byteCount: Int, batchCount: Int) throws {
        let network = try Network()
        let (a, b) = try pair(network, bufferByteCount: 65_536)
        let filler = String(repeating: "x", count: byteCount - 8)
        var number = 0
        func sendSome() {
            a.send((0..<batchCount).map { "\(10_000_000 + number + $0)" + filler })
            number += batchCount
        }
        // b does not read; a goes on sending all the same, and returns from each send.
        var turns = 0
        while a.counters.droppedBufferFull < 100, turns < 1_000 {
            sendSome()
            turns += 1
        }
        #expect(a.counters.droppedBufferFull >= 100)
        #expect(a.counters.datagramsSent < UInt64(number))

        // b reads again, while a sends on through a buffer that is full more often than not.
        for _ in 0..<100 {
            sendSome()
            try b.serve()
            try a.serve()
        }
        a.send(["the end"])
        try serve([a, b]) {
            if b.inbox.last != "the end" { a.send(["the end"]) }
            return b.inbox.last == "the end"
        }
        let numbers = b.inbox.filter { $0 != "the end" }.map { text in
            text.utf8.count == byteCount && text.hasSuffix(filler) ? Int(text.prefix(8)) ?? 0 : 0
        }
        #expect(numbers.first == 10_000_000)
        #expect(!numbers.contains(0), "a datagram came out of the stream that nobody sent")
        #expect(numbers == numbers.sorted() && Set(numbers).count == numbers.count)
        #expect(b.counters.connectionsGarbled == 0)
        // Each one was sent, or counted as dropped. (On a slow machine the connection may have been given up meanwhile,
        // which costs what was under way.)
        let counters = a.counters
        let ends =
            counters.datagramsSent + counters.droppedBufferFull + counters.droppedNotConnected
            + counters.sendErrorCount
        #expect(ends >= UInt64(number))
        if counters.connectionsOpened == 1 {
            try serve([a, b]) { b.counters.datagramsReceived == a.counters.datagramsSent }
        }
        #expect(UInt64(numbers.count) < UInt64(number))
    }

    @Test func whatWasBegunIsFinishedWithoutAnotherSend() throws {
        let network = try Network()
        let (a, b) = try pair(network, bufferByteCount: 65_536)
        var number: UInt64 = 0
        func settled() -> UInt64 { a.counters.datagramsSent + a.counters.droppedBufferFull }
        // Until the buffer is full in the middle of a datagram.
        while settled() == number, number < 10_000 {
            a.send([String(repeating: "x", count: 8_900)])
            number += 1
        }
        #expect(settled() == number - 1)
        try serve([a, b]) { settled() == number && b.counters.datagramsReceived == a.counters.datagramsSent }
        #expect(b.inbox.allSatisfy { $0.utf8.count == 8_900 })
    }

    @Test func aDeafPeerDoesNotHoldUpTheOther() throws {
        let segment = try Segment(hostCount: 3)
        let nodes = try (1...3).map { own in
            try Node(
                segment.hosts[own - 1],
                StreamKind.tcp4.transport(own: own, peers: [1, 2, 3].filter { $0 != own }),
                socketBufferByteCount: 65_536
            )
        }
        try connect(nodes)
        let filler = String(repeating: "x", count: 1_000)
        var sent: [String] = []
        while nodes[0].counters.droppedBufferFull < 100 {
            let texts = (0..<8).map { "\(sent.count + $0) \(filler)" }
            nodes[0].send(texts)
            sent += texts
            let before = nodes[1].inbox.count
            try serve([nodes[0], nodes[1]]) { nodes[1].inbox.count == before + 8 }
        }
        #expect(nodes[1].inbox == sent)
        #expect(nodes[2].inbox.isEmpty)
    }
}
