import Testing

@testable import Gate

/// What passes a closed gate and what does not, clause by clause, with real packets.
@Suite(.enabled(if: GateNetwork.isAvailable, "needs root and the packages iproute2, nftables, conntrack"))
struct GateRuleTests {
    static let families = [GateNetwork.ipv4, GateNetwork.ipv6]

    @Test("A new flow to a forwarded address is dropped", arguments: families)
    func forwarded(_ addresses: GateNetwork.Addresses) throws {
        let network = try GateNetwork()
        #expect(try network.passedCount(of: .udp(to: addresses.forwarded)) == 3)
        let gate = try network.makeClosedGate()
        #expect(try network.passedCount(of: .udp(to: addresses.forwarded)) == 0)
        #expect(try gate.count()?.packets == 3)
        try gate.open()
        #expect(try network.passedCount(of: .udp(to: addresses.forwarded)) == 3)
    }

    @Test("A new flow to a floating address is dropped", arguments: families)
    func floating(_ addresses: GateNetwork.Addresses) throws {
        let network = try GateNetwork()
        let gate = try network.makeClosedGate()
        #expect(try network.passedCount(of: .udp(to: addresses.floating)) == 0)
        #expect(try gate.count()?.packets == 3)
    }

    @Test("What arrives for the router's own address passes, of whatever state", arguments: families)
    func own(_ addresses: GateNetwork.Addresses) throws {
        let network = try GateNetwork()
        let gate = try network.makeClosedGate()
        #expect(try network.passedCount(of: .udp(to: addresses.own)) == 3)
        #expect(try network.passedCount(of: .brokenTCP(to: addresses.own)) == 3)
        #expect(try network.counted("invalid") == 3)
        #expect(try gate.count() == GateCount())
    }

    @Test("An invalid packet is dropped, forwarded or for a floating address", arguments: families)
    func invalid(_ addresses: GateNetwork.Addresses) throws {
        let network = try GateNetwork()
        let gate = try network.makeClosedGate()
        #expect(try network.passedCount(of: .brokenTCP(to: addresses.forwarded)) == 0)
        #expect(try network.passedCount(of: .brokenTCP(to: addresses.floating)) == 0)
        #expect(try network.counted("invalid") == 6)
        #expect(try gate.count()?.packets == 6)
    }

    @Test("A flow passes from the moment it is in the kernel, and what is related to it", arguments: families)
    func known(_ addresses: GateNetwork.Addresses) throws {
        let network = try GateNetwork()
        let gate = try network.makeClosedGate()
        for destination in [addresses.forwarded, addresses.floating] {
            let probe = Probe.udp(to: destination, sourcePort: 4_001)
            #expect(try network.passedCount(of: probe) == 0)
            try network.inRouter(
                "conntrack -I -p udp -s \(addresses.client) -d \(destination) --sport 4001 --dport 4000 -t 100 "
                    + "-u SEEN_REPLY,ASSURED"
            )
            #expect(try network.passedCount(of: probe) == 3)
            // The client says that it cannot take what the other end has sent it.
            let answer = Probe.Datagram(
                source: destination,
                sourcePort: 4_000,
                destination: addresses.client,
                port: 4_001
            )
            #expect(try network.passedCount(of: .unreachable(to: destination, about: answer)) == 3)
        }
        #expect(try gate.count()?.packets == 6)
    }

    @Test(
        "An answer to a translated flow, addressed to the floating address, passes once that is known",
        arguments: families
    )
    func translated(_ addresses: GateNetwork.Addresses) throws {
        let network = try GateNetwork()
        let gate = try network.makeClosedGate()
        // From behind the router to port 4001 of the client, which sees it come from the floating address' port 4000.
        let answer = Probe.udp(to: addresses.floating, sourcePort: 4_001)
        #expect(try network.passedCount(of: answer) == 0)
        try network.inRouter(
            "conntrack -I -p udp -s \(addresses.forwarded) -d \(addresses.client) --sport 5000 --dport 4001 -t 100 "
                + "-r \(addresses.client) -q \(addresses.floating) --reply-port-src 4001 --reply-port-dst 4000"
        )
        #expect(try network.passedCount(of: answer) == 3)
        #expect(try gate.count()?.packets == 3)
    }

