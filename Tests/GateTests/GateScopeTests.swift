import Flow
import Policy
import Testing

@testable import Gate

/// For which packets a gate is, with real packets.
@Suite(.enabled(if: GateNetwork.isAvailable, "needs root and the packages iproute2, nftables, conntrack"))
struct GateScopeTests {
    private static func match(_ networks: String..., zones: [UInt16] = []) throws -> PacketMatch {
        PacketMatch(networks: try networks.map { try Network(parsing: $0) }, zones: zones)
    }

    /// A network of `addresses.forwarded` that does not end with a byte, nor hold `addresses.otherForwarded`.
    private static func servers(_ addresses: GateNetwork.Addresses) -> String {
        addresses.own.contains(":") ? "fd02::8/125" : "10.2.0.8/29"
    }

    @Test("A group's gate drops what goes to its networks, and nothing else", arguments: GateRuleTests.families)
    func destination(_ addresses: GateNetwork.Addresses) throws {
        let network = try GateNetwork()
        let scope = GateScope(included: try Self.match(Self.servers(addresses), addresses.floating))
        let gate = try network.makeClosedGate(table: "flowsync-web", scope: scope)
        #expect(try network.passedCount(of: .udp(to: addresses.forwarded)) == 0)
        #expect(try network.passedCount(of: .brokenTCP(to: addresses.forwarded)) == 0)
        #expect(try network.passedCount(of: .udp(to: addresses.floating)) == 0)
        #expect(try gate.count()?.packets == 9)
        #expect(try network.passedCount(of: .udp(to: addresses.otherForwarded)) == 3)
        #expect(try network.passedCount(of: .brokenTCP(to: addresses.otherForwarded)) == 3)
        #expect(try gate.open()?.packets == 9)
        #expect(try network.passedCount(of: .udp(to: addresses.forwarded)) == 3)
    }

    @Test("It drops what comes from its networks, and nothing else", arguments: GateRuleTests.families)
    func source(_ addresses: GateNetwork.Addresses) throws {
        let network = try GateNetwork()
        let scope = GateScope(included: try Self.match(addresses.otherClient))
        let gate = try network.makeClosedGate(table: "flowsync-web", scope: scope)
        #expect(try network.passedCount(of: .udp(to: addresses.forwarded, from: addresses.otherClient)) == 0)
        #expect(try network.passedCount(of: .udp(to: addresses.forwarded, from: addresses.client)) == 3)
        #expect(try gate.count()?.packets == 3)
    }

    @Test("The gate of all others lets the groups' packets pass, either way", arguments: GateRuleTests.families)
    func others(_ addresses: GateNetwork.Addresses) throws {
        let network = try GateNetwork()
        let excluded = try [Self.match(Self.servers(addresses)), Self.match(addresses.otherClient)]
        let gate = try network.makeClosedGate(scope: GateScope(excluded: excluded))
        #expect(try network.passedCount(of: .udp(to: addresses.forwarded)) == 3)
        #expect(try network.passedCount(of: .brokenTCP(to: addresses.forwarded)) == 3)
        #expect(try network.passedCount(of: .udp(to: addresses.floating, from: addresses.otherClient)) == 3)
        #expect(try gate.count() == GateCount())
        #expect(try network.passedCount(of: .udp(to: addresses.otherForwarded)) == 0)
        #expect(try network.passedCount(of: .udp(to: addresses.floating)) == 0)
        #expect(try gate.count()?.packets == 6)
    }

    @Test("A packet that two groups match is the first one's", arguments: GateRuleTests.families)
    func firstGroup(_ addresses: GateNetwork.Addresses) throws {
        let network = try GateNetwork()
        let wide = try Self.match(addresses.own.contains(":") ? "fd02::/64" : "10.2.0.0/24")
        let scope = GateScope(excluded: [try Self.match(Self.servers(addresses))], included: wide)
        let gate = try network.makeClosedGate(table: "flowsync-mail", scope: scope)
        #expect(try network.passedCount(of: .udp(to: addresses.forwarded)) == 3)
        #expect(try network.passedCount(of: .udp(to: addresses.otherForwarded)) == 0)
        #expect(try network.passedCount(of: .udp(to: addresses.floating)) == 3)
        #expect(try gate.count()?.packets == 3)
    }

