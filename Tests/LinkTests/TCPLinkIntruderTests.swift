import Glibc
import Link
import SystemIO
import Testing

/// Hosts and programs that do not belong there.
@Suite struct TCPLinkIntruderTests {
    @Test func anUnlistedHostIsRefusedAndCounted() throws {
        let network = try Network()
        try run("ip -n \(network.a) address add 192.168.100.9/24 dev sync0")
        let a = try Node(network.a, StreamKind.tcp4.transport(own: 1, peers: [2]))
        let b = try Node(network.b, StreamKind.tcp4.transport(own: 2, peers: [1]))
        try connect([a, b])
        var strangers: [RawSocket] = []
        for number in 1...40 {
            let stranger = try RawSocket.connect(in: network.a, from: "192.168.100.9", to: "192.168.100.2")
            try stranger.write(frame("let me in"))
            strangers.append(stranger)
            try serve([a, b]) { b.counters.connectionsRefused == UInt64(number) }
        }
        #expect(strangers.filter { !$0.isClosedByPeer }.isEmpty)
        a.send(["good"])
        try serve([a, b]) { !b.inbox.isEmpty }
        #expect(b.inbox == ["good"])
        #expect(b.counters.datagramsReceived == 1)
        #expect(b.counters.connectionsGarbled == 0)
        #expect(b.stateText == "live; 192.168.100.1 connected")
    }

    @Test func nobodyGetsInByAnotherInterface() throws {
        let network = try Network()
        // Its address is even a listed peer: only its way in is wrong.
        let peers = [address("192.168.100.1"), address("10.9.9.3")]
        let b = try Node(network.b, .tcp(local: address("192.168.100.2"), peers: peers, port: 3_780))
        try b.refresh()
        #expect(throws: SystemError(call: "bind or connect", errno: ECONNREFUSED, context: "192.168.100.2")) {
            try RawSocket.connect(in: network.c, from: "10.9.9.3", to: "192.168.100.2")
        }
        _ = try RawSocket.connect(in: network.a, from: "192.168.100.1", to: "192.168.100.2")
    }

    @Test(arguments: [[0, 0], [3, 0], [0x01, 0x24], [0xff, 0xff], Array("GET / HTTP/1.1\r\n\r\n".utf8)])
    func garbageClosesTheConnectionAndIsCounted(garbage: [UInt8]) throws {
        let network = try Network()
        let b = try Node(network.b, StreamKind.tcp4.transport(own: 2, peers: [1]))
        try b.refresh()
        let raw = try RawSocket.connect(in: network.a, from: "192.168.100.1", to: "192.168.100.2")
        try raw.write(frame("good") + frame("also good") + garbage + frame("not any more"))
        try serve([b]) { b.counters.connectionsGarbled == 1 }
        #expect(b.inbox == ["good", "also good"])
        #expect(raw.isClosedByPeer)
        #expect(b.counters.droppedIncomplete == 0)

        // The next connection begins anew.
        let next = try RawSocket.connect(in: network.a, from: "192.168.100.1", to: "192.168.100.2")
        try next.write(frame("new start"))
        try serve([b]) { b.inbox.count == 3 }
        #expect(b.inbox.last == "new start")
        #expect(b.counters.connectionsGarbled == 1)
    }

    @Test func aDatagramInSinglePacketsOfOneByte() throws {
        let network = try Network()
        let b = try Node(network.b, StreamKind.tcp4.transport(own: 2, peers: [1]))
        try b.refresh()
        let raw = try RawSocket.connect(in: network.a, from: "192.168.100.1", to: "192.168.100.2")
        for byte in frame("slowly") + frame("but surely") {
            try raw.write([byte])
            try serve([b], milliseconds: 2)
        }
        try serve([b]) { b.inbox == ["slowly", "but surely"] }
        #expect(b.counters.connectionsGarbled == 0)
    }

    @Test func halfADatagramAtTheEndIsCounted() throws {
        let network = try Network()
        let b = try Node(network.b, StreamKind.tcp4.transport(own: 2, peers: [1]))
        try b.refresh()
        var raw: RawSocket? = try RawSocket.connect(in: network.a, from: "192.168.100.1", to: "192.168.100.2")
        try raw?.write(frame("whole") + frame("never to be whole").dropLast(4))
        try serve([b]) { b.inbox == ["whole"] }
        #expect(b.counters.droppedIncomplete == 0)
        raw = nil
        try serve([b]) { b.counters.droppedIncomplete == 1 }
        #expect(b.inbox == ["whole"])
        #expect(b.counters.datagramsReceived == 1)
    }

    @Test func onePeerKeepsTwoConnectionsAndNoMore() throws {
        let network = try Network()
        let b = try Node(network.b, StreamKind.tcp4.transport(own: 2, peers: [1]))
        try b.refresh()
        var connections: [RawSocket] = []
        for number in 0..<20 {
            let raw = try RawSocket.connect(in: network.a, from: "192.168.100.1", to: "192.168.100.2")
            try raw.write(frame("number \(number)"))
            connections.append(raw)
            try serve([b]) { b.inbox.count == number + 1 }
        }
        #expect(connections.map(\.isClosedByPeer) == (0..<20).map { $0 < 18 })
        try connections[18].write(frame("older"))
        try connections[19].write(frame("newer"))
        try serve([b]) { b.inbox.count == 22 }
        #expect(Set(b.inbox.suffix(2)) == ["older", "newer"])
    }

    @Test func aPeerThatTalksBackIsHungUpOn() throws {
        let network = try Network()
        let listener = try RawSocket.listen(in: network.b, at: "192.168.100.2")
        let a = try Node(network.a, StreamKind.tcp4.transport(own: 1, peers: [2]))
        try a.refresh()
        try serve([a]) { a.canSend }
        let accepted = try listener.accept()
        try accepted.write(Array("220 mail.example.org ESMTP\r\n".utf8))
        try serve([a]) { a.counters.connectionsGarbled == 1 && !a.canSend }
        #expect(
            a.stateText == "live; 192.168.100.2 not connected (it sent bytes where none belong: no FlowSync node "
                + "listens there)"
        )
    }

    @Test func whatIsSentLiesInTheStreamAsAgreed() throws {
        let network = try Network()
        let listener = try RawSocket.listen(in: network.b, at: "192.168.100.2")
        let a = try Node(network.a, StreamKind.tcp4.transport(own: 1, peers: [2]))
        try a.refresh()
        try serve([a]) { a.canSend }
        let accepted = try listener.accept()
        let long = String(repeating: "y", count: 300)
        a.send(["four", long])
        var bytes = [UInt8](repeating: 0, count: 400)
        let count = recv(accepted.descriptor, &bytes, 308, Int32(MSG_WAITALL))
        #expect(count == 308)
        #expect(Array(bytes[..<308]) == [4, 0] + Array("four".utf8) + [0x2c, 0x01] + Array(long.utf8))
    }
}
