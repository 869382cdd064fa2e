import Glibc
import Policy
import Testing

@testable import Gate

/// What is said to the kernel, and what is read off its answers.
@Suite("Messages of the gate")
struct GateEncodingTests {
    /// The gate as an operator would write it.
    private static let ruleset = """
        table inet flowsync {
            comment "the gate of flowsyncd, closed while this router is not primary"
            counter dropped { }
            set interfaces { type ifname; elements = { "eth0", "a-name-of-15-by" } }
            set own4 { type ipv4_addr; elements = { 10.1.0.1, 192.0.2.255 } }
            set own6 { type ipv6_addr; elements = { fd01::1, fe80::1234:5678:9abc:def0 } }
            chain gate {
                type filter hook prerouting priority -190; policy accept;
                iifname != @interfaces accept
                ct state & (new | invalid) == 0 accept
                fib daddr type { broadcast, anycast, multicast } accept
                icmpv6 type 133-136 accept
                ip daddr @own4 accept
                ip6 daddr @own6 accept
                counter name "dropped" drop
            }
        }
        """

    private static let table = GateTable(name: "flowsync", interfaces: ["eth0"], scope: GateScope())

    @Test(
        "The kernel holds what it would hold if nft had been told the gate's text",
        .enabled(if: GateNetwork.isAvailable, "needs root and the packages iproute2, nftables, conntrack")
    )
    func sameAsNft() throws {
        try expectSameAsNft(Self.ruleset, table: "flowsync", scope: GateScope())
    }

    @Test(
        "So it does for the gates of traffic groups, whose networks may hold one another or be all addresses",
        .enabled(if: GateNetwork.isAvailable, "needs root and the packages iproute2, nftables, conntrack")
    )
    func scopesSameAsNft() throws {
        let web = PacketMatch(
            networks: try ["10.1.0.0/16", "10.1.2.0/23", "10.2.0.0/15", "fd00::/33", "::/1"].map {
                try Network(parsing: $0)
            },
            zones: [7, 5, 7]
        )
        let rest = PacketMatch(
            networks: try ["0.0.0.0/0", "192.0.2.1", "ff00::/8", "fd02::9"].map { try Network(parsing: $0) },
            zones: [300, 9]
        )
        try expectSameAsNft(
            Self.ruleset(
                """
                set others4 { type ipv4_addr; flags interval; elements = { 10.1.0.0/16, 10.2.0.0/15 } }
                set others6 { type ipv6_addr; flags interval; elements = { ::/1, fd00::/33 } }
                set group4 { type ipv4_addr; flags interval; elements = { 0.0.0.0/0 } }
                set group6 { type ipv6_addr; flags interval; elements = { fd02::9, ff00::/8 } }
                """,
                """
                ip saddr @others4 accept
                ip daddr @others4 accept
                ip6 saddr @others6 accept
                ip6 daddr @others6 accept
                ct zone { 5, 7 } accept
                ip saddr @group4 counter name "dropped" drop
                ip daddr @group4 counter name "dropped" drop
                ip6 saddr @group6 counter name "dropped" drop
                ip6 daddr @group6 counter name "dropped" drop
                ct zone { 9, 300 } counter name "dropped" drop
                """
            ),
            table: "flowsync-rest",
            scope: GateScope(excluded: [web], included: rest)
        )
    }

    /// The text of a group's gate.
    private static func ruleset(_ sets: String, _ rules: String) -> String {
        ruleset.replacing("inet flowsync ", with: "inet flowsync-rest ")
            .replacing("not primary", with: "not primary for these packets")
            .replacing("    chain gate", with: "\(sets)\nchain gate")
            .replacing("        counter name \"dropped\" drop", with: rules)
    }

    private func expectSameAsNft(_ ruleset: String, table: String, scope: GateScope) throws {
        let network = try GateNetwork()
        try network.inClient("nft -f - <<'END'\n\(ruleset)\nEND\n")
        let gate = try network.makeGate(interfaces: ["eth0", "a-name-of-15-by"], table: table, scope: scope)
        let addresses = ["192.0.2.255", "fe80::1234:5678:9abc:def0", "10.1.0.1", "fd01::1"]
        try gate.close(ownAddresses: addresses.map { try HostAddress(parsing: $0) })
        for debug in ["", "--debug=netlink"] {
            let command = "nft \(debug) list table inet \(table)"
            let ours = Self.comparable(try network.inRouter(command))
            #expect(ours == Self.comparable(try network.inClient(command)))
            #expect(ours.contains { $0.contains("drop") })
        }
    }

