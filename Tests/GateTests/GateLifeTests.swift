import Policy
import Synchronization
import SystemIO
import Testing

@testable import Gate

/// How a gate comes, changes and goes, and what stands in its way.
@Suite(.enabled(if: GateNetwork.isAvailable, "needs root and the packages iproute2, nftables, conntrack"))
struct GateLifeTests {
    @Test("Nothing is touched before the gate closes, and nothing is left when it is open")
    func noTraces() throws {
        let network = try GateNetwork()
        let before = try network.inRouter("nft -s list ruleset")
        let gate = try network.makeGate()
        #expect(try network.inRouter("nft -s list ruleset") == before)
        #expect(gate.isClosed == false)
        #expect(try gate.open() == GateCount())
        #expect(try gate.count() == GateCount())
        try gate.close(ownAddresses: GateNetwork.ownAddresses)
        #expect(gate.isClosed == true)
        #expect(try network.listing() != nil)
        try gate.open()
        #expect(gate.isClosed == false)
        #expect(try network.inRouter("nft -s list ruleset") == before)
    }

    @Test("Packets and bytes are counted from close to open", arguments: GateRuleTests.families)
    func count(_ addresses: GateNetwork.Addresses) throws {
        let network = try GateNetwork()
        let gate = try network.makeClosedGate()
        let byteCount = Probe.udpByteCount(isIPv6: addresses.own.contains(":"))
        #expect(try network.passedCount(of: .udp(to: addresses.forwarded), count: 5) == 0)
        #expect(try gate.count() == GateCount(packets: 5, bytes: 5 * byteCount))
        #expect(try network.passedCount(of: .udp(to: addresses.floating), count: 2) == 0)
        #expect(try gate.open() == GateCount(packets: 7, bytes: 7 * byteCount))
        #expect(try gate.count() == GateCount())
        try gate.close(ownAddresses: GateNetwork.ownAddresses)
        #expect(try gate.count() == GateCount())
    }

    @Test("The addresses are replaced without a moment of being open, or of being shut to the router's own")
    func replacement() throws {
        let network = try GateNetwork()
        let gate = try network.makeClosedGate()
        let roundCount: UInt64 = 1_000
        let lists = try (0..<2).map { half in
            try GateNetwork.ownAddresses + (1...100).map { try HostAddress(parsing: "10.3.\(half).\($0)") }
        }
        var replacementCount = 0
        let flag = Flag()
        let client = network.client
        let sender = try SystemThread.start(name: "sender") {
            defer { flag.raise() }
            guard (try? enterNetworkNamespace(named: client)) != nil else { return }
            for _ in 0..<roundCount {
                for destination in ["10.1.0.1", "fd01::1", "10.1.0.100", "fd02::9"] {
                    try? Probe.udp(to: destination, sourcePort: 4_001).send()
                }
            }
        }
        while !flag.isRaised {
            try gate.close(ownAddresses: lists[replacementCount % 2])
            replacementCount += 1
        }
        sender.join()
        #expect(replacementCount > 10)
        try network.waitForArrival(of: 4 * roundCount)
        #expect(try network.counted("after") == 2 * roundCount)
        #expect(try gate.count()?.packets == 2 * roundCount)
        let last = (replacementCount - 1) % 2
        let listing = try #require(try network.listing())
        #expect(listing.matches(of: /10\.3\.(\d)\./).allSatisfy { $0.1 == "\(last)" })
    }

    @Test(
        "An address that is no longer in the list is shut, one that is new to it is not",
        arguments: GateRuleTests.families
    )
    func otherAddresses(_ addresses: GateNetwork.Addresses) throws {
        let network = try GateNetwork()
        let gate = try network.makeGate()
        let lists = try [addresses.own, addresses.floating].map { [try HostAddress(parsing: $0)] }
        try gate.close(ownAddresses: lists[0])
        #expect(try network.passedCount(of: .udp(to: addresses.own)) == 3)
        try gate.close(ownAddresses: lists[1])
        #expect(try network.passedCount(of: .udp(to: addresses.own)) == 0)
        #expect(try network.passedCount(of: .udp(to: addresses.floating)) == 3)
        try gate.close(ownAddresses: [])
        #expect(try network.passedCount(of: .udp(to: addresses.floating)) == 0)
        #expect(try gate.open()?.packets == 6)
    }

