import Flow
import Testing

@testable import Conntrack

@Suite("Which of two clashing flows stays")
struct ClashRuleTests {
    /// What the rule looks at.
    struct Side: Sendable {
        var number = IPProtocol.tcp
        var status: FlowStatus = [.seenReply, .assured]
        var state: UInt8? = TCPState.established.rawValue
        var timeoutSeconds: UInt32 = 300

        var flow: Flow {
            var flow = Sample.flow(number, .ipv4, .source, index: 1)
            flow.status = status
            flow.timeoutSeconds = timeoutSeconds
            flow.attributes = [.status, .timeout]
            if let state {
                flow.attributes.insert(.protocolState)
                flow.protocolState = state
            }
            return flow
        }

        static func tcp(_ state: TCPState?, isAssured: Bool = true, _ timeoutSeconds: UInt32 = 300) -> Side {
            Side(
                status: isAssured ? [.seenReply, .assured] : [.seenReply],
                state: state?.rawValue,
                timeoutSeconds: timeoutSeconds
            )
        }

        static func udp(isAssured: Bool, hasReply: Bool = false, _ timeoutSeconds: UInt32) -> Side {
            Side(
                number: IPProtocol.udp,
                status: isAssured ? [.seenReply, .assured] : hasReply ? [.seenReply] : [],
                state: nil,
                timeoutSeconds: timeoutSeconds
            )
        }

        static func sctp(_ state: UInt8, _ timeoutSeconds: UInt32) -> Side {
            Side(number: IPProtocol.sctp, state: state, timeoutSeconds: timeoutSeconds)
        }
    }

    struct Case: Sendable, CustomStringConvertible {
        let description: String
        let ours: Side
        let entry: Side
        let isOursKept: Bool
    }

    static let cases = [
        Case(
            description: "an assured record against an entry that is not, however fresh",
            ours: .tcp(.established, 10),
            entry: .tcp(.established, isAssured: false, 300),
            isOursKept: true
        ),
        Case(
            description: "an entry that is assured against a record that is not",
            ours: .tcp(.established, isAssured: false, 300),
            entry: .tcp(.established, 10),
            isOursKept: false
        ),
        Case(
            description: "a record in a state that does not exist, which no kernel takes",
            ours: Side(state: 200, timeoutSeconds: 1_000),
            entry: .tcp(.synSent, isAssured: false, 10),
            isOursKept: false
        ),
        Case(
            description: "assured beats further on",
            ours: .tcp(.synReceived, 300),
            entry: .tcp(.established, isAssured: false, 300),
            isOursKept: true
        ),
        Case(
            description: "an established record against a beginning entry with more time left",
            ours: .tcp(.established, isAssured: false, 20),
            entry: .tcp(.synSent, isAssured: false, 100),
            isOursKept: true
        ),
        Case(
            description: "a beginning record against an established entry",
            ours: .tcp(.synSent, isAssured: false, 100),
            entry: .tcp(.established, isAssured: false, 20),
            isOursKept: false
        ),
        Case(
            description: "an established record against an ended entry",
            ours: .tcp(.established, 5),
            entry: .tcp(.timeWait, 120),
            isOursKept: true
        ),
        Case(
            description: "an ended record against an established entry",
            ours: .tcp(.close, 1_000),
            entry: .tcp(.established, 5),
            isOursKept: false
        ),
        Case(
            description: "different states equally far on, whose timeouts say nothing",
            ours: .tcp(.established, 430_000),
            entry: .tcp(.finWait, 100),
            isOursKept: false
        ),
        Case(
            description: "the same state, the record talked last",
            ours: .tcp(.established, 300),
            entry: .tcp(.established, 298),
            isOursKept: true
        ),
        Case(
            description: "the same state, a difference that rounding can make",
            ours: .tcp(.established, 300),
            entry: .tcp(.established, 299),
            isOursKept: false
        ),
        Case(
            description: "a tie",
            ours: .tcp(.established, 300),
            entry: .tcp(.established, 300),
            isOursKept: false
        ),
        Case(
            description: "the same state, the entry talked last",
            ours: .tcp(.established, 100),
            entry: .tcp(.established, 300),
            isOursKept: false
        ),
        Case(
            description: "answered, not yet assured, against an entry that packets made before the commit",
            ours: .udp(isAssured: false, hasReply: true, 25),
            entry: .udp(isAssured: false, 30),
            isOursKept: true
        ),
        Case(
            description: "an unanswered record against an answered entry",
            ours: .udp(isAssured: false, 30),
            entry: .udp(isAssured: false, hasReply: true, 25),
            isOursKept: false
        ),
        Case(
            description: "an unanswered beginning against an answered connection that has ended",
            ours: Side(status: [], state: TCPState.synSent.rawValue, timeoutSeconds: 100),
            entry: .tcp(.close, isAssured: false, 10),
            isOursKept: true
        ),
        Case(
            description: "an assured record without a state counts as established",
            ours: .tcp(nil, 300),
            entry: .tcp(.established, 100),
            isOursKept: true
        ),
        Case(
            description: "an unassured record without a state is in doubt",
            ours: .tcp(nil, isAssured: false, 300),
            entry: .tcp(.established, isAssured: false, 100),
            isOursKept: false
        ),
        Case(
            description: "UDP, the record talked last",
            ours: .udp(isAssured: true, 110),
            entry: .udp(isAssured: true, 20),
            isOursKept: true
        ),
        Case(
            description: "UDP, the entry talked last",
            ours: .udp(isAssured: false, 20),
            entry: .udp(isAssured: false, 29),
            isOursKept: false
        ),
        Case(
            description: "SCTP in different states",
            ours: .sctp(4, 10_000),
            entry: .sctp(5, 10),
            isOursKept: false
        ),
        Case(
            description: "SCTP in the same state",
            ours: .sctp(4, 200),
            entry: .sctp(4, 100),
            isOursKept: true
        ),
        Case(
            description: "different protocols",
            ours: .udp(isAssured: true, 10_000),
            entry: Side(number: IPProtocol.udplite, state: nil, timeoutSeconds: 1),
            isOursKept: false
        ),
        Case(
            description: "the longest timeouts there are",
            ours: .tcp(.established, .max),
            entry: .tcp(.established, .max),
            isOursKept: false
        ),
    ]

    @Test(arguments: cases)
    func isAsRuled(_ one: Case) {
        #expect(ClashRule.keepsOurs(one.ours.flow, over: one.entry.flow) == one.isOursKept)
    }

    @Test func entryWithoutTimeoutStays() {
        var entry = Side.tcp(.established, 0).flow
        // As the kernel tells of offloaded flows.
        entry.attributes.remove(.timeout)
        #expect(!ClashRule.keepsOurs(Side.tcp(.established, 300).flow, over: entry))
    }

    /// Of two flows at most one may win over the other, whichever is in the kernel: else they would oust each other.
    @Test func ruleIsAntisymmetric() {
        let sides = Self.cases.flatMap { [$0.ours.flow, $0.entry.flow] }
        for left in sides {
            for right in sides {
                #expect(!(ClashRule.keepsOurs(left, over: right) && ClashRule.keepsOurs(right, over: left)))
            }
        }
    }
}
