import Conntrack
import Testing

@testable import Bench

/// What a load program is asked to do.
@Suite("Workload")
struct WorkloadTests {
    @Test("A steady workload keeps the table's size", arguments: [(500_000, 1), (4_000_000, 6), (10, 1)])
    func steady(operations: Int, updatesPerCreate: Int) {
        let workload = Workload.steady(
            population: 10_000,
            operations: operations,
            rate: 50_000,
            updatesPerCreate: updatesPerCreate
        )
        #expect(workload.operationCount == operations)
        #expect(workload.remainingCount == workload.population)
        #expect(workload.updates >= workload.creates * updatesPerCreate)
        #expect(workload.fault == nil)
    }

    @Test("What cannot be carried out is refused before anything is touched")
    func faults() {
        #expect(Workload(creates: 100).fault == nil)
        #expect(Workload(creates: -1).fault != nil)
        #expect(Workload(updates: 1).fault != nil)
        #expect(Workload(population: 5, deletes: 5).fault != nil)
        #expect(Workload(creates: 4_000_001).fault != nil)
        #expect(Workload(creates: 1, rate: 1_000_001).fault != nil)
    }

    @Test("The mixture has exactly the operations of the plan, and none on a flow that is not there")
    func mixture() {
        let workload = Workload.steady(population: 100, operations: 3_000, rate: 0)
        var mixer = Mixer(workload)
        var alive = Set(0..<100)
        var counts = (creates: 0, updates: 0, deletes: 0)
        for _ in 0..<workload.operationCount {
            let operation = mixer.next()
            switch operation.request {
            case .create:
                counts.creates += 1
                #expect(alive.insert(operation.number).inserted)
            case .delete:
                counts.deletes += 1
                #expect(alive.remove(operation.number) != nil)
            default:
                counts.updates += 1
                #expect(alive.contains(operation.number))
                #expect(operation.generation > 0)
            }
        }
        #expect(counts == (workload.creates, workload.updates, workload.deletes))
        #expect(alive.count == workload.remainingCount)
    }
}
