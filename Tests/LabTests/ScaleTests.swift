import Control
import Lab
import Testing

extension LabTests {
    /// Many flows, and more events than the socket can hold.
    @Suite("Scale")
    struct Scale {
        @Test("100,000 NAT flows are taken over without a failure and without an overrun")
        func hundredThousandFlows() throws {
            let lab = try Lab()
            defer { lab.close() }
            try lab.startPair()
            note(try lab.inject(100_000, into: .r1))
            try lab.waitUntilEqual(within: 20)
            let before = try lab.externalFlows(of: .r2)
            #expect(before.flows.count == 100_000)

            try lab.kill9(.r1)
            let report = try lab.setRole(.primary, of: .r2)
            for step in report.steps {
                note("\(step.name): \(step.count), \(step.milliseconds) ms")
                #expect(step.failed == [:], "\(step)")
            }
            #expect(report.steps.first { $0.name == "commit" }?.count == 100_000, "\(report)")
            let kernel = try lab.kernelFlows(of: .r2)
            #expect(kernel.flows.count == 100_000)
            #expect(before.differences(to: kernel) == [])
            #expect(kernel.differences(to: try lab.internalFlows(of: .r2)) == [])
            let status = try lab.status(of: .r2)
            #expect(status.kernel.overrunCount == 0)
            #expect(status.caches.internalFlowCount == 100_000)
            let commit = try lab.statistics(of: .r2)
            #expect(commit.internalCache.createFailedCount == 0)
        }

        @Test(
            "200,000 events into an event buffer of 64 KiB: overruns are counted, and all is equal 5 s later",
            arguments: ["64 KiB", "1 MiB"]
        )
        func overrun(bufferMax: String) throws {
            let lab = try Lab()
            defer { lab.close() }
            var settings = DaemonSettings()
            settings.eventBuffer = "64 KiB"
            settings.eventBufferMax = bufferMax
            try lab.startPair(settings)
            note(try lab.inject(90_000, into: .r1, changes: 1, deletes: 20_000))
            let count = try lab.waitUntilEqual(within: 5)
            #expect(count == 70_000)
            let status = try lab.status(of: .r1)
            note("overruns \(status.kernel.overrunCount), buffer \(status.kernel.eventBufferByteCount) bytes")
            #expect(status.kernel.overrunCount > 0)
            #expect(lab.daemons[.r1]?.process.isRunning == true)

            // And it goes on as before.
            try lab.inject(100, into: .r1, first: 200_000)
            #expect(try lab.waitUntilEqual(within: 5) == 70_100)
        }
    }
}
