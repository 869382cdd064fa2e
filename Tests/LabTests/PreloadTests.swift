import Control
import Glibc
import Lab
import Testing

extension LabTests {
    /// The copy of the peers' flows that a standby keeps in its kernel.
    @Suite("Preload")
    struct Preload {
        private static let flowCount = 20_000

        /// A pair whose r2 has all of r1's flows in its kernel.
        private func makePair(eventBuffer: String) throws -> Lab {
            let lab = try Lab()
            guard case .flowsync(var settings) = gated(isPreloading: true) else { throw LabError("no settings") }
            (settings.eventBuffer, settings.eventBufferMax) = (eventBuffer, eventBuffer)
            try lab.startPair(settings)
            try lab.setRole(.primary, of: .r1)
            try lab.setRole(.backup, of: .r2)
            try lab.inject(Self.flowCount, into: .r1)
            try waitUntilPreloaded(lab)
            return lab
        }

        private func waitUntilPreloaded(_ lab: Lab) throws {
            try lab.wait(until: "r2 has all flows in its kernel", within: 30) {
                try lab.status(of: .r2).caches.preloadedFlowCount == Self.flowCount
                    && lab.kernelFlowCount(of: .r2) >= Self.flowCount
            }
        }

        @Test("copies that vanish in a burst whose events are lost come back, and a takeover does not miss them")
        func vanish() throws {
            let lab = try makePair(eventBuffer: "64 KiB")
            defer { lab.close() }
            let before = try lab.statistics(of: .r2).kernel.overrunCount
            try lab.check(on: .r2, ["conntrack", "-F"])
            try lab.wait(until: "r2 has lost events", within: 10) {
                try lab.statistics(of: .r2).kernel.overrunCount > before
            }
            try waitUntilPreloaded(lab)

            // Once more, and the takeover comes before they are back.
            try lab.check(on: .r2, ["conntrack", "-F"])
            try lab.powerOff(.r1)
            let report = try lab.setRole(.primary, of: .r2)
            for step in report.steps { note("\(step.name) \(step.count) \(step.note ?? "")") }
            #expect(try lab.kernelFlowCount(of: .r2) >= Self.flowCount)
            #expect(try lab.status(of: .r2).caches.internalFlowCount == Self.flowCount)
        }

        @Test("a standby's daemon that is restarted keeps what it had put into the kernel")
        func restart() throws {
            let lab = try makePair(eventBuffer: "8 MiB")
            defer { lab.close() }
            let log = "\(lab.directory)/destroyed"
            let watcher = try lab.start(on: .r2, ["conntrack", "-E", "-e", "DESTROY"], output: .file(log))
            defer { watcher.signal(SIGTERM) }
            _ = try lab.terminate(.r2)
            guard case .flowsync(let settings) = gated(isPreloading: true) else { return }
            try lab.startDaemon(on: .r2, settings)
            try lab.wait(until: "r2 is in sync again", within: 30) { try lab.status(of: .r2).isSynchronised }
            try waitUntilPreloaded(lab)
            // A purge would come within a second.
            Clock.sleep(seconds: 2)
            try waitUntilPreloaded(lab)
            let deletedCount = try readTextFile(log).split(separator: "\n").count
            #expect(deletedCount < 100, "\(deletedCount) flows were deleted")
        }
    }
}
