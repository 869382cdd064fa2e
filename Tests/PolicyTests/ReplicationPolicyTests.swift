import Flow
import Policy
import Testing

@Suite("Replication policy")
struct ReplicationPolicyTests {
    private static let usual = ["127.0.0.0/8", "::1/128"]

    private func policy(
        _ protocols: [UInt8] = [IPProtocol.tcp, IPProtocol.udp],
        ignoring networks: [String] = usual,
        own: [String] = []
    ) throws -> ReplicationPolicy {
        var policy = ReplicationPolicy(
            protocols: ProtocolSet(protocols),
            ignoredNetworks: try networks.map { text in try Network(parsing: text) }
        )
        policy.setOwnAddresses(try own.map { text in try HostAddress(parsing: text) })
        return policy
    }

    /// A flow from `client` to `server`; `replySource` and `replyDestination` say what NAT makes of them.
    private func flow(
        _ client: String,
        _ server: String,
        replySource: String? = nil,
        replyDestination: String? = nil,
        protocolNumber: UInt8 = IPProtocol.tcp
    ) throws -> Flow {
        let source = try HostAddress(parsing: client)
        let original = Tuple(
            source: source.address,
            destination: try HostAddress(parsing: server).address,
            key: ProtocolKey(sourcePort: 40_000, destinationPort: 443),
            protocolNumber: protocolNumber,
            family: source.family
        )
        var reply = original.inverted
        if let replySource { reply.source = try HostAddress(parsing: replySource).address }
        if let replyDestination { reply.destination = try HostAddress(parsing: replyDestination).address }
        return Flow(original: original, reply: reply)
    }

    @Test("Only the listed protocols are replicated")
    func protocols() throws {
        let policy = try policy([IPProtocol.tcp, IPProtocol.udplite, 0, 255])
        for number in UInt8.min...UInt8.max {
            let flow = try flow("10.0.0.1", "192.0.2.1", protocolNumber: number)
            #expect(policy.admits(flow) == [0, 6, 136, 255].contains(number), "protocol \(number)")
        }
        #expect(policy.protocols.numbers == [0, 6, 136, 255])
    }

    @Test("Flows that start or end in an ignored network are left out")
    func ignoredNetworks() throws {
        let policy = try policy(ignoring: ["127.0.0.0/8", "10.9.0.0/16", "10.8.0.1", "2001:db8:9::/48", "::1/128"])
        #expect(try policy.admits(flow("10.0.0.1", "192.0.2.1")))
        #expect(try !policy.admits(flow("127.0.0.1", "127.0.0.1")))
        #expect(try !policy.admits(flow("10.9.255.255", "192.0.2.1")))
        #expect(try !policy.admits(flow("192.0.2.1", "10.9.0.0")))
        #expect(try !policy.admits(flow("192.0.2.1", "10.8.0.1")))
        #expect(try policy.admits(flow("192.0.2.1", "10.8.0.2")))
        #expect(try !policy.admits(flow("2001:db8::1", "2001:db8:9::1")))
        #expect(try policy.admits(flow("2001:db8::1", "2001:db8:a::1")))
        #expect(try !policy.admits(flow("::1", "::1")))
    }

    @Test("An IPv4 network ignores no IPv6 flow whose first bytes are the same")
    func families() throws {
        let policy = try policy(ignoring: ["32.1.0.0/16"])
        #expect(try policy.admits(flow("2001:db8::1", "2001:db8::2")))
        #expect(try !policy.admits(flow("32.1.13.184", "192.0.2.1")))
    }

    @Test("The router's own address counts as an end, not as what NAT writes into packets")
    func ownAddresses() throws {
        let policy = try policy(own: ["192.0.2.254", "2001:db8::254"])
        // ssh to the router, and from it.
        #expect(try !policy.admits(flow("10.0.0.1", "192.0.2.254")))
        #expect(try !policy.admits(flow("192.0.2.254", "198.51.100.1")))
        #expect(try !policy.admits(flow("2001:db8::1", "2001:db8::254")))
        // Source NAT to the router's address: the reply goes there, and is turned back.
        #expect(try policy.admits(flow("10.0.0.1", "198.51.100.1", replyDestination: "192.0.2.254")))
        // Destination NAT from the router's address: the reply comes from the real server.
        #expect(try policy.admits(flow("198.51.100.1", "192.0.2.254", replySource: "10.0.0.2")))
        // Redirected to the router itself: the reply comes from it.
        #expect(try !policy.admits(flow("10.0.0.1", "198.51.100.1", replySource: "192.0.2.254")))
    }

    @Test("Own addresses are replaced, and a change of order is none")
    func changingOwnAddresses() throws {
        var policy = try policy(own: ["192.0.2.1", "192.0.2.2"])
        let reversed = [try HostAddress(parsing: "192.0.2.2"), try HostAddress(parsing: "192.0.2.1")]
        #expect(policy.setOwnAddresses(reversed) == false)
        #expect(policy.setOwnAddresses([reversed[0]]) == true)
        #expect(try policy.admits(flow("192.0.2.1", "198.51.100.1")))
        #expect(try !policy.admits(flow("192.0.2.2", "198.51.100.1")))
        #expect(try !policy.admits(flow("127.0.0.1", "127.0.0.1")), "the operator's networks stay")
    }

    @Test("The built search agrees with a plain walk over the list")
    func searchAgreesWithWalk() throws {
        var random = SeededGenerator(seed: 7)
        for _ in 0..<200 {
            let networks = (0..<Int.random(in: 0...24, using: &random)).map { _ in
                // Few distinct bits, so that addresses hit and networks nest.
                let family: AddressFamily = Bool.random(using: &random) ? .ipv4 : .ipv6
                return Network(
                    containing: address(family, &random),
                    prefixLength: Int.random(in: 0...family.addressByteCount * 8, using: &random)
                )
            }
            let policy = ReplicationPolicy(protocols: ProtocolSet([6]), ignoredNetworks: networks)
            for _ in 0..<50 {
                let family: AddressFamily = Bool.random(using: &random) ? .ipv4 : .ipv6
                let ends = (address(family, &random).address, address(family, &random).address)
                let flow = Flow(
                    original: Tuple(
                        source: ends.0,
                        destination: ends.1,
                        key: ProtocolKey(raw: 0),
                        protocolNumber: 6,
                        family: family
                    )
                )
                let expected = !networks.contains { $0.contains(ends.0, family) || $0.contains(ends.1, family) }
                #expect(policy.admits(flow) == expected, "\(ends) in \(networks)")
            }
        }
    }

    private func address(_ family: AddressFamily, _ random: inout SeededGenerator) -> HostAddress {
        let mask: UInt64 = 0x0101_0101_8000_0001
        let high = (random.next() & mask).bigEndian
        return switch family {
        case .ipv4: HostAddress(address: Address(high: high & 0xffff_ffff, low: 0), family: .ipv4)
        case .ipv6: HostAddress(address: Address(high: high, low: (random.next() & mask).bigEndian), family: .ipv6)
        }
    }
}