    @Test("A group is told by its zones, except for packets of no flow", arguments: GateRuleTests.families)
    func zones(_ addresses: GateNetwork.Addresses) throws {
        let network = try GateNetwork()
        try network.inRouter(
            "nft 'add table inet raw; add chain inet raw c { type filter hook prerouting priority -300; }; "
                + "add rule inet raw c udp dport 4005 ct zone set 5; "
                + "add rule inet raw c udp dport 4007 ct original zone set 700; "
                + "add rule inet raw c meta l4proto tcp ct zone set 5'"
        )
        let web = try Self.match(zones: [700, 5])
        let gate = try network.makeClosedGate(table: "flowsync-web", scope: GateScope(included: web))
        for port in [4_005, 4_007] as [UInt16] {
            #expect(try network.passedCount(of: .udp(to: addresses.forwarded, port: port)) == 0)
        }
        #expect(try gate.count()?.packets == 6)
        #expect(try network.passedCount(of: .udp(to: addresses.forwarded)) == 3)
        #expect(try network.passedCount(of: .brokenTCP(to: addresses.forwarded)) == 3)
        try gate.open()
        let rest = try network.makeClosedGate(scope: GateScope(excluded: [web]))
        for port in [4_005, 4_007] as [UInt16] {
            #expect(try network.passedCount(of: .udp(to: addresses.forwarded, port: port)) == 3)
        }
        #expect(try rest.count() == GateCount())
        #expect(try network.passedCount(of: .udp(to: addresses.forwarded)) == 0)
        #expect(try network.passedCount(of: .brokenTCP(to: addresses.forwarded)) == 0)
        #expect(try rest.count()?.packets == 6)
    }

    @Test("The gate of a group that no packet shows drops nothing", arguments: GateRuleTests.families)
    func marksOnly(_ addresses: GateNetwork.Addresses) throws {
        let network = try GateNetwork()
        let group = TrafficGroup(name: "web", marks: [try MarkMatch(parsing: "7")])
        let scope = GateScope(ofGroup: 1, in: TrafficGroups([group]))
        let gate = try network.makeClosedGate(table: "flowsync-web", scope: scope)
        #expect(try network.passedCount(of: .udp(to: addresses.forwarded)) == 3)
        #expect(try gate.open() == GateCount())
    }

    @Test("What passes any gate passes a group's, too", arguments: GateRuleTests.families)
    func passing(_ addresses: GateNetwork.Addresses) throws {
        let network = try GateNetwork()
        let all = try Self.match("0.0.0.0/0", "::/0")
        let gate = try network.makeClosedGate(table: "flowsync-web", scope: GateScope(included: all))
        #expect(try network.passedCount(of: .udp(to: addresses.own)) == 3)
        let probe = Probe.udp(to: addresses.forwarded, sourcePort: 4_001)
        #expect(try network.passedCount(of: probe) == 0)
        try network.inRouter(
            "conntrack -I -p udp -s \(addresses.client) -d \(addresses.forwarded) --sport 4001 --dport 4000 -t 100 "
                + "-u SEEN_REPLY,ASSURED"
        )
        #expect(try network.passedCount(of: probe) == 3)
        #expect(try gate.count()?.packets == 3)
    }

