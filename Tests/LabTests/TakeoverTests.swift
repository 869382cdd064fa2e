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

extension LabTests {
    /// The router with the connections dies or leaves, while both ends of every connection talk.
    @Suite("Takeover")
    struct Takeover {
        @Test("the stage shows the harm that the gate is there for: addresses first, flows after, and resets")
        func harmWithoutGate() throws {
            let stage = try TakeoverStage(.flowsync(DaemonSettings()), .script)
            defer { stage.close() }
            let result = try takeOver(stage, "no gate, script")
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
                let stage = try TakeoverStage(replicator, mover)
                defer { stage.close() }
                let result = try takeOver(stage, "\(name), \(mover)")
                // What is there is no question of ours; that the connections were there is.
                #expect(result.total == TakeoverSize.connectionCount)
            }
        }

        /// Opens connections, kills the primary and notes what became of them.
        private func takeOver(_ stage: TakeoverStage, _ name: String) throws -> TakeoverResult {
            try stage.openConnections(TakeoverSize.connectionCount)
            try stage.replicate(idleCount: TakeoverSize.idleCount)
            let result = try stage.failOver(name, idleCount: TakeoverSize.idleCount)
            note(result.row)
            for group in result.groups { note("\(group)") }
            return result
        }
    }
}
