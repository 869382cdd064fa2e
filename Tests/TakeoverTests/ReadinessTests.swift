import Testing

@testable import Takeover

@Suite("Readiness")
struct ReadinessTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var readiness: Readiness
        var reason: String?

        init(_ description: String, _ reason: String?, _ change: (inout Readiness) -> Void) {
            testDescription = description
            self.reason = reason
            // A node on which nothing is amiss.
            readiness = Readiness()
            readiness.isLoaded = true
            readiness.peersUp = ["r2"]
            readiness.uptimeSeconds = 100
            change(&readiness)
        }
    }

    private static let loading = "the kernel's table is still being read"
    private static let changing = "a change of role is under way"
    private static let linkDown = "no sync link is live: eth2 is down; waiting for 60 s at most"
    private static let waiting = "no peer heard yet; waiting until 10 s after the start"

    static let cases: [Case] = [
        Case("all is well", nil) { _ in },
        Case("not loaded", loading) { $0.isLoaded = false },
        Case("changing role", changing) { $0.isChangingRole = true },
        Case("not loaded comes before changing role", loading) {
            $0.isLoaded = false
            $0.isChangingRole = true
        },
        Case("a peer's flows are missing", "the flows of r2 are not all here yet") { $0.peersNotSynchronised = ["r2"] },
        Case("the first of two such peers is named", "the flows of r3 are not all here yet") {
            $0.peersUp = ["r2", "r3"]
            $0.peersNotSynchronised = ["r3", "r2"]
        },
        Case("just started, with a peer", nil) { $0.uptimeSeconds = 0 },
        Case("just started, alone", waiting) {
            $0.peersUp = []
            $0.uptimeSeconds = 9
        },
        Case("just started, alone, link down", linkDown) {
            $0.peersUp = []
            $0.uptimeSeconds = 0
            $0.linkProblem = "eth2 is down"
        },
        Case("alone long enough", nil) {
            $0.peersUp = []
            $0.uptimeSeconds = 10
        },
        Case("alone, and the link went down lately: the copy may be old", linkDown) {
            $0.peersUp = []
            $0.linkProblem = "eth2 is down"
            $0.linkDownSeconds = 59
        },
        Case("alone, link down for long: somebody has to serve", nil) {
            $0.peersUp = []
            $0.linkProblem = "eth2 is down"
            $0.linkDownSeconds = 60
        },
        Case("a peer has other settings", "r2 is configured differently: [sync] mode") {
            $0.peersConfiguredDifferently = [("r2", ["[sync] mode"])]
        },
        Case("a primary is ready whatever is amiss", nil) {
            $0.isPrimary = true
            $0.isLoaded = false
            $0.peersNotSynchronised = ["r2"]
        },
        Case(
            "waiting has been of no use",
            "the flows of r2 are not all here yet (given up after 6 min of waiting: see `flowsync status`)"
        ) {
            $0.peersNotSynchronised = ["r2"]
            $0.waitedSeconds = 400
        },
        Case("a link problem does not matter while a peer is heard", nil) { $0.linkProblem = "eth2 is down" },
    ]

    @Test("each state has its reason", arguments: cases)
    func reason(of state: Case) {
        #expect(state.readiness.reasonAgainst == state.reason)
    }

    @Test("a node of which nothing is known is not ready")
    func initial() {
        #expect(Readiness().reasonAgainst == Self.loading)
    }
}
