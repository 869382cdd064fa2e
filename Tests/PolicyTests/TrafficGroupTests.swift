import Flow
import Policy
import Testing

@Suite("Traffic groups")
struct TrafficGroupTests {
    /// A flow from `client` to `server`; `replySource` and `replyDestination` say what NAT makes of them.
    private func flow(
        _ client: String = "192.0.2.7",
        _ server: String = "192.0.2.8",
        replySource: String? = nil,
        replyDestination: String? = nil,
        mark: UInt32? = nil,
        zone: Zone = .standard
    ) throws -> Flow {
        let source = try HostAddress(parsing: client)
        var flow = Flow(
            original: Tuple(
                source: source.address,
                destination: try HostAddress(parsing: server).address,
                key: ProtocolKey(sourcePort: 40_000, destinationPort: 443),
                protocolNumber: IPProtocol.tcp,
                family: source.family
            )
        )
        if let replySource { flow.reply.source = try HostAddress(parsing: replySource).address }
        if let replyDestination { flow.reply.destination = try HostAddress(parsing: replyDestination).address }
        flow.zone = zone
        if let mark {
            flow.mark = mark
            flow.attributes.insert(.mark)
        }
        return flow
    }

    private func networks(_ texts: String...) throws -> [Network] { try texts.map { try Network(parsing: $0) } }

    @Test("Without groups every flow is in group 0")
    func none() throws {
        let groups = TrafficGroups()
        #expect(groups.names == ["default"])
        #expect(!groups.usesMarks)
        #expect(try groups.index(of: flow()) == 0)
        #expect(try groups.index(of: flow(mark: 7, zone: Zone(id: 5))) == 0)
        #expect(groups.canonicalText.isEmpty)
        #expect(groups == TrafficGroups([]))
    }

    @Test("A source is the original tuple's, and so is a destination")
    func directions() throws {
        let groups = TrafficGroups([
            TrafficGroup(name: "out", sources: try networks("10.1.0.0/16", "2001:db8:1::/48")),
            TrafficGroup(name: "in", destinations: try networks("203.0.113.0/24", "2001:db8:2::/48")),
        ])
        #expect(groups.names == ["default", "out", "in"])
        #expect(try groups.index(of: flow("10.1.255.255", "192.0.2.1")) == 1)
        #expect(try groups.index(of: flow("10.2.0.0", "192.0.2.1")) == 0)
        #expect(try groups.index(of: flow("192.0.2.1", "10.1.2.3")) == 0)
        #expect(try groups.index(of: flow("192.0.2.1", "203.0.113.255")) == 2)
        #expect(try groups.index(of: flow("203.0.113.1", "192.0.2.1")) == 0)
        #expect(try groups.index(of: flow("10.1.2.3", "203.0.113.1")) == 1, "the first that matches")
        #expect(try groups.index(of: flow("2001:db8:1::1", "2001:db8:3::1")) == 1)
        #expect(try groups.index(of: flow("2001:db8:3::1", "2001:db8:2::1")) == 2)
        // The same bytes in the other family are another address.
        #expect(try groups.index(of: flow("a01:203::", "2001:db8:3::1")) == 0)
    }

    @Test("A NAT address is one that NAT gives or takes away, and no end of an untranslated flow")
    func natAddresses() throws {
        let groups = TrafficGroups([
            TrafficGroup(name: "web", natAddresses: try networks("198.51.100.1", "2001:db8:5::/64"))
        ])
        // Source NAT puts it in.
        #expect(try groups.index(of: flow("10.0.0.1", "192.0.2.1", replyDestination: "198.51.100.1")) == 1)
        #expect(try groups.index(of: flow("10.0.0.1", "192.0.2.1", replyDestination: "198.51.100.2")) == 0)
        #expect(try groups.index(of: flow("fd00::1", "2001:db8::1", replyDestination: "2001:db8:5::9")) == 1)
        // Destination NAT replaces it.
        #expect(try groups.index(of: flow("192.0.2.1", "198.51.100.1", replySource: "10.0.0.2")) == 1)
        #expect(try groups.index(of: flow("2001:db8::1", "2001:db8:5::9", replySource: "fd00::2")) == 1)
        // It is there, but no translation is.
        #expect(try groups.index(of: flow("198.51.100.1", "192.0.2.1")) == 0)
        #expect(try groups.index(of: flow("192.0.2.1", "198.51.100.1")) == 0)
        // The other address of the flow is translated.
        #expect(try groups.index(of: flow("198.51.100.1", "192.0.2.1", replySource: "10.0.0.2")) == 0)
        #expect(try groups.index(of: flow("10.0.0.1", "198.51.100.1", replyDestination: "192.0.2.9")) == 0)
        // What destination NAT puts in is the real server's, and what source NAT replaces the real client's.
        #expect(try groups.index(of: flow("192.0.2.1", "192.0.2.2", replySource: "198.51.100.1")) == 0)
        #expect(try groups.index(of: flow("198.51.100.1", "192.0.2.2", replyDestination: "192.0.2.9")) == 0)
    }