    @Test("Thousands of addresses go into one transaction, each once")
    func manyAddresses() throws {
        let network = try GateNetwork()
        let gate = try network.makeGate()
        let addresses = try (0..<5_000).flatMap { number in
            try ["172.16.\(number / 250).\(number % 250)", "fd03::\(String(number, radix: 16))"].map {
                try HostAddress(parsing: $0)
            }
        }
        for _ in 0..<2 {
            try gate.close(ownAddresses: addresses + addresses + GateNetwork.ownAddresses)
            for set in ["own4", "own6"] {
                let listing = try network.inRouter("nft list set inet flowsync \(set)")
                #expect(listing.matches(of: /172\.16\.|fd03::/).count == 5_000)
            }
            #expect(try network.passedCount(of: .udp(to: "10.1.0.1")) == 3)
            #expect(try network.passedCount(of: .udp(to: "fd02::9")) == 0)
        }
    }

    @Test("The table goes with the gate's socket, and nobody else can take it away before")
    func ownership() throws {
        let network = try GateNetwork()
        let gate = try network.makeClosedGate()
        for command in ["delete table inet flowsync", "flush chain inet flowsync gate", "flush table inet flowsync"] {
            #expect(throws: CommandFailure.self, "\(command)") { try network.inRouter("nft \(command)") }
        }
        try network.inRouter("nft flush ruleset")
        #expect(try network.listing()?.contains("counter name \"dropped\" drop") == true)
        gate.letGo()
        try network.waitForRemoval()
    }

    @Test("A table of that name that is not ours is left alone, and named")
    func foreignTable() throws {
        let network = try GateNetwork()
        try network.inRouter("nft add table inet flowsync '{ comment \"mine\"; }'")
        let gate = try network.makeGate()
        let error = #expect(throws: GateError.foreignTable(table: "flowsync")) {
            try gate.close(ownAddresses: GateNetwork.ownAddresses)
        }
        #expect(error?.description.contains("`nft delete table inet flowsync`") == true)
        #expect(gate.isClosed == false)
        let listing = try #require(try network.listing())
        #expect(listing.contains("mine") && !listing.contains("chain"))
        // What the error says to do is enough.
        try network.inRouter("nft delete table inet flowsync")
        try gate.close(ownAddresses: GateNetwork.ownAddresses)
        #expect(gate.isClosed == true)
    }

    @Test("A second gate in the same namespace waits for the first to go")
    func secondGate() throws {
        let network = try GateNetwork()
        let first = try network.makeClosedGate()
        let second = try network.makeGate()
        #expect(throws: GateError.ownedByAnother(table: "flowsync")) { try second.close(ownAddresses: []) }
        #expect(second.isClosed == false)
        #expect(try second.open() == GateCount())
        #expect(first.isClosed == true)
        #expect(try network.passedCount(of: .udp(to: "10.1.0.1")) == 3)
        first.letGo()
        try network.waitForRemoval()
        try second.close(ownAddresses: [])
        #expect(try network.passedCount(of: .udp(to: "10.1.0.1")) == 0)
    }

    @Test("Answers that had no room do not leave open what was closed, or closed what was opened")
    func overrun() throws {
        let network = try GateNetwork()
        let gate = try network.makeGate(receiveBufferByteCount: 0)
        for _ in 0..<2 {
            try gate.close(ownAddresses: GateNetwork.ownAddresses)
            #expect(try network.passedCount(of: .udp(to: "10.1.0.100")) == 0)
            #expect(try gate.open() == GateCount(packets: 3, bytes: 3 * Probe.udpByteCount(isIPv6: false)))
            #expect(try network.listing() == nil)
        }
    }
}

private final class Flag: Sendable {
    private let value = Mutex(false)

    var isRaised: Bool { value.withLock { $0 } }
    func raise() { value.withLock { $0 = true } }
}
