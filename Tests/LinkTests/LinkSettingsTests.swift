import Link
import Testing

@Suite struct LinkSettingsTests {
    private let local = address("192.168.100.1")
    private let peer = address("192.168.100.2")

    @Test func printsItself() throws {
        let multicast = try LinkSettings(
            transport: .multicast(group: address("225.0.0.50"), port: 3_780),
            interface: "eth2"
        )
        #expect(multicast.description == "multicast 225.0.0.50 port 3780 on eth2")
        #expect(multicast.family == .v4)
        #expect(multicast.socketBufferByteCount == 8_388_608)
        let udp = try LinkSettings(
            transport: .udp(local: address("fe80::1"), peers: [address("fe80::2"), address("fe80::3")], port: 1),
            interface: "sync.100"
        )
        #expect(udp.description == "udp fe80::1 to fe80::2, fe80::3 port 1 on sync.100")
        #expect(udp.family == .v6)
        let tcp = try LinkSettings(transport: .tcp(local: local, peers: [peer], port: 9), interface: "eth2")
        #expect(tcp.description == "tcp 192.168.100.1 to 192.168.100.2 port 9 on eth2")
        #expect(tcp.family == .v4)
    }

    @Test(arguments: ["", "a-name-of-16-byte", "eth2:1", "a/b", "eth 2", "."])
    func refusesNamesThatNoInterfaceHas(name: String) {
        #expect(throws: LinkError.interfaceName(name)) {
            try LinkSettings(transport: .udp(local: local, peers: [peer], port: 1), interface: name)
        }
    }

    @Test func refusesAddressesThatCannotWork() {
        func failure(_ transport: LinkSettings.Transport) -> LinkError? {
            do throws(LinkError) {
                _ = try LinkSettings(transport: transport, interface: "eth2")
                return nil
            } catch {
                return error
            }
        }
        let v6 = address("2001:db8::2")
        let group = address("225.0.0.50")
        let any = address("0.0.0.0")
        #expect(failure(.multicast(group: peer, port: 1)) == .notMulticast(peer))
        #expect(failure(.multicast(group: group, port: 0)) == .port)
        #expect(failure(.udp(local: local, peers: [peer], port: 0)) == .port)
        #expect(failure(.udp(local: local, peers: [], port: 1)) == .noPeers)
        #expect(failure(.udp(local: any, peers: [peer], port: 1)) == .notHost(any))
        #expect(failure(.udp(local: local, peers: [group], port: 1)) == .notHost(group))
        #expect(failure(.udp(local: local, peers: [peer, local], port: 1)) == .peerIsLocal(local))
        #expect(failure(.udp(local: local, peers: [v6], port: 1)) == .mixedFamilies(local: local, peer: v6))
        let link = address("fe80::2")
        #expect(failure(.udp(local: v6, peers: [link], port: 1)) == .mixedFamilies(local: v6, peer: link))
        #expect(failure(.udp(local: local, peers: [peer], port: 1)) == nil)
        #expect(failure(.udp(local: local, peers: [peer, peer], port: 1)) == .peerTwice(peer))
        #expect(failure(.tcp(local: local, peers: [peer], port: 0)) == .port)
        #expect(failure(.tcp(local: local, peers: [], port: 1)) == .noPeers)
        #expect(failure(.tcp(local: local, peers: [local], port: 1)) == .peerIsLocal(local))
        #expect(failure(.tcp(local: v6, peers: [link], port: 1)) == .mixedFamilies(local: v6, peer: link))
        #expect(failure(.tcp(local: local, peers: [peer], port: 1)) == nil)
    }

    @Test func errorsSayWhatWouldBeRight() {
        #expect(
            LinkError.notMulticast(peer).description
                == "192.168.100.2 is no multicast group: use one of 224.0.0.0/4 or ff00::/8, such as 225.0.0.50 or "
                + "ff02::50"
        )
        #expect(LinkError.peerIsLocal(local).description == "peer 192.168.100.1 is this node's own address")
    }
}