    @Test("Gates of several groups know nothing of one another", arguments: GateRuleTests.families)
    func independent(_ addresses: GateNetwork.Addresses) throws {
        let network = try GateNetwork()
        let web = try Self.match(Self.servers(addresses))
        let first = try network.makeClosedGate(scope: GateScope(excluded: [web]))
        let second = try network.makeClosedGate(table: "flowsync-web", scope: GateScope(included: web))
        #expect(try network.passedCount(of: .udp(to: addresses.forwarded), count: 2) == 0)
        #expect(try network.passedCount(of: .udp(to: addresses.otherForwarded), count: 3) == 0)
        #expect(try first.count()?.packets == 3)
        #expect(try second.open()?.packets == 2)
        #expect(try network.listing(of: "flowsync-web") == nil)
        #expect(try network.passedCount(of: .udp(to: addresses.forwarded)) == 3)
        #expect(try network.passedCount(of: .udp(to: addresses.otherForwarded)) == 0)
        try second.close(ownAddresses: GateNetwork.ownAddresses)
        try first.open()
        #expect(try network.listing() == nil)
        #expect(try network.passedCount(of: .udp(to: addresses.forwarded)) == 0)
        #expect(try network.passedCount(of: .udp(to: addresses.otherForwarded)) == 3)
        #expect(try second.count()?.packets == 3)
    }

    @Test("Each table goes with its own gate's socket")
    func ownership() throws {
        let network = try GateNetwork()
        let web = try Self.match("10.2.0.8/29")
        let first = try network.makeClosedGate(scope: GateScope(excluded: [web]))
        let second = try network.makeClosedGate(table: "flowsync-web", scope: GateScope(included: web))
        try network.inRouter("nft flush ruleset")
        #expect(throws: CommandFailure.self) { try network.inRouter("nft delete table inet flowsync-web") }
        first.letGo()
        try network.waitForRemoval()
        #expect(try network.listing(of: "flowsync-web")?.contains("@group4 counter name \"dropped\" drop") == true)
        second.letGo()
        try network.waitForRemoval(of: "flowsync-web")
    }

    @Test("What stands in the way of a group's gate is named by the name of its table")
    func errors() throws {
        let network = try GateNetwork()
        try network.inRouter("nft add table inet flowsync-web")
        let scope = GateScope(included: try Self.match("10.2.0.8/29"))
        let gate = try network.makeGate(table: "flowsync-web", scope: scope)
        let foreign = #expect(throws: GateError.foreignTable(table: "flowsync-web")) {
            try gate.close(ownAddresses: [])
        }
        #expect(foreign?.description.contains("`nft delete table inet flowsync-web`") == true)
        try network.inRouter("nft delete table inet flowsync-web")
        try gate.close(ownAddresses: [])
        let second = try network.makeGate(table: "flowsync-web", scope: scope)
        let owned = #expect(throws: GateError.ownedByAnother(table: "flowsync-web")) {
            try second.close(ownAddresses: [])
        }
        #expect(owned?.description.contains("`nft list table inet flowsync-web`") == true)
    }

    @Test("Thousands of networks go into one transaction, and addresses are replaced beside them")
    func manyNetworks() throws {
        let network = try GateNetwork()
        let networks = try (0..<3_000).flatMap { number in
            try [
                "172.\(16 + number / 500).\(number % 250).\(number % 500 / 250 * 64)/26", "fd03:\(1_000 + number)::/32",
            ].map {
                try Network(parsing: $0)
            }
        }
        let servers = try Self.match("10.2.0.8/29", "fd02::8/125")
        let scope = GateScope(excluded: [PacketMatch(networks: networks)], included: servers)
        let gate = try network.makeClosedGate(table: "flowsync-web", scope: scope)
        for _ in 0..<2 {
            let listing = try #require(try network.listing(of: "flowsync-web"))
            #expect(listing.matches(of: /172\.\d+\.\d+\.\d+\/26/).count == 3_000)
            #expect(listing.matches(of: /fd03:\d+::\/32/).count == 3_000)
            #expect(try network.passedCount(of: .udp(to: "172.21.249.65")) == 3)
            #expect(try network.passedCount(of: .udp(to: "fd03:3999::1")) == 3)
            #expect(try network.passedCount(of: .udp(to: "10.2.0.9")) == 0)
            try gate.close(ownAddresses: GateNetwork.ownAddresses)
        }
    }
}

