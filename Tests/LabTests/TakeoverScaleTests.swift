import Control
import Glibc
import Lab
import Testing

extension LabTests {
    /// What keeping the flows in the standby's kernel saves.
    @Suite("Takeover scale")
    struct TakeoverScale {
        @Test("a preloaded takeover takes a small part of the cold commit of the same flows in the same run")
        func preloadAgainstCold() throws {
            let flowCount = TakeoverSize.isLong ? 1_000_000 : 50_000
            let (cold, preloaded) = try Lab.withTableLimit(atLeast: flowCount + 200_000) {
                (try takeOver(flowCount, isPreloading: false), try takeOver(flowCount, isPreloading: true))
            }
            let commit = cold.steps.first { $0.name == "commit" }?.milliseconds ?? 0
            // When traffic passes; what comes after that keeps nobody waiting.
            let untilOpen = preloaded.steps.prefix { $0.name != "follow" }.reduce(0) { $0 + $1.milliseconds }
            note(
                """
                | \(flowCount) flows | cold commit \(commit.text(1)) ms | preloaded, until the gate is open \
                \(untilOpen.text(1)) ms: 1/\(Int(commit / untilOpen)) | until the end \
                \(preloaded.milliseconds.text(1)) ms: 1/\(Int(commit / preloaded.milliseconds)) |
                """
            )
            #expect(untilOpen * (TakeoverSize.isLong ? 50 : 5) <= commit)
            #expect(preloaded.milliseconds * (TakeoverSize.isLong ? 20 : 5) <= commit)
        }

        private func takeOver(_ flowCount: Int, isPreloading: Bool) throws -> ActionReport {
            let lab = try Lab()
            defer { lab.close() }
            guard case .flowsync(let settings) = gated(isPreloading: isPreloading) else {
                throw LabError("no settings")
            }
            try lab.startPair(settings)
            try lab.setRole(.primary, of: .r1)
            try lab.setRole(.backup, of: .r2)
            try lab.inject(flowCount, into: .r1)
            try lab.wait(until: "r2 holds all flows", within: 120) {
                try lab.status(of: .r2).caches.externalFlowCount == flowCount
                    && (!isPreloading || lab.status(of: .r2).caches.preloadedFlowCount == flowCount)
            }
            // A standby at rest, not one that has just been filled: its kernel's events of that are taken in.
            Clock.sleep(seconds: TakeoverSize.isLong ? 10 : 1)
            try lab.powerOff(.r1)
            let report = try lab.setRole(.primary, of: .r2, timeoutSeconds: 120)
            for step in report.steps {
                note(
                    "\(isPreloading ? "preload" : "cold"): \(step.name) \(step.count), \(step.milliseconds.text(1)) ms"
                )
                #expect(step.failed == [:], "\(step)")
            }
            #expect(try lab.kernelFlowCount(of: .r2) >= flowCount)
            #expect(try lab.status(of: .r2).caches.internalFlowCount == flowCount)
            return report
        }
    }
}
