import Control
import Flow
import Replication
import Testing

@testable import Daemon

@Suite("Commands that are cut short")
struct ActionRunTests {
    private let folder = SocketFolder()

    private func run(_ phases: [ActionRun.Phase], role: NodeRole? = nil, isAsked: Bool = true) throws -> ActionReport {
        let now = Instant(nanoseconds: 1_000_000_000)
        let group = try GroupState(
            index: 0,
            name: "default",
            settings: NodeSettings(name: "r1", epoch: 1),
            socketPath: folder.socket,
            preloads: false,
            now: now
        )
        var run = ActionRun(name: "test", group: group, role: role, phases: phases, answer: isAsked ? { _ in } : nil)
        run.beginPhase(phases[0], now: now, finishedDumpCount: 0)
        run.cutShort()
        run.endPhase(now: now)
        #expect(run.phases.isEmpty)
        return run.report
    }

    @Test("one that changes no role has failed")
    func commit() throws {
        let report = try run([.commit(takesOver: false), .followEvents])
        #expect(!report.succeeded && report.message == "cut short by a newer role command")
        #expect(try !run([.push]).succeeded)
    }

    @Test("a change of role has failed if it was not done; what only tidies may be left for later")
    func roles() throws {
        #expect(try !run([.commit(takesOver: true), .openGate, .announce], role: .primary).succeeded)
        #expect(try !run([.handOver, .changeRole(.backup)], role: .backup).succeeded)
        #expect(try run([.awaitPrimary, .delete(onlyReleased: true)], role: .backup).succeeded)
        #expect(try run([.delete(onlyReleased: true)], isAsked: false).succeeded)
    }
}
