import Flow
import Policy
import Testing

@Suite("Addresses as text")
struct HostAddressTests {
    @Test(
        "A valid text gives the address that prints as its canonical form",
        arguments: [
            ("0.0.0.0", "0.0.0.0"), ("192.0.2.1", "192.0.2.1"), ("255.255.255.255", "255.255.255.255"),
            ("::", "::"), ("::1", "::1"), ("2001:DB8::1", "2001:db8::1"), ("fe80::", "fe80::"),
            ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"), ("1::8", "1::8"), ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("::ffff:192.0.2.1", "::ffff:c000:201"), ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
            ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"), ("ff02::1", "ff02::1"),
            ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
        ]
    )
    func parses(text: String, canonical: String) throws {
        let address = try HostAddress(parsing: text)
        #expect(address.description == canonical)
        #expect(address.family == (text.contains(":") ? .ipv6 : .ipv4))
        #expect(try HostAddress(parsing: address.description) == address)
    }

    @Test(
        "Anything else is refused",
        arguments: [
            "", " ", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.04", "01.2.3.4", "1..2.3", "+1.2.3.4", "1.2.3.-4",
            "1.2.3.4 ", " 1.2.3.4", "1.2.3.4/8", "0x1.2.3.4", "1.2.3.4\u{0}", "١.2.3.4", ":", ":::", "1::2::3", "1:2",
            "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "12345::", "g::", "+1::",
            "::-1", "1.2.3.4::", "::1.2.3.4:1", "::1.2.3", "fe80::1%eth0", "[::1]", "example.org",
            "1:2:3:4:5:6:7:1.2.3.4",
        ]
    )
    func refuses(text: String) {
        #expect(throws: AddressError.malformed(text)) { try HostAddress(parsing: text) }
    }

    @Test("Multicast groups are recognised in both families")
    func multicast() throws {
        for text in ["224.0.0.0", "225.0.0.50", "239.255.255.255", "ff02::1", "ff15::50"] {
            #expect(try HostAddress(parsing: text).isMulticast, "\(text)")
        }
        for text in ["223.255.255.255", "240.0.0.0", "10.0.0.1", "fe80::1", "2001:db8::1"] {
            #expect(try !HostAddress(parsing: text).isMulticast, "\(text)")
        }
        #expect(try HostAddress(parsing: "::").isUnspecified)
        #expect(try !HostAddress(parsing: "::1").isUnspecified)
    }

    @Test("Random addresses survive printing and parsing")
    func roundTrip() throws {
        var random = SeededGenerator(seed: 0x5eed)
        for _ in 0..<20_000 {
            // Masks make long runs of zeros likely: that is where "::" can go wrong.
            let high = random.next() & random.next() & random.next()
            let low = random.next() & random.next() & random.next()
            let ipv6 = HostAddress(address: Address(ipv6High: high, low: low), family: .ipv6)
            #expect(try HostAddress(parsing: ipv6.description) == ipv6)
        }
    }

    @Test("Random bytes are an address or an error, never a trap")
    func garbage() {
        var random = SeededGenerator(seed: 0xbad)
        let alphabet = Array("0123456789abcdef::::....//%+- g\u{0}é".unicodeScalars)
        for _ in 0..<50_000 {
            var text = ""
            for _ in 0..<Int.random(in: 0...24, using: &random) {
                text.unicodeScalars.append(alphabet[Int.random(in: 0..<alphabet.count, using: &random)])
            }
            if let network = try? Network(parsing: text) {
                #expect(try! Network(parsing: network.description) == network)
            }
        }
    }
}

/// SplitMix64: the same numbers for the same seed, on every machine.
struct SeededGenerator: RandomNumberGenerator {
    private var word: UInt64

    init(seed: UInt64) { word = seed }

    mutating func next() -> UInt64 {
        word &+= 0x9e37_79b9_7f4a_7c15
        var mixed = word
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
