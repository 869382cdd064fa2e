import Testing

@testable import Takeover

@Suite("The router's own addresses")
struct OwnAddressesTests {
    private typealias Interface = OwnAddresses<String>.Interface

    private func interface(_ name: String, _ addresses: [String], isUp: Bool = true, linkLocal: [String] = [])
        -> Interface
    {
        Interface(name: name, isUp: isUp, addresses: addresses, linkLocal: linkLocal)
    }

    /// Addresses with a colon are IPv6.
    private func make(_ interfaces: [Interface]) -> OwnAddresses<String> {
        OwnAddresses(interfaces) { $0.contains(":") }
    }

    @Test("an address that appears later is floating, and stays so when it comes again")
    func later() {
        var own = make([interface("eth0", ["192.0.2.2"])])
        #expect(own.update([interface("eth0", ["192.0.2.2", "192.0.2.1"])]) == false)
        #expect(own.all == ["192.0.2.2"])
        #expect(own.update([interface("eth0", ["192.0.2.2"])]) == false)
        #expect(own.update([interface("eth0", ["192.0.2.2", "192.0.2.1"])]) == false)
        #expect(own.all == ["192.0.2.2"])
    }

    @Test("a floating address that was there at the start is told by its going")
    func atTheStart() {
        var own = make([interface("eth0", ["192.0.2.2", "192.0.2.1"])])
        #expect(own.all == ["192.0.2.2", "192.0.2.1"])
        #expect(own.update([interface("eth0", ["192.0.2.2"])]) == true)
        #expect(own.update([interface("eth0", ["192.0.2.2", "192.0.2.1"])]) == false)
        #expect(own.all == ["192.0.2.2"])
    }

    @Test("IPv6 addresses that go with their interface stay the router's own; IPv4 ones do not go so")
    func interfaceDown() {
        var own = make([interface("eth0", ["192.0.2.2", "2001:db8::2"])])
        #expect(own.update([interface("eth0", ["192.0.2.2"], isUp: false)]) == false)
        #expect(own.update([interface("eth0", ["192.0.2.2", "2001:db8::2"])]) == false)
        #expect(own.all == ["192.0.2.2", "2001:db8::2"])
        #expect(own.update([interface("eth0", ["2001:db8::2"], isUp: false)]) == true)
        #expect(own.all == ["2001:db8::2"])
    }

    @Test("link-local addresses are the router's own whenever they come; a vanished interface keeps its addresses")
    func others() {
        var own = make([interface("eth0", ["192.0.2.2"]), interface("eth1", ["10.0.0.2"])])
        #expect(own.update([interface("eth0", ["192.0.2.2"], linkLocal: ["fe80::1"])]) == true)
        #expect(own.all == ["192.0.2.2", "10.0.0.2", "fe80::1"])
        #expect(own.update([interface("eth0", ["192.0.2.2"]), interface("eth1", ["10.0.0.2", "10.0.0.1"])]) == true)
        #expect(own.all == ["192.0.2.2", "10.0.0.2"])
    }
}