    /// The lines of a listing without what only ours has, and without numbers that the kernel gives away; sorted, since
    /// it lists a set's elements in the order of its hashes.
    private static func comparable(_ listing: String) -> [String] {
        let own = listing.replacing(/\s*# progname.*/, with: "").replacing("\tflags owner\n", with: "")
        let words = own.replacing(/\s*handle \d+/, with: "").replacing(/\[end\]|elements = |[{},]/, with: " ")
        return words.split(whereSeparator: \.isWhitespace).map(String.init).sorted()
    }

    @Test("Messages have lengths, flags and padding as netlink wants them")
    func messages() {
        var messages = NetlinkMessages()
        messages.message(0x0a00, flags: 0x0605, sequence: 0x0102_0304, family: 1, resource: 10) { message in
            message.put(1, name: "ab")
            message.nest(2) { nest in
                nest.put(3, UInt32(0x0506_0708))
                nest.put(4, bytes: [9])
            }
        }
        let head: [UInt32] = [20 + 8 + 4 + 8 + 8, 0x0605_0a00, 0x0102_0304, 0]
        let nest = [
            UInt16(4 + 8 + 8).bytesInMemory, UInt16(2 | 0x8000).bytesInMemory,
            UInt16(8).bytesInMemory, UInt16(3).bytesInMemory, [5, 6, 7, 8],
            UInt16(5).bytesInMemory, UInt16(4).bytesInMemory, [9, 0, 0, 0],
        ]
        let name = [UInt16(7).bytesInMemory, UInt16(1).bytesInMemory, Array("ab".utf8), [0, 0]]
        let expected = [head.flatMap(\.bytesInMemory), [1, 0, 0, 10]] + name + nest
        #expect(messages.bytes == expected.flatMap { $0 })
    }

    @Test("A transaction is one batch: a head, numbered parts that want an answer, an end")
    func batch() {
        let batch = Self.table.creation(ownAddresses: [], base: UInt32.max - 2)
        let sequenceCount = batch.sequenceCount
        let partCount = batch.parts.count
        // Read as answers, since both ways have the same form.
        let messages = NetlinkAnswer.list(batch.finished())
        #expect(messages.map(\.sequence) == (0..<sequenceCount).map { (UInt32.max - 2) &+ $0 })
        #expect(messages.count == partCount + 1)
        #expect(messages.first?.type == 16 && messages.first?.payload == [0, 0, 0, 10])
        #expect(messages.last?.type == 17 && messages.last?.payload == [0, 0, 0, 10])
        #expect(messages.dropFirst().dropLast().allSatisfy { $0.type >> 8 == 10 && $0.payload[0] == 1 })
    }

    private func answer(_ sequence: UInt32, _ errno: Int32) -> NetlinkAnswer {
        NetlinkAnswer(type: 2, sequence: sequence, payload: (0 - errno).bytesInMemory)
    }

    @Test("A batch is done only if the kernel said so to every part")
    func outcome() {
        let batch = Self.table.replacement(ownAddresses: GateNetwork.ownAddresses, base: 100)
        #expect(batch.parts == [.batch, .elements, .elements, .elements, .elements])
        let all = (101...104).map { answer($0, 0) }
        #expect(batch.outcome(of: all, isComplete: true) == .done)
        #expect(batch.outcome(of: all, isComplete: false) == .unknown)
        for index in 0..<4 {
            var some = all
            some.remove(at: index)
            #expect(batch.outcome(of: some, isComplete: true) == .unknown)
            some.append(answer(101 + UInt32(index), ENOENT))
            #expect(batch.outcome(of: some, isComplete: true) == .failed(.elements, errno: ENOENT))
        }
        // The head is answered only if the whole fails; other requests' answers count for nothing.
        #expect(batch.outcome(of: all + [answer(100, ENOMEM)], isComplete: true) == .failed(.batch, errno: ENOMEM))
        #expect(batch.outcome(of: all + [answer(99, EPERM), answer(105, EPERM)], isComplete: true) == .done)
        let first = Self.table.creation(ownAddresses: [], base: 100)
        let failures = [answer(102, ENOENT), answer(101, EEXIST), answer(103, ENOENT)]
        #expect(first.outcome(of: failures, isComplete: false) == .failed(.table, errno: EEXIST))
    }

    @Test(
        "A refusal names what the kernel lacks, or what it refused and why",
        arguments: [
            (GateBatch.Part.batch, EOPNOTSUPP, GateError.kernelLacks(.tables)),
            (.table, EOPNOTSUPP, .kernelLacks(.ownedTables)), (.table, EINVAL, .kernelLacks(.ownedTables)),
            (.set, EOPNOTSUPP, .kernelLacks(.sets)), (.counter, ENOENT, .kernelLacks(.counters)),
            (.chain, ENOENT, .kernelLacks(.inetChains)),
            (.rule(needs: .connectionState), ENOENT, .kernelLacks(.connectionState)),
            (.rule(needs: .addressType), EOPNOTSUPP, .kernelLacks(.addressType)),
            (.rule(needs: .zones), EOPNOTSUPP, .kernelLacks(.zones)),
            (.rule(needs: nil), ENOENT, .refused(part: "a rule", table: "flowsync-web", errno: ENOENT)),
            (.elements, ENOSPC, .refused(part: "a set's elements", table: "flowsync-web", errno: ENOSPC)),
            (.batch, ENOMEM, .refused(part: "the change", table: "flowsync-web", errno: ENOMEM)),
            (.table, EPERM, .missingPrivilege),
        ]
    )
    func refusals(part: GateBatch.Part, errno: Int32, error: GateError) {
        #expect(GateError(part: part, errno: errno, table: "flowsync-web", state: nil) == error)
    }

    @Test("Every error says what to do, in a sentence of its own")
    func errorTexts() {
        let features = GateError.KernelFeature.allCases.map { GateError.kernelLacks($0).description }
        #expect(Set(features).count == features.count)
        #expect(features.allSatisfy { $0.contains(" use ") && $0.contains("gate-interfaces") })
        #expect(
            GateError.kernelLacks(.addressType).description
                == "this kernel lacks nf_tables' fib daddr type, which the gate needs: load it with `modprobe "
                + "nft_fib_inet` or use one built with CONFIG_NFT_FIB_INET, or remove gate-interfaces from [takeover]"
        )
        #expect(
            GateError.refused(part: "a rule", table: "flowsync-web", errno: ENOMEM).description
                == "the kernel refused a rule of the table inet flowsync-web: Cannot allocate memory (ENOMEM); nothing "
                + "of this change was done"
        )
    }

    @Test("Answers of any bytes are read up to what is broken, and no further")
    func hostileAnswers() {
        var random = SplitMix(word: 5)
        var messages = NetlinkMessages()
        for sequence in 1...3 as ClosedRange<UInt32> {
            messages.message(0x0a12, flags: 0, sequence: sequence, family: 1) { message in
                message.nest(4) { $0.put(1, UInt64(7)) }
            }
        }
        let whole = messages.bytes
        #expect(NetlinkAnswer.list(whole).map { $0.attributes[0].nested[0].bigEndian(UInt64.self) } == [7, 7, 7])
        for count in 0..<whole.count {
            #expect(NetlinkAnswer.list(Array(whole[..<count])).count == count / (whole.count / 3))
        }
        for _ in 0..<20_000 {
            var bytes = whole
            for _ in 0..<3 {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
            }
            let answers = NetlinkAnswer.list(bytes)
            #expect(answers.count <= 9)
            for answer in answers {
                _ = (answer.errorNumber, GateTable.count(in: answer), GateTable.owner(in: answer))
                #expect(answer.attributes.allSatisfy { $0.payload.count <= bytes.count })
            }
        }
    }
}

/// The same numbers on every machine.
struct SplitMix: RandomNumberGenerator {
    var word: UInt64

    mutating func next() -> UInt64 {
        word &+= 0x9e37_79b9_7f4a_7c15
        var mixed = word
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
