import Flow
import Policy
import Testing

@Suite("Networks")
struct NetworkTests {
    @Test(
        "A text with or without prefix length gives its network",
        arguments: [
            ("127.0.0.0/8", "127.0.0.0/8"), ("0.0.0.0/0", "0.0.0.0/0"), ("192.0.2.1", "192.0.2.1/32"),
            ("192.0.2.1/32", "192.0.2.1/32"), ("::1/128", "::1/128"), ("2001:db8::/32", "2001:db8::/32"),
            ("::/0", "::/0"), ("2001:db8::8000:0:0:0/65", "2001:db8:0:0:8000::/65"), ("fe80::1", "fe80::1/128"),
        ]
    )
    func parses(text: String, printed: String) throws {
        #expect(try Network(parsing: text).description == printed)
    }

    @Test("A prefix length out of range, and address bits beyond it, are refused with what was meant")
    func refuses() {
        #expect(throws: AddressError.prefixLength("10.0.0.0/33", prefixLengthMax: 32)) {
            try Network(parsing: "10.0.0.0/33")
        }
        for text in ["::/129", "::/", "::/-1", "::/+1", "::/1a", "::/99999999999999999999", "::/1/1"] {
            #expect(throws: AddressError.prefixLength(text, prefixLengthMax: 128)) { try Network(parsing: text) }
        }
        #expect(throws: AddressError.hostBitsSet("10.1.2.3/8", meant: "10.0.0.0/8")) {
            try Network(parsing: "10.1.2.3/8")
        }
        #expect(throws: AddressError.malformed("10.1/8")) { try Network(parsing: "10.1/8") }
        #expect(throws: AddressError.malformed("/8")) { try Network(parsing: "/8") }
    }

    @Test("Containment is by prefix and family")
    func contains() throws {
        let network = try Network(parsing: "10.0.0.0/9")
        #expect(try network.contains(HostAddress(parsing: "10.127.255.255").address, .ipv4))
        #expect(try !network.contains(HostAddress(parsing: "10.128.0.0").address, .ipv4))
        #expect(try !network.contains(HostAddress(parsing: "a00::").address, .ipv6))
        let everything = try Network(parsing: "::/0")
        #expect(try everything.contains(HostAddress(parsing: "ff::1").address, .ipv6))
        #expect(try !everything.contains(HostAddress(parsing: "10.0.0.1").address, .ipv4))
    }
}
