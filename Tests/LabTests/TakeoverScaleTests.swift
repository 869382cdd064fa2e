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
                (try milliseconds(flowCount, isPreloading: false), try milliseconds(flowCount, isPreloading: true))
            }
            note(
                "| \(flowCount) flows | cold \(cold.text(1)) ms | preload \(preloaded.text(1)) ms | 1/\(Int(cold / preloaded)) |"
            )
            #expect(preloaded * (TakeoverSize.isLong ? 50 : 5) <= cold)
        }

        private func milliseconds(_ flowCount: Int, isPreloading: Bool) throws -> Double {
            let lab = try Lab()
            defer { lab.close() }
            guard case .flowsync(let settings) = gated(isPreloading: isPreloading) else { return 0 }
            try lab.startPair(settings)
            try lab.setRole(.primary, of: .r1)
            try lab.setRole(.backup, of: .r2)
            try lab.inject(flowCount, into: .r1)
            try lab.wait(until: "r2 holds all flows", within: 120) {
                try lab.status(of: .r2).caches.externalFlowCount == flowCount
                    && (!isPreloading || lab.kernelFlowCount(of: .r2) >= flowCount)
            }
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
            return report.milliseconds
        }
    }
}