    @Test("An error about a flow that nobody knows is dropped", arguments: families)
    func unrelated(_ addresses: GateNetwork.Addresses) throws {
        let network = try GateNetwork()
        let gate = try network.makeClosedGate()
        let answer = Probe.Datagram(
            source: addresses.forwarded,
            sourcePort: 4_000,
            destination: addresses.client,
            port: 4_001
        )
        #expect(try network.passedCount(of: .unreachable(to: addresses.forwarded, about: answer)) == 0)
        #expect(try gate.count()?.packets == 3)
    }

    @Test("Untracked packets pass", arguments: families)
    func untracked(_ addresses: GateNetwork.Addresses) throws {
        let network = try GateNetwork()
        let gate = try network.makeClosedGate()
        try network.inRouter(
            "nft 'add table inet raw; add chain inet raw c { type filter hook prerouting priority -300; }; "
                + "add rule inet raw c udp dport 4002 notrack'"
        )
        #expect(try network.passedCount(of: .udp(to: addresses.forwarded, port: 4_002)) == 3)
        #expect(try network.passedCount(of: .udp(to: addresses.forwarded, port: 4_003)) == 0)
        #expect(try gate.count()?.packets == 3)
    }

    @Test(
        "Multicast, broadcast and anycast pass",
        arguments: ["224.0.0.18", "239.1.2.3", "10.1.0.255", "255.255.255.255", "ff02::12", "fd01::"]
    )
    func toMany(destination: String) throws {
        let network = try GateNetwork()
        let gate = try network.makeClosedGate()
        #expect(try network.passedCount(of: .udp(to: destination)) == 3)
        #expect(try gate.count() == GateCount())
    }

    @Test("Neighbour discovery passes even if conntrack finds it invalid, and nothing else of ICMPv6 does")
    func neighbourDiscovery() throws {
        let network = try GateNetwork()
        let gate = try network.makeClosedGate()
        let addresses = GateNetwork.ipv6
        let probe = Probe.brokenSolicitation(from: addresses.client, to: addresses.floating)
        #expect(try network.passedCount(of: probe) == 3)
        #expect(try network.counted("invalid") == 3)
        #expect(try gate.count() == GateCount())
        // The neighbour's question in earnest, asked again by unicast: the floating address must be found.
        try network.inClient("ip -6 neigh flush dev e0; ping -6 -c 1 -W 1 fd01::100 || true")
        #expect(try network.inClient("ip -6 neigh show fd01::100 dev e0").contains("lladdr"))
        #expect(try gate.count()?.packets == 1)
    }

    @Test("What arrives by an interface without a gate passes", arguments: families)
    func otherInterface(_ addresses: GateNetwork.Addresses) throws {
        let network = try GateNetwork()
        let gate = try network.makeGate(interfaces: ["in", "in00", "out0", "IN0"])
        try gate.close(ownAddresses: [])
        #expect(try network.passedCount(of: .udp(to: addresses.forwarded)) == 3)
        #expect(try gate.count() == GateCount())
    }

    @Test("An interface that comes while the gate is closed has it", arguments: families)
    func laterInterface(_ addresses: GateNetwork.Addresses) throws {
        let network = try GateNetwork()
        let gate = try network.makeClosedGate(interfaces: ["a-name-of-15-by", "late0"])
        #expect(try network.passedCount(of: .udp(to: addresses.forwarded)) == 3)
        // The link itself is the same, with another name from now on.
        try network.inRouter("ip link set in0 down; ip link set in0 name late0; ip link set late0 up")
        try network.inRouter(
            "ip addr replace fd01::1/64 dev late0 nodad; ip addr replace fd01::100/128 dev late0 nodad"
        )
        #expect(try network.passedCount(of: .udp(to: addresses.forwarded)) == 0)
        #expect(try gate.count()?.packets == 3)
    }
}
