import Control
import Lab
import Testing

extension LabTests {
    /// More than two nodes, and nodes that do not match.
    @Suite("Groups of nodes")
    struct Groups {
        private struct Group: CustomTestStringConvertible, Sendable {
            var routerCount: Int
            var transport: SyncTransport
            var testDescription: String { "\(routerCount) nodes, \(transport.rawValue)" }
        }

        @Test(
            "a node that was deaf for 3 s while 20,000 flows were created has them all, and held up nobody",
            arguments: [
                Group(routerCount: 3, transport: .multicastIPv4),
                Group(routerCount: 5, transport: .unicastIPv4),
            ]
        )
        private func deafNode(group: Group) throws {
            let lab = try Lab(routerCount: group.routerCount)
            defer { lab.close() }
            let deaf = LabNode.r3
            try lab.startDaemons(on: lab.routers, DaemonSettings(transport: group.transport))
            let start = Clock.seconds
            try lab.cut(deaf, .deaf)
            try lab.load(LoadPlan(creates: 20_000, rate: 12_000), on: .r1)
            let loaded = Clock.seconds
            for router in lab.routers where router != .r1 && router != deaf {
                try lab.wait(until: "\(router) has 20,000 flows while \(deaf) is deaf", within: 2) {
                    try lab.status(of: router).caches.externalFlowCount == 20_000
                }
            }
            let others = Clock.seconds - loaded
            Clock.sleep(seconds: start + 3 - Clock.seconds)
            let missing = 20_000 - (try lab.status(of: deaf).caches.externalFlowCount)
            #expect(missing == 20_000, "\(deaf) was to be deaf")
            let silence = Clock.seconds - start
            try lab.heal(deaf)
            let equality = try lab.equality(within: 5)
            note(
                "\(group.testDescription): deaf for \(silence.text(1)) s, the others were equal "
                    + "\(others.text(2)) s after the load; after healing \(equality.text) at all nodes"
            )
            #expect(equality.flowCount == 20_000)
        }

        @Test("a node that joins during a load gets everything")
        func joins() throws {
            let lab = try Lab(routerCount: 3)
            defer { lab.close() }
            try lab.startPair()
            try lab.inject(20_000, into: .r1, first: 500_000)
            let plan = LoadPlan.mixed(rate: 10_000, seconds: 3)
            let load = try lab.startLoad(on: .r1, plan)
            Clock.sleep(seconds: 1)
            try lab.startDaemon(on: .r3)
            let joined = Clock.seconds
            try load.finish(within: 30)
            let afterLoad = Clock.seconds - joined
            let equality = try lab.equality(within: 5)
            note("joined \(afterLoad.text(1)) s before the end of a load of 10,000/s; \(equality.text)")
            #expect(equality.flowCount == 20_000 + plan.remainingCount)
            try lab.waitUntilSynchronised(within: 5)
        }

        @Test(
            "nodes whose configurations differ say so by name on both sides, and no longer once they agree"
        )
        func mismatch() throws {
            let lab = try Lab()
            defer { lab.close() }
            var other = DaemonSettings()
            other.protocols.removeAll { $0 == "gre" }
            other.isBestEffort = true
            try lab.startDaemon(on: .r1)
            try lab.startDaemon(on: .r2, other)
            for router in [LabNode.r1, .r2] {
                try lab.wait(until: "\(router) names the settings that differ", within: 5) {
                    let names = try lab.status(of: router).peers.first?.mismatchedSettings ?? []
                    return names.contains { $0.contains("protocols") }
                        && names.contains { $0.contains("mode") }
                }
                let names = try lab.peer(router.otherRouter, of: router).mismatchedSettings
                #expect(names.count == 2, "\(names)")
                let text = try lab.flowsync(on: router, "status").text
                for name in names { #expect(text.contains(name), "\(text)") }
                note(
                    "\(router) says that \(router.otherRouter) differs in \(names.joined(separator: ", "))"
                )
            }
            try lab.terminate(.r2)
            try lab.startDaemon(on: .r2)
            for router in [LabNode.r1, .r2] {
                try lab.wait(until: "\(router) names no difference any more", within: 5) {
                    try lab.peer(router.otherRouter, of: router).mismatchedSettings == []
                }
            }
        }

        @Test("two nodes with one name find out, and say so in status and log")
        func sameName() throws {
            let lab = try Lab()
            defer { lab.close() }
            var settings = DaemonSettings()
            settings.nodeName = "twin"
            try lab.startDaemon(on: .r1, settings)
            try lab.startDaemon(on: .r2, settings)
            for router in [LabNode.r1, .r2] {
                func warning() throws -> String? {
                    try lab.status(of: router).warnings.first { $0.contains("called twin") }
                }
                try lab.wait(until: "\(router) warns of another node with its name", within: 5) {
                    try warning() != nil && lab.log(of: router).contains("called twin")
                }
                note("\(router): \(try warning() ?? "")")
            }
        }
    }
}
