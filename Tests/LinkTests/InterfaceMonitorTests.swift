import Glibc
import Link
import SystemIO
import Testing

@Suite struct InterfaceMonitorTests {
    @Test func showsInterfacesWithAddressesAndMTU() throws {
        let network = try Network()
        try run("ip -n \(network.b) address add 192.168.100.77/32 dev sync0 label sync0:vip")
        try run("ip -n \(network.b) link set lan0 mtu 1400 down")
        let interfaces = try inside(network.b) { try InterfaceMonitor.open().snapshot() }
        #expect(Set(interfaces.map(\.name)) == ["lo", "sync0", "lan0"])
        #expect(interfaces.map(\.index) == interfaces.map(\.index).sorted())

        let sync = try #require(interfaces.first { $0.name == "sync0" })
        #expect(sync.isUp && sync.isRunning)
        #expect(sync.mtu == 1_500)
        let expected = ["192.168.100.2", "192.168.100.77", "fd00:100::2", "fe80::2"]
        #expect(Set(sync.addresses) == Set(expected.map { address($0) }))
        #expect(sync.addresses.count == 4)

        let lan = try #require(interfaces.first { $0.name == "lan0" })
        #expect(!lan.isUp && !lan.isRunning)
        #expect(lan.mtu == 1_400)
        let loopback = try #require(interfaces.first { $0.name == "lo" })
        #expect(loopback.addresses.contains(address("127.0.0.1")))
    }

    @Test func hundredsOfAddressesAreAllThere() throws {
        let network = try Network()
        let adds = "for i in $(seq 1 250); do for j in 1 2; do echo address add 10.$j.0.$i/32 dev lan0; done; done"
        try run("(\(adds)) | ip -n \(network.b) -batch -")
        let interfaces = try inside(network.b) { try InterfaceMonitor.open().snapshot() }
        let lan = try #require(interfaces.first { $0.name == "lan0" })
        #expect(lan.addresses.count == 502)
        #expect(Set(lan.addresses).count == 502)
    }

    @Test func tellsOfChangesAndIsQuietOtherwise() throws {
        let network = try Network()
        let seen = try inside(network.b) {
            let monitor = try InterfaceMonitor.open()
            var loop = try EventLoop.open()
            try loop.add(monitor.descriptor, token: 0, interest: .readable)
            var seen = [try monitor.drain()]
            for change in ["link set lan0 down", "address add 10.1.1.1/24 dev lan0", "address add fd01::1/64 dev lo"] {
                try run("ip -n \(network.b) \(change)")
                seen.append(try loop.wait(timeoutMilliseconds: 2_000) == 1)
                seen.append(try monitor.drain())
            }
            return seen
        }
        #expect(seen == [false, true, true, true, true, true, true])
    }

    @Test func lostMessagesAreAChangeTooAndNoError() throws {
        let network = try Network()
        // Each turn makes two messages of about 100 bytes, charged with their buffers: far more than the socket holds.
        let lines = "for i in $(seq 1 3000); do echo address add 10.7.7.7/32 dev lan0; echo address del 10.7.7.7/32 "
        let seen = try inside(network.b) {
            let monitor = try InterfaceMonitor.open()
            try run("(\(lines)dev lan0; done) | ip -n \(network.b) -batch -")
            return [try monitor.drain(), try monitor.drain()]
        }
        #expect(seen == [true, false])
    }
}
