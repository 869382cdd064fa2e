import Testing

@testable import Link

@Suite struct LinkPlanTests {
    private func interface(
        up: Bool = true,
        running: Bool = true,
        mtu: Int = 1_500,
        _ addresses: [String] = []
    ) -> Interface {
        Interface(
            name: "eth2",
            index: 4,
            isUp: up,
            isRunning: running,
            mtu: mtu,
            addresses: addresses.map { address($0) }
        )
    }

    private func udp(_ local: String, _ peer: String) throws -> LinkSettings {
        let transport = LinkSettings.Transport.udp(local: address(local), peers: [address(peer)], port: 3_780)
        return try LinkSettings(transport: transport, interface: "eth2")
    }

    private func multicast(_ group: String) throws -> LinkSettings {
        try LinkSettings(transport: .multicast(group: address(group), port: 3_780), interface: "eth2")
    }

    @Test func saysWhatIsMissing() throws {
        let v4 = try udp("10.0.0.1", "10.0.0.2")
        let other = Interface(name: "eth3", index: 5, isUp: true, isRunning: true, mtu: 1_500, addresses: [])
        #expect(LinkPlan(v4, [other]) == .wait("interface eth2 does not exist"))
        #expect(LinkPlan(v4, [interface(up: false)]) == .wait("interface eth2 is down (ip link set eth2 up)"))
        #expect(LinkPlan(v4, [interface(running: false)]) == .wait("interface eth2 has no carrier"))
        #expect(
            LinkPlan(v4, [interface(["10.0.0.2", "fe80::1"])]) == .wait("interface eth2 has no address 10.0.0.1 yet")
        )
        let group = try multicast("225.0.0.50")
        #expect(LinkPlan(group, [interface(["fe80::1"])]) == .wait("interface eth2 has no IPv4 address yet"))
        let group6 = try multicast("ff02::50")
        #expect(LinkPlan(group6, [interface(["10.0.0.1"])]) == .wait("interface eth2 has no IPv6 address yet"))
        #expect(
            LinkPlan(v4, [interface(mtu: 667, ["10.0.0.1"])])
                == .wait("interface eth2 has an MTU of 667, which is too small: 668 are needed")
        )
    }

    @Test(arguments: [(668, 640), (1_500, 1_472), (8_927, 8_899), (8_928, 8_900), (65_536, 8_900)])
    func payloadFitsTheMTU(mtu: Int, payload: Int) throws {
        let plan = OpenPlan(interfaceIndex: 4, payloadByteCountMax: payload, probeAddresses: [])
        #expect(LinkPlan(try udp("10.0.0.1", "10.0.0.2"), [interface(mtu: mtu, ["10.0.0.1"])]) == .open(plan))
        #expect(LinkPlan(try multicast("225.0.0.50"), [interface(mtu: mtu, ["10.0.0.1"])]) == .open(plan))
    }

    @Test(arguments: [68, 1_500, 65_536])
    func tcpKnowsNoMTU(mtu: Int) throws {
        let transport = LinkSettings.Transport.tcp(local: address("10.0.0.1"), peers: [address("10.0.0.2")], port: 1)
        let settings = try LinkSettings(transport: transport, interface: "eth2")
        let plan = OpenPlan(interfaceIndex: 4, payloadByteCountMax: 8_900, probeAddresses: [])
        #expect(LinkPlan(settings, [interface(mtu: mtu, ["10.0.0.1"])]) == .open(plan))
        #expect(
            LinkPlan(settings, [interface(mtu: mtu, ["10.0.0.2"])])
                == .wait("interface eth2 has no address 10.0.0.1 yet")
        )
    }

    @Test func sixNeedsTwentyBytesMoreAndAUsableAddress() throws {
        let own = ["10.0.0.1", "fe80::1", "2001:db8::1"]
        let unicast = OpenPlan(interfaceIndex: 4, payloadByteCountMax: 1_452, probeAddresses: [])
        #expect(LinkPlan(try udp("2001:db8::1", "2001:db8::2"), [interface(own)]) == .open(unicast))
        let probes = [address("fe80::1"), address("2001:db8::1")]
        let group = OpenPlan(interfaceIndex: 4, payloadByteCountMax: 1_452, probeAddresses: probes)
        #expect(LinkPlan(try multicast("ff02::50"), [interface(own)]) == .open(group))
    }
}
