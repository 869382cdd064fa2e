import Glibc
import Link
import SystemIO
import Testing

@Suite struct SyncLinkDropTests {
    @Test(arguments: [("10.9.9.3", "192.168.100.2"), ("fd00:9::3", "fd00:100::2")])
    func aUnicastDatagramByAnotherInterfaceIsDroppedAndCounted(source: String, target: String) throws {
        let network = try Network()
        let isV4 = address(target).family == .v4
        // The intruder's address is even a listed peer: only its way in is wrong.
        let honest = isV4 ? "192.168.100.1" : "fd00:100::1"
        let peers = [address(honest), address(source)]
        let b = try Node(network.b, .udp(local: address(target), peers: peers, port: 3_780))
        let intruder = try Node(
            network.c,
            interface: "lan0",
            .udp(local: address(source), peers: [address(target)], port: 3_780)
        )
        let a = try Node(network.a, .udp(local: address(honest), peers: [address(target)], port: 3_780))
        for node in [a, b, intruder] { try node.refresh() }

        intruder.send(["bad", "bad", "bad"])
        #expect(intruder.counters.datagramsSent == 3)
        #expect(try b.receiveTexts(1, quietMilliseconds: 100) == [])
        a.send(["good"])
        #expect(try b.receiveTexts(1) == ["good"])
        #expect(b.counters.droppedForeignInterface == 3)
        #expect(b.counters.datagramsReceived == 1)
        #expect(b.counters.droppedByKernel == 0)

        // The count survives the sockets it was taken from.
        try run("ip -n \(network.b) link set sync0 down")
        try b.refresh()
        #expect(!b.isLive)
        #expect(b.counters.droppedForeignInterface == 3)
    }

    @Test(arguments: ["225.0.0.50", "ff05::50"])
    func aMulticastDatagramByAnotherInterfaceIsDroppedAndCounted(group: String) throws {
        let network = try Network()
        let b = try Node(network.b, .multicast(group: address(group), port: 3_780))
        let intruder = try Node(network.c, interface: "lan0", .multicast(group: address(group), port: 3_780))
        let a = try Node(network.a, .multicast(group: address(group), port: 3_780))
        // Until a program on b joins the group on lan0, the kernel does not even look at such datagrams.
        let neighbour = try Node(network.b, interface: "lan0", .multicast(group: address(group), port: 3_781))
        for node in [a, b, intruder, neighbour] { try node.refresh() }

        intruder.send(["bad", "bad"])
        a.send(["good"])
        #expect(try b.receiveTexts(1) == ["good"])
        #expect(try b.receiveTexts(1, quietMilliseconds: 100) == [])
        #expect(b.counters.droppedForeignInterface == 2)
        #expect(b.counters.datagramsReceived == 1)
    }

    @Test func anUnlistedHostIsDroppedAndCounted() throws {
        let network = try Network()
        try run("ip -n \(network.a) address add 192.168.100.9/24 dev sync0")
        let b = try Node(network.b, Kind.udp4.transport(own: 2, peer: 1))
        let stranger = try Node(network.a, Kind.udp4.transport(own: 9, peer: 2))
        try b.refresh()
        try stranger.refresh()
        stranger.send(["let me in"])
        #expect(try b.receiveTexts(1, quietMilliseconds: 100) == [])
        #expect(b.counters.droppedForeignAddress == 1)
        #expect(b.counters.datagramsReceived == 0)
    }

    @Test func whatIsLongerThanAnyNodeSendsIsDroppedAndCounted() throws {
        let network = try Network()
        try run("ip -n \(network.a) link set sync0 mtu 12000 && ip -n \(network.b) link set sync0 mtu 12000")
        let b = try Node(network.b, Kind.udp4.transport(own: 2, peer: 1))
        try b.refresh()
        for byteCount in [9_217, 9_216, 10_000] {
            let send = "dd if=/dev/zero bs=\(byteCount) count=1 status=none > /dev/udp/192.168.100.2/3780"
            try run("ip netns exec \(network.a) bash -c '\(send)'")
        }
        #expect(try b.receive(2, quietMilliseconds: 100).map(\.count) == [9_216])
        #expect(b.counters.droppedTruncated == 2)
        #expect(b.counters.datagramsReceived == 1)
    }

    @Test func aFullReceiveBufferIsCounted() throws {
        let network = try Network()
        let b = try Node(network.b, Kind.udp4.transport(own: 2, peer: 1), socketBufferByteCount: 8_192)
        let a = try Node(network.a, Kind.udp4.transport(own: 1, peer: 2))
        try a.refresh()
        try b.refresh()
        a.send((0..<640).map { "datagram \($0)" })
        let received = try b.receive(640, quietMilliseconds: 100).count
        #expect(received > 0)
        #expect(b.counters.droppedByKernel > 0)
        #expect(UInt64(received) + b.counters.droppedByKernel == 640)
    }

    @Test func aFirewalledDatagramDoesNotTakeTheOthersWithIt() throws {
        let network = try Network()
        let a = try Node(network.a, Kind.udp4.transport(own: 1, peer: 2))
        let b = try Node(network.b, Kind.udp4.transport(own: 2, peer: 1))
        try a.refresh()
        try b.refresh()
        let nft = "ip netns exec \(network.a) nft"
        try run("\(nft) add table ip t")
        try run("\(nft) 'add chain ip t out { type filter hook output priority 0; }'")
        // By length, so that the verdict on a datagram is the same when it is tried again: sendmmsg hides the error of
        // any datagram but the first, and the next call begins with that one. Length 9 is one byte of payload.
        try run("\(nft) add rule ip t out udp dport 3780 udp length 9 drop")
        let texts = (0..<100).map { "\($0)" }
        a.send(texts)
        #expect(try b.receiveTexts(90) == Array(texts[10...]))
        a.send(["10", "x", "11", "y", "12"])
        #expect(try b.receiveTexts(3) == ["10", "11", "12"])
        #expect(a.counters.sendErrors == [EPERM: 12])
        #expect(a.counters.sendErrorCount == 12)
        #expect(a.counters.datagramsSent == 93)
    }

    @Test func aDatagramPastTheMTUStillArrives() throws {
        let network = try Network()
        let a = try Node(network.a, Kind.udp4.transport(own: 1, peer: 2))
        let b = try Node(network.b, Kind.udp4.transport(own: 2, peer: 1))
        try a.refresh()
        try b.refresh()
        // The engine builds for the MTU it knows; here it shrinks between building and sending. The kernel fragments.
        a.send(bytes: [1])
        a.send(bytes: [UInt8](repeating: 2, count: 1_472))
        a.send(bytes: [3])
        try run("ip -n \(network.a) link set sync0 mtu 1000")
        a.flush()
        #expect(try b.receive(3).map(\.count) == [1, 1_472, 1])
        #expect(a.counters.sendErrors == [:])
    }

    @Test func sendingWhileNotLiveIsCounted() throws {
        let network = try Network(isWired: false)
        let a = try Node(network.a, Kind.udp4.transport(own: 1, peer: 2))
        a.send(["one", "two"])
        #expect(a.counters.droppedNotLive == 2)
        #expect(a.counters.datagramsSent == 0)
        #expect(try a.receive(1).isEmpty)
    }
}