/// What a scope is made of.
@Suite("Scopes")
struct GateScopeTextTests {
    @Test("A group's gate is for what the groups before it leave, the first one's for what no group has")
    func ofGroups() throws {
        let groups = TrafficGroups([
            TrafficGroup(name: "web", sources: [try Network(parsing: "10.1.0.0/16")], zones: [5]),
            TrafficGroup(
                name: "mail",
                destinations: [try Network(parsing: "203.0.113.0/24")],
                natAddresses: [try Network(parsing: "198.51.100.1")],
                marks: [try MarkMatch(parsing: "7")]
            ),
        ])
        let web = PacketMatch(networks: [try Network(parsing: "10.1.0.0/16")], zones: [5])
        let mail = PacketMatch(
            networks: try ["203.0.113.0/24", "198.51.100.1"].map { try Network(parsing: $0) }
        )
        #expect(GateScope(ofGroup: 0, in: groups) == GateScope(excluded: [web, mail]))
        #expect(GateScope(ofGroup: 1, in: groups) == GateScope(included: web))
        #expect(GateScope(ofGroup: 2, in: groups) == GateScope(excluded: [web], included: mail))
        #expect(GateScope(ofGroup: 0, in: TrafficGroups()) == GateScope())
    }

    @Test("An address lies in an interval if and only if it lies in a network", arguments: [AddressFamily.ipv4, .ipv6])
    func intervals(family: AddressFamily) {
        var random = SplitMix(word: 3)
        let byteCount = family.addressByteCount
        for round in 0..<300 {
            // Few bits that differ, so that networks hold and touch one another, at both ends of all addresses, too.
            let networks = (0..<Int.random(in: 0...8, using: &random)).map { _ in
                Network(
                    containing: Self.address(family, using: &random),
                    prefixLength: Int.random(in: 0...4, using: &random) * byteCount * 2
                )
            }
            let elements = SetElement.intervals(of: networks, family: family)
            #expect(SetElement.intervals(of: networks.shuffled(using: &random), family: family) == elements)
            for _ in 0..<50 {
                let host = Self.address(family, using: &random)
                let key = (0..<byteCount).map { host.address.byte(at: $0) }
                // As the kernel does it: the last element that is not after the key says what the key is in.
                let last = elements.last { !key.lexicographicallyPrecedes($0.key) }
                let isInside = last.map { !$0.isIntervalEnd } ?? false
                #expect(isInside == networks.contains { $0.contains(host.address, family) }, "round \(round), \(host)")
            }
            let isAscending = zip(elements, elements.dropFirst()).allSatisfy { left, right in
                left.key.lexicographicallyPrecedes(right.key) || left.key == right.key && left.isIntervalEnd
            }
            #expect(isAscending && elements.dropLast().allSatisfy { !$0.isOpenInterval })
        }
    }

    /// An address whose bytes are 0 or 255, but for the last bit.
    private static func address(_ family: AddressFamily, using random: inout SplitMix) -> HostAddress {
        func word() -> UInt64 {
            let halves = [UInt64(0), 0xffff_ffff].map { _ in UInt64(Bool.random(using: &random) ? 0xffff_ffff : 0) }
            return halves[0] << 32 | halves[1]
        }
        if family == .ipv6 {
            let low = word() ^ UInt64.random(in: 0...1, using: &random)
            return HostAddress(address: Address(ipv6High: word(), low: low), family: .ipv6)
        }
        func byte() -> UInt8 { Bool.random(using: &random) ? 255 : 0 }
        let last = byte() ^ UInt8.random(in: 0...1, using: &random)
        return HostAddress(address: Address(ipv4: (byte(), byte(), byte(), last)), family: .ipv4)
    }
}
