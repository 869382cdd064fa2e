import Conntrack
import Flow
import FlowTable
import Replication
import Testing

@testable import Daemon

@Suite("Caches and protocol of a group")
struct SyncCoreTests {
    private let now = Instant(nanoseconds: 1_000_000_000)

    @Test("preloaded flows that a dump does not show are written into the kernel again")
    func copyVanishes() {
        let settings = NodeSettings(name: "r2", epoch: 1)
        let node = ReplicationNode(settings: settings, role: .backup, takeoverNumber: 0, now: now)
        var core = SyncCore(node: node, seed: 1, now: now)
        core.externalCache.beginMirroring()
        // Of the first one an event came, of the second one none; the third one is still there.
        let flows = (1...3).map { FakeEngine.flow($0) }
        for flow in flows {
            let record = EncodedFlowRecord(flow)
            let origin = ExternalCache.Origin(owner: 0, sequence: 1, generation: 1, epochGeneration: 1)
            _ = core.externalCache.upsert(record.bytes, from: origin, now: now) { _ in true }
            #expect(core.externalCache.takeChanged(countMax: 9).count == 1)
            core.externalCache.confirmMirrored(FlowRecordView(record.bytes), timeoutSeconds: 300, now: now)
        }
        core.receive(ConntrackEvent(kind: .new, portID: 9, flow: flows[0]), now: now)
        #expect(core.internalCache.count == 1 && core.externalCache.mirroredCount == 3)

        core.beginReconcile()
        for _ in 0..<2 { core.internalCache.beginSlice() }
        core.reconcile(flows[2], now: now)
        while !core.sweepVanished() {}
        #expect(core.internalCache.count == 1 && core.externalCache.mirroredCount == 1)
        #expect(core.externalCache.takeChanged(countMax: 9).count == 2)
    }
}
