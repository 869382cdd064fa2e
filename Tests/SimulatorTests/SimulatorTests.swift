import Simulator
import Testing

@Suite("Simulator")
struct SimulatorTests {
    @Test("seeds find nothing", arguments: 1...12)
    func seedsFindNothing(seed: Int) {
        let report = Simulation(seed: UInt64(seed)).run()
        #expect(report.violation == nil, "seed \(seed): \(report.scenario)")
        #expect(report.datagramCount > 10)
    }

    @Test("the same seed makes the same run")
    func isDeterministic() {
        for seed in UInt64(31)...33 {
            let first = Simulation(seed: seed).run()
            let second = Simulation(seed: seed) { _ in }.run()
            #expect(first.digest == second.digest, "seed \(seed): \(first.scenario)")
            #expect(first.eventCount == second.eventCount)
            #expect(first.nanoseconds == second.nanoseconds)
        }
    }

    @Test("different seeds make different runs")
    func seedsDiffer() {
        let digests = (UInt64(40)...42).map { Simulation(seed: $0).run().digest }
        #expect(Set(digests).count == digests.count)
    }

    @Test("the number of nodes can be chosen", arguments: 2...5)
    func nodeCount(count: Int) {
        let report = Simulation(seed: 7, nodeCount: count).run()
        #expect(report.violation == nil, "\(report.scenario)")
        #expect(report.scenario.hasPrefix("\(count) nodes"))
    }

    /// The first violation that some seed comes to with a fault of the world around the protocol.
    ///
    /// - Parameter trouble: what the seed's world has to contain.
    private func violation(with fault: InjectedFault, trouble: String = "") -> Violation? {
        for seed in UInt64(100)..<400 {
            let simulation = Simulation(seed: seed, nodeCount: 3, fault: fault)
            guard simulation.world.contains(trouble) || trouble.isEmpty, !simulation.world.contains("hostile") else {
                continue
            }
            if let violation = simulation.run().violation { return violation }
        }
        return nil
    }

    @Test("a forged state is noticed")
    func noticesForgedMark() {
        #expect(violation(with: .forgedMark)?.rule == "copies are states that a kernel had")
    }

    @Test("a lost copy is noticed at the end")
    func noticesLostCopy() {
        #expect(violation(with: .lostCopy)?.rule == "in the end all copies are equal")
    }

    @Test("a flow that a kernel keeps to itself is noticed")
    func noticesSilentKernel() {
        #expect(violation(with: .silentKernel)?.rule == "in the end all copies are equal")
    }

    @Test("a rotation of keys out of order is noticed")
    func noticesHastyKeyRemoval() {
        #expect(
            violation(with: .hastyKeyRemoval, trouble: "keyRotation")?.rule
                == "a rotation of keys in good order refuses nothing"
        )
    }

    @Test("claims of equality are checked, and copies, in great number")
    func checksSomething() {
        let reports = (UInt64(50)..<53).map { Simulation(seed: $0).run() }
        #expect(reports.reduce(0) { $0 + $1.checkedClaimCount } > 20)
        #expect(reports.reduce(0) { $0 + $1.checkedCopyCount } > 200)
    }
}
