import Testing

@testable import Link

@Suite struct IPAddressTests {
    @Test(arguments: [
        ("192.168.100.1", "192.168.100.1"),
        ("0.0.0.0", "0.0.0.0"),
        ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("fe80::1", "fe80::1"),
        ("::", "::"),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.1"),
    ])
    func readsAndPrints(text: String, printed: String) throws {
        let address = try #require(IPAddress(text))
        #expect(address.description == printed)
        #expect(IPAddress(printed) == address)
    }

    @Test(arguments: ["", "1.2.3", "1.2.3.256", "10.0.0.1/24", "fe80::1%eth2", "eth2", "1.2.3.4 ", "::1::"])
    func refusesWhatIsNone(text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test func knowsItsKind() throws {
        func kind(_ text: String) throws -> [Bool] {
            let address = try #require(IPAddress(text))
            return [address.isMulticast, address.isLinkLocal, address.isUnspecified]
        }
        #expect(try kind("223.255.255.255") == [false, false, false])
        #expect(try kind("224.0.0.0") == [true, false, false])
        #expect(try kind("239.255.255.255") == [true, false, false])
        #expect(try kind("240.0.0.0") == [false, false, false])
        #expect(try kind("ff02::50") == [true, false, false])
        #expect(try kind("febf::1") == [false, true, false])
        #expect(try kind("fec0::1") == [false, false, false])
        #expect(try kind("0.0.0.0") == [false, false, true])
        #expect(try kind("::") == [false, false, true])
    }

    @Test func bytesLieAsOnTheWire() throws {
        let address = try #require(IPAddress("1.2.3.4"))
        #expect(withUnsafeBytes(of: address.high) { Array($0) } == [1, 2, 3, 4, 0, 0, 0, 0])
        #expect(address.low == 0)
    }

    @Test func onlyLinkScopeNeedsTheInterface() throws {
        #expect(address("fe80::1").needsScope)
        #expect(address("ff01::50").needsScope)
        #expect(address("ff02::50").needsScope)
        #expect(!address("ff05::50").needsScope)
        #expect(!address("2001:db8::1").needsScope)
        #expect(!address("225.0.0.50").needsScope)
        #expect(!address("169.254.0.1").needsScope)
    }
}
