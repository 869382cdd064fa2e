import Control
import Flow
import Glibc
import Synchronization
import SystemIO
import Testing

@testable import Daemon

@Suite struct DumpStreamTests {
    /// An engine whose caches hold `flowCount` flows, and which refuses from chunk `failingChunk` on.
    private func engine(flowCount: Int, failingChunk: Int = .max) -> FakeEngine {
        let chunkCount = Atomic<Int>(0)
        return FakeEngine { request in
            guard case .dumpChunk(_, let cursor, let limit) = request else {
                return FakeEngine.plainAnswer(to: request)
            }
            guard chunkCount.add(1, ordering: .relaxed).newValue <= failingChunk else { return .refused("stopping") }
            return .dumpChunk(FakeEngine.chunk(from: cursor, limit: limit, of: flowCount))
        }
    }

    @Test func aDumpHoldsEveryFlowOnceInOrder() async throws {
        let flowCount = 1_300
        try await withServer(engine(flowCount: flowCount)) { path in
            let answer = try await exchange(requestText("GET", "/v1/dump/external?format=json"), at: path)
            var expected: [UInt8] = []
            for index in 0..<flowCount { FlowJSON.append(FakeEngine.flow(index), activeSeconds: 7, to: &expected) }
            #expect(answer.status == 200)
            #expect(answer.body == expected)
        }
    }

    @Test func packedRecordsComeAsTheyAre() async throws {
        let flowCount = 1_300
        try await withServer(engine(flowCount: flowCount)) { path in
            let answer = try await exchange(requestText("GET", "/v1/dump/external?format=records"), at: path)
            #expect(answer.status == 200)
            #expect(answer.body == FakeEngine.chunk(from: nil, limit: flowCount, of: flowCount).records)
        }
    }

    @Test func textIsTheDefaultForm() async throws {
        try await withServer(engine(flowCount: 2)) { path in
            let answer = try await exchange(requestText("GET", "/v1/dump/internal"), at: path)
            #expect(
                answer.text == """
                    tcp      6 ESTABLISHED src=10.0.0.0 dst=192.0.2.1 sport=40000 dport=443 src=192.0.2.1 dst=10.0.0.0 \
                    sport=443 dport=40000 [ASSURED] [active since 7s]
                    tcp      6 ESTABLISHED src=10.0.0.1 dst=192.0.2.1 sport=40000 dport=443 src=192.0.2.1 dst=10.0.0.1 \
                    sport=443 dport=40000 [ASSURED] [active since 7s]

                    """
            )
        }
    }

    @Test func anEmptyCacheIsAnEmptyAnswer() async throws {
        try await withServer(engine(flowCount: 0)) { path in
            let answer = try await exchange(requestText("GET", "/v1/dump/internal"), at: path)
            #expect(answer.status == 200)
            #expect(answer.body.isEmpty)
        }
    }

    /// A chunk may hold no record that is alive and yet not be the last: the empty buffer must not end the response.
    @Test func anEmptyChunkInTheMiddleDoesNotEndTheDump() async throws {
        let engine = FakeEngine { request in
            guard case .dumpChunk(_, let cursor, _) = request else { return FakeEngine.plainAnswer(to: request) }
            switch cursor {
            case nil, 1: return .dumpChunk(DumpChunk(records: [], activeSeconds: [], nextCursor: (cursor ?? 0) + 1))
            default: return .dumpChunk(FakeEngine.chunk(from: 0, limit: 1, of: 1))
            }
        }
        try await withServer(engine) { path in
            let answer = try await exchange(requestText("GET", "/v1/dump/internal?format=json"), at: path)
            #expect(answer.text.hasSuffix("}\n"))
        }
    }

    /// The engine is asked for as much as the reader takes (and the socket's buffers hold), not for the whole cache.
    @Test func aSlowReaderHoldsTheDumpBack() async throws {
        let chunkCount = 100
        let chunk = FakeEngine.chunk(from: nil, limit: DumpStream.recordCountPerChunk, of: .max)
        let chunkText = try DumpWriter(.json).text(of: chunk)
        let engine = FakeEngine { request in
            guard case .dumpChunk(_, let cursor, _) = request else { return FakeEngine.plainAnswer(to: request) }
            let next = (cursor ?? 0) + 1
            var reply = chunk
            reply.nextCursor = next < chunkCount ? next : nil
            return .dumpChunk(reply)
        }
        try await withServer(engine) { path in
            let (early, byteCount) = try await onThread { [engine] in
                let socket = try LocalSocket.connect(to: path, timeoutSeconds: 60)
                try socket.write(Array(requestText("GET", "/v1/dump/internal?format=json").utf8))
                var buffer = [UInt8](repeating: 0, count: 65_536)
                var reader = ResponseReader()
                var body: [UInt8] = []
                try reader.receive(buffer[..<(try socket.read(into: &buffer))], into: &body)
                // Nobody reads: the chunks asked for stop growing once the socket's buffers are full.
                var early = 0
                while early != engine.requests.count {
                    early = engine.requests.count
                    usleep(300_000)
                }
                var byteCount = body.count
                while !reader.isComplete {
                    body.removeAll(keepingCapacity: true)
                    let count = try socket.read(into: &buffer)
                    guard count > 0 else { break }
                    try reader.receive(buffer[..<count], into: &body)
                    byteCount += body.count
                }
                try reader.finish()
                return (early, byteCount)
            }
            #expect(early < 20, "\(early) of \(chunkCount) chunks were fetched for a reader that took 64 KiB")
            #expect(byteCount == chunkText.count * chunkCount)
        }
    }

    @Test func aDumpThatBreaksOffIsNoWholeAnswer() async throws {
        try await withServer(engine(flowCount: 10_000, failingChunk: 3)) { path in
            await #expect(throws: ResponseReader.Defect.cutOff) {
                try await exchange(requestText("GET", "/v1/dump/internal?format=json"), at: path)
            }
        }
    }

    @Test func aReaderThatLeavesEndsItsDump() async throws {
        let engine = engine(flowCount: 200_000)
        try await withServer(engine) { path in
            try await onThread {
                let socket = try LocalSocket.connect(to: path, timeoutSeconds: 30)
                try socket.write(Array(requestText("GET", "/v1/dump/internal?format=json").utf8))
                var buffer = [UInt8](repeating: 0, count: 4_096)
                _ = try socket.read(into: &buffer)
            }
            var count = -1
            while count != engine.requests.count {
                count = engine.requests.count
                try await Task.sleep(for: .milliseconds(200))
            }
            #expect(count < 30)
            let answer: Statistics = try await exchange(requestText("GET", "/v1/stats"), at: path).decoded()
            #expect(answer.runtime.requestFailedCount == 1)
        }
    }

    @Test func aMalformedChunkIsAnErrorNotATrap() throws {
        let writer = DumpWriter(.json)
        var chunk = FakeEngine.chunk(from: nil, limit: 2, of: 2)
        chunk.records.removeLast()
        #expect(throws: DumpStream.Interruption.self) { try writer.text(of: chunk) }
        chunk.records = []
        #expect(throws: DumpStream.Interruption.self) { try writer.text(of: chunk) }
    }
}
