import Flow
import Testing

@testable import Conntrack

/// What stands in the way of replication is noticed, each with its remedy.
@Suite(.enabled(if: TestNamespace.isAvailable, "needs root and the packages iproute2, nftables, conntrack"))
struct KernelTableTests {
    @Test(arguments: [
        (0, "sends no conntrack events"), (1, nil), (2, "began while flowsyncd was not running"),
    ])
    func eventModeIsJudged(_ mode: Int, _ text: String?) throws {
        let namespace = try TestNamespace()
        try namespace.shell("echo \(mode) > /proc/sys/net/netfilter/nf_conntrack_events")
        let table = try namespace.run { try KernelTable.read() }
        #expect(table.eventMode.rawValue == mode)
        #expect(table.warnings.count == (text == nil ? 0 : 1))
        #expect(table.warnings.allSatisfy { $0.contains(text ?? "") })
        #expect(table.warnings.allSatisfy { $0.contains("sysctl -w net.netfilter.nf_conntrack_events=1") })
    }

    @Test func entriesAreCounted() throws {
        let namespace = try TestNamespace()
        let flows = (0..<25).map { Sample.flow(IPProtocol.udp, .ipv4, .none, index: $0) }
        let table = try namespace.run { () -> KernelTable in
            _ = try KernelWriterTests.perform(.create, flows)
            return try KernelTable.read()
        }
        #expect(table.count == 25)
        #expect(table.countMax == TestNamespace.tableLimit)
    }

    @Test func nearlyFullTableIsAWarning() {
        let nearly = KernelTable(count: 950, countMax: 1_000, eventMode: .always)
        #expect(nearly.warnings.map { $0.contains("nf_conntrack_max=2000") } == [true])
        #expect(KernelTable(count: 800, countMax: 1_000, eventMode: .always).warnings.isEmpty)
        #expect(KernelTable(count: 800, countMax: 0, eventMode: .always).warnings.isEmpty)
    }

    @Test func trackingIsNoticed() throws {
        let tracking = try TestNamespace()
        #expect(try tracking.run { try KernelTable.isTracking() } == true)
        let idle = try TestNamespace()
        try idle.shell("nft flush ruleset")
        #expect(try idle.run { try KernelTable.isTracking() } == nil)
    }

    @Test func rootMayUseTheTable() throws {
        let namespace = try TestNamespace()
        try namespace.run { try KernelTable.checkPrivilege() }
    }
}