    @Test("A mark decides, also the mark 0 of a flow that has none")
    func marks() throws {
        let marked = TrafficGroups([
            TrafficGroup(name: "a", marks: [try MarkMatch(parsing: "7"), try MarkMatch(parsing: "0x10/0xf0")])
        ])
        #expect(marked.usesMarks)
        #expect(try marked.index(of: flow(mark: 7)) == 1)
        #expect(try marked.index(of: flow(mark: 0x1a)) == 1)
        #expect(try marked.index(of: flow(mark: 0x27)) == 0)
        #expect(try marked.index(of: flow()) == 0)
        var unknown = try flow(mark: 7)
        unknown.attributes.remove(.mark)
        #expect(marked.index(of: unknown) == 0)
        let unmarked = TrafficGroups([TrafficGroup(name: "a", marks: [try MarkMatch(parsing: "0")])])
        #expect(try unmarked.index(of: flow()) == 1)
        #expect(unmarked.index(of: unknown) == 1)
        #expect(try unmarked.index(of: flow(mark: 7)) == 0)
        #expect(!TrafficGroups([TrafficGroup(name: "a", zones: [5])]).usesMarks)
    }

    @Test("A zone decides, whichever direction of the flow lies in it")
    func zones() throws {
        let groups = TrafficGroups([TrafficGroup(name: "a", zones: [5, 65_535])])
        for direction in [Zone.Direction.both, .original, .reply] {
            #expect(try groups.index(of: flow(zone: Zone(id: 5, direction: direction))) == 1)
            #expect(try groups.index(of: flow(zone: Zone(id: 65_535, direction: direction))) == 1)
            #expect(try groups.index(of: flow(zone: Zone(id: 6, direction: direction))) == 0)
        }
        #expect(try groups.index(of: flow()) == 0)
    }

    @Test("Any entry of any list is enough, and the first group with one wins, up to the last of fifteen")
    func alternatives() throws {
        let wide = TrafficGroup(
            name: "wide",
            sources: try networks("10.1.0.0/16"),
            destinations: try networks("203.0.113.0/24"),
            marks: [try MarkMatch(parsing: "7")],
            zones: [5]
        )
        let others = try (2...TrafficGroups.groupCountMax).map { number in
            TrafficGroup(name: "g\(number)", destinations: try networks("10.\(number).0.0/16"), zones: [5])
        }
        let groups = TrafficGroups([wide] + others)
        #expect(groups.names.count == 16)
        #expect(try groups.index(of: flow("10.1.0.1", "10.15.0.1")) == 1)
        #expect(try groups.index(of: flow("192.0.2.1", "203.0.113.1")) == 1)
        #expect(try groups.index(of: flow(mark: 7)) == 1)
        #expect(try groups.index(of: flow(zone: Zone(id: 5))) == 1)
        for number in 2...TrafficGroups.groupCountMax {
            #expect(try groups.index(of: flow("192.0.2.1", "10.\(number).0.1")) == number)
        }
        #expect(try groups.index(of: flow("192.0.2.1", "10.16.0.1")) == 0)
    }

    @Test("The text for the digest is the same if and only if the groups are")
    func canonicalText() throws {
        let web = TrafficGroup(
            name: "web",
            sources: try networks("10.1.0.0/16", "10.3.0.1"),
            marks: [try MarkMatch(parsing: "7"), try MarkMatch(parsing: "0x10/0xf0")],
            zones: [5, 300]
        )
        let mail = TrafficGroup(name: "mail", destinations: try networks("203.0.113.0/24"))
        let text = TrafficGroups([web, mail]).canonicalText
        #expect(text.hasPrefix("group web\nsources 10.1.0.0/16 10.3.0.1/32\n"))
        var same = web
        same.sources = try networks("10.3.0.1/32", "10.1.0.0/16", "10.3.0.1")
        same.marks = [try MarkMatch(parsing: "16/240"), try MarkMatch(parsing: "0x7/0xffffffff")]
        same.zones = [300, 5, 5]
        #expect(TrafficGroups([same, mail]).canonicalText == text)
        #expect(TrafficGroups([mail, web]).canonicalText != text)
        #expect(TrafficGroups([web]).canonicalText != text)
        let network = try networks("192.0.2.0/24")
        let changes: [(inout TrafficGroup) throws -> Void] = [
            { $0.name = "wed" }, { $0.sources.removeLast() }, { $0.sources += network }, { $0.destinations = network },
            { $0.natAddresses = network }, { $0.marks.removeLast() }, { $0.marks += [try MarkMatch(parsing: "8")] },
            { $0.zones = [5] }, { $0.zones = [5, 30] },
        ]
        let texts = try changes.map { change in
            var other = web
            try change(&other)
            return TrafficGroups([other, mail]).canonicalText
        }
        #expect(Set(texts + [text]).count == changes.count + 1)
    }
}
