import Flow
import SystemIO
import Testing

@testable import Conntrack

/// The zones that rules name, read from a real kernel's rules.
@Suite(.enabled(if: TestNamespace.isAvailable, "needs root and the packages iproute2, nftables, conntrack"))
struct RuleZonesTests {
    private static let chain = "add chain inet t p { type filter hook prerouting priority -300; };"

    struct Case: Sendable {
        let rules: String
        let named: Set<UInt16>
        let isAnyPossible: Bool
    }

    static let cases = [
        Case(rules: "", named: [], isAnyPossible: false),
        Case(rules: "add rule inet t p ct zone set 5;", named: [5], isAnyPossible: false),
        Case(rules: "add rule inet t p iifname lo ct original zone set 4660;", named: [4_660], isAnyPossible: false),
        Case(
            rules: "add rule inet t p ct zone set 5; add rule inet t c ct zone 6;",
            named: [5, 6],
            isAnyPossible: false
        ),
        Case(rules: "add rule inet t c meta mark 9 ct mark set 7;", named: [], isAnyPossible: false),
        Case(rules: "add rule inet t p ct zone set iifname map { \"lo\" : 4 };", named: [], isAnyPossible: true),
        Case(rules: "add rule inet t c ct zone { 3, 4 };", named: [], isAnyPossible: true),
    ]

    @Test(arguments: cases)
    func areThoseOfTheRules(_ one: Case) throws {
        let namespace = try TestNamespace(rules: Self.chain + one.rules)
        let (named, isAnyPossible) = try namespace.run {
            let zones = try RuleZones.read()
            return (zones.named, zones.isAnyPossible)
        }
        #expect(named == one.named)
        #expect(isAnyPossible == one.isAnyPossible)
    }

    /// Thousands of rules come in many parts.
    @Test func manyRulesAreRead() throws {
        let namespace = try TestNamespace(rules: Self.chain)
        try namespace.shell(
            "for i in $(seq 1 3000); do echo add rule inet t p meta mark $i ct zone set $i; done | nft -f -"
        )
        let named = try namespace.run { try RuleZones.read().named }
        #expect(named == Set(1...3_000))
    }

    /// iptables' CT target, as `nft_compat` wraps it; laid out by hand, since few kernels have it.
    @Test(arguments: [false, true])
    func conntrackTargetOfIptables(_ isZoneTheMark: Bool) throws {
        let flags: UInt16 = isZoneTheMark ? 1 << 4 : 0
        let name = Self.attribute(1, Array("CT\0".utf8))
        let information = Self.attribute(3, Self.bytes(flags) + Self.bytes(UInt16(77)) + Array(repeating: 0, count: 60))
        let expression = Self.attribute(1, Array("target\0".utf8)) + Self.attribute(2, name + information)
        let attributes = Self.attribute(4, Self.attribute(1, expression))
        let message = Self.bytes(UInt32(20 + attributes.count)) + Array(repeating: 0, count: 16) + attributes
        var zones = RuleZones()
        try zones.receive(message.span.bytes)
        #expect(zones.named == (isZoneTheMark ? [] : [77]))
        #expect(zones.isAnyPossible == isZoneTheMark)
    }

    /// Whatever the bytes, they are read or refused.
    @Test func mutatedRuleNeverTraps() throws {
        let value = Self.attribute(2, Self.attribute(1, Self.bytes(UInt16(5))))
        let immediate = Self.attribute(1, Self.bytes(UInt32(1).bigEndian)) + value
        let conntrack =
            Self.attribute(2, Self.bytes(UInt32(17).bigEndian)) + Self.attribute(4, Self.bytes(UInt32(1).bigEndian))
        let expressions = [("immediate", immediate), ("ct", conntrack)].flatMap { name, data in
            Self.attribute(1, Self.attribute(1, Array("\(name)\0".utf8)) + Self.attribute(2, data))
        }
        let attributes = Self.attribute(4, expressions)
        let message = Self.bytes(UInt32(20 + attributes.count)) + Array(repeating: 0, count: 16) + attributes
        var random = SystemRandomNumberGenerator()
        var (readCount, refusedCount) = (0, 0)
        for _ in 0..<20_000 {
            var mutated = message
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                mutated[Int.random(in: 20..<mutated.count, using: &random)] = UInt8.random(
                    in: 0 ... .max,
                    using: &random
                )
            }
            mutated.removeLast(Int.random(in: 0...8, using: &random) == 0 ? 5 : 0)
            var zones = RuleZones()
            do throws(MessageDefect) {
                try zones.receive(mutated.span.bytes)
                readCount += 1
            } catch {
                refusedCount += 1
            }
        }
        #expect(readCount > 0)
        #expect(refusedCount > 0)
        var zones = RuleZones()
        #expect(throws: MessageDefect.truncatedMessage) {
            try zones.receive([UInt8](repeating: 0, count: 19).span.bytes)
        }
    }

    private static func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
        withUnsafeBytes(of: value) { Array($0) }
    }

    private static func attribute(_ type: UInt16, _ payload: [UInt8]) -> [UInt8] {
        let padding = Array(repeating: UInt8(0), count: (4 - payload.count % 4) % 4)
        return bytes(UInt16(4 + payload.count)) + bytes(type) + payload + padding
    }
}
