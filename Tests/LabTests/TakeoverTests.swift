import Control
import Glibc
import Lab
import Testing

/// The sizes that the takeover's scenarios run in: small by default, those of the promises with `FLOWSYNC_LAB_LONG`.
enum TakeoverSize {
    static let isLong = getenv("FLOWSYNC_LAB_LONG") != nil
    /// Talking connections.
    static let connectionCount = isLong ? 5_000 : 1_000
    /// Idle flows beside them.
    static let idleCount = isLong ? 200_000 : 20_000
}

/// A pair with the gate on both sides of its routers.
func gated(isPreloading: Bool = false) -> TakeoverStage.Replicator {
    var settings = DaemonSettings()
    settings.gateInterfaces = ["lan", "wan"]
    settings.isPreloading = isPreloading
    return .flowsync(settings)
}

/// Notes what became of the connections and fails unless all live and nobody saw a reset.
func expectNothingLost(_ result: TakeoverResult, sourceLocation: SourceLocation = #_sourceLocation) {
    note(result.row)
    for group in result.groups where TakeoverSize.isLong || group.alive < group.total { note("\(group)") }
    #expect(result.alive == result.total, "\(result.groups)", sourceLocation: sourceLocation)
    #expect(result.probes.alive == result.probes.total, "\(result.groups)", sourceLocation: sourceLocation)
    #expect(result.resetCount == 0, sourceLocation: sourceLocation)
    for step in result.report?.steps ?? [] { #expect(step.failed == [:], "\(step)", sourceLocation: sourceLocation) }
}

/// Fails with every group that is not wholly alive.
func expectAllAlive(_ reports: [TalkingTraffic.GroupReport], sourceLocation: SourceLocation = #_sourceLocation) {
    for report in reports {
        #expect(report.alive == report.total, "\(report)", sourceLocation: sourceLocation)
    }
}

extension LabTests {
    /// The router with the connections dies, while both ends of every connection talk.
    @Suite("Takeover")
    struct Takeover {
        @Test("the stage shows the harm that the gate is there for: addresses first, flows after, and resets")
        func harmWithoutGate() throws {
            let result = try kill("no gate, script", .flowsync(DaemonSettings()), .script)
            note(result.row)
            #expect(result.resetCount > 0)
            #expect(result.alive < result.total)
        }

        @Test(
            "conntrackd and FlowSync without its gate, for comparison",
            .enabled(if: TakeoverSize.isLong),
            arguments: [TakeoverStage.Mover.script, .keepalived]
        )
        func comparison(mover: TakeoverStage.Mover) throws {
            for (name, replicator) in [
                ("conntrackd", TakeoverStage.Replicator.conntrackd), ("no gate", .flowsync(DaemonSettings())),
            ] {
                let result = try kill("\(name), \(mover)", replicator, mover)
                note(result.row)
                for group in result.groups { note("\(group)") }
                // What is there is no question of ours; that the connections were there is.
                #expect(result.total == TakeoverSize.connectionCount)
            }
        }

        @Test(
            "the primary is killed as a whole, flows are committed then: nothing lost, no reset",
            arguments: TakeoverSize.isLong ? [TakeoverStage.Mover.script, .keepalived] : [.keepalived]
        )
        func cold(mover: TakeoverStage.Mover) throws {
            let result = try kill("cold, \(mover)", gated(), mover, showsWhatTalks: true)
            expectNothingLost(result)
            guard TakeoverSize.isLong, mover == .script, let commit = result.step("commit") else { return }
            // What talks does not wait for what is idle.
            #expect(result.longestSeconds * 1_000 <= result.movedSeconds * 1_000 + commit.milliseconds / 3)
        }

        @Test(
            "the primary is killed as a whole, flows are in the kernel before: nothing lost, no reset, no waiting",
            arguments: TakeoverSize.isLong ? [TakeoverStage.Mover.script, .keepalived] : [.script]
        )
        func preloaded(mover: TakeoverStage.Mover) throws {
            let result = try kill("preload, \(mover)", gated(isPreloading: true), mover)
            expectNothingLost(result)
            #expect(result.windowSeconds <= result.movedSeconds + 0.3)
        }

        /// Opens connections, kills the primary and says what became of them.
        private func kill(
            _ name: String,
            _ replicator: TakeoverStage.Replicator,
            _ mover: TakeoverStage.Mover,
            showsWhatTalks: Bool = TakeoverSize.isLong
        ) throws -> TakeoverResult {
            let stage = try TakeoverStage(replicator, mover)
            defer { stage.close() }
            try stage.openConnections(TakeoverSize.connectionCount)
            try stage.replicate(idleCount: TakeoverSize.idleCount, showsWhatTalks: showsWhatTalks)
            let seconds = TakeoverSize.isLong || stage.isGated ? 20.0 : 5
            return try stage.failOver(name, idleCount: TakeoverSize.idleCount, aliveWithin: seconds)
        }
    }
}
