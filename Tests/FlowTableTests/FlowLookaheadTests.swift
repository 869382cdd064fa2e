import Flow
import Testing

@testable import FlowTable

@Suite("Flows that are about to be looked for")
struct FlowLookaheadTests {
    @Test("what is read depends on each flow that is there, in whatever state, and on none that is not")
    func reads() {
        var table = FlowTable(seed: 7)
        for number in 0..<3_000 {
            let flow = makeFlow(number)
            let slot = table.insert(EncodedFlowRecord(flow).bytes, of: flow.identity)
            table[slot].sequence = UInt64(number) << 32
            if number % 7 == 0 { table.markDead(slot) }
        }
        func read(_ numbers: [Int]) -> UInt64 {
            var lookahead = FlowLookahead()
            for number in numbers { table.note(makeFlow(number).identity, in: &lookahead) }
            return table.fetch(&lookahead)
        }
        #expect(read([]) == 0)
        for number in [0, 1, 7, 2_999] {
            let before = read([number])
            let slot = table.find(makeFlow(number).identity)
            #expect(slot != nil)
            if let slot { table[slot].sequence ^= 1 << 60 }
            #expect(read([number]) == before ^ 1 << 60, "flow \(number)")
        }
        // Flows that are not there are looked for in vain, by themselves and among others.
        let absent = read(Array(5_000..<5_030))
        #expect(read(Array(5_000..<5_030) + Array(0..<30)) == absent ^ read(Array(0..<30)))
        #expect(table.liveCount == 3_000 - 429)
    }

    @Test("it is full after 64 flows, and empty after they were fetched")
    func limit() {
        let table = FlowTable(seed: 7)
        var lookahead = FlowLookahead()
        for round in 0..<3 {
            for number in 0..<FlowLookahead.countMax {
                #expect(!lookahead.isFull, "round \(round), flow \(number)")
                table.note(makeFlow(number).identity, in: &lookahead)
            }
            #expect(lookahead.isFull)
            table.fetch(&lookahead)
        }
        #expect(!lookahead.isFull)
    }
}
