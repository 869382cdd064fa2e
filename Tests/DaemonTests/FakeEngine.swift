import Control
import Flow
import Synchronization

@testable import Daemon

/// An engine that answers what a test tells it to, and remembers what it was asked.
final class FakeEngine: EngineAccess {
    private let asked = Mutex<[EngineRequest]>([])
    private let answer: @Sendable (EngineRequest) async -> EngineReply

    init(_ answer: @escaping @Sendable (EngineRequest) async -> EngineReply) {
        self.answer = answer
    }

    /// Answers every request as a healthy, empty node does.
    convenience init() {
        self.init { request in FakeEngine.plainAnswer(to: request) }
    }

    var requests: [EngineRequest] { asked.withLock { $0 } }

    func perform(_ request: EngineRequest) async -> EngineReply {
        asked.withLock { $0.append(request) }
        return await answer(request)
    }

    static func plainAnswer(to request: EngineRequest) -> EngineReply {
        switch request {
        case .status: .status(NodeStatus(node: "r1", version: "0.1.0"))
        case .statistics: .statistics(Statistics(node: "r1", uptimeSeconds: 60))
        case .ready: .ready(ReadyReport())
        case .history: .history(TakeoverHistory())
        case .dumpChunk: .dumpChunk(DumpChunk(records: [], activeSeconds: [], nextCursor: nil))
        case .commit, .flush, .resync, .push, .role, .harm:
            .action(ActionReport(action: "\(request)", succeeded: true, steps: [StepReport(name: "done", count: 1)]))
        }
    }

    /// The flow that stands at `index` of every generated cache.
    static func flow(_ index: Int) -> Flow {
        let original = Tuple(
            source: Address(ipv4: (10, UInt8(index >> 16 & 255), UInt8(index >> 8 & 255), UInt8(index & 255))),
            destination: Address(ipv4: (192, 0, 2, 1)),
            key: ProtocolKey(sourcePort: 40_000, destinationPort: 443),
            protocolNumber: IPProtocol.tcp,
            family: .ipv4
        )
        var flow = Flow(original: original)
        flow.attributes = [.status, .timeout, .protocolState]
        flow.status = [.seenReply, .assured, .confirmed]
        flow.timeoutSeconds = 300
        flow.protocolState = TCPState.established.rawValue
        return flow
    }

    /// Part of a generated cache of `flowCount` flows, as the engine would copy it out.
    static func chunk(from cursor: UInt64?, limit: Int, of flowCount: Int) -> DumpChunk {
        let start = Int(cursor ?? 0)
        let end = min(start + limit, flowCount)
        var records: [UInt8] = []
        for index in start..<max(start, end) {
            var bytes = [UInt8](repeating: 0, count: FlowRecord.encodedByteCountMax)
            var span = bytes.mutableSpan
            var output = span.mutableBytes
            let byteCount = FlowRecord.encode(flow(index), into: &output)
            records += bytes[..<byteCount]
        }
        return DumpChunk(
            records: records,
            activeSeconds: Array(repeating: 7, count: end - start),
            nextCursor: end < flowCount ? UInt64(end) : nil
        )
    }
}
