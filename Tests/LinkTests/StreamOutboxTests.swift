import Glibc
import Testing

@testable import Link

/// A kernel that takes as many bytes as it is told to, and keeps them.
private final class Wire {
    var room = 0
    /// Takes no more in one call, though there is room: some was made free between two calls.
    var byteCountMaxPerCall = Int.max
    var bytes: [UInt8] = []
    var failure: Int32?

    func write(_ span: RawSpan) -> Int {
        if let failure { return -Int(failure) }
        let taken = min(room, span.byteCount, byteCountMaxPerCall)
        span.withUnsafeBytes { bytes += $0.prefix(taken) }
        room -= taken
        return taken
    }
}

private func batch(_ texts: [String]) -> SendBatch {
    var batch = SendBatch()
    for text in texts {
        _ = batch.withNextDatagram(byteCountMax: 100) { span in
            for (offset, byte) in text.utf8.enumerated() {
                span.storeBytes(of: byte, toByteOffset: offset, as: UInt8.self)
            }
            return text.utf8.count
        }
    }
    return batch
}

/// The texts in a stream of whole frames; nil if it is none.
private func texts(_ bytes: [UInt8]) -> [String]? {
    var rest = bytes[...]
    var texts: [String] = []
    while !rest.isEmpty {
        guard rest.count >= 2 else { return nil }
        let count = Int(rest[rest.startIndex]) | Int(rest[rest.startIndex + 1]) << 8
        guard rest.count >= 2 + count else { return nil }
        texts.append(String(decoding: rest.dropFirst(2).prefix(count), as: UTF8.self))
        rest = rest.dropFirst(2 + count)
    }
    return texts
}

@Suite struct StreamOutboxTests {
    private let all = ["first", "the second", "third one", "last"]

    @Test func whereverTheKernelStopsTheStreamStaysWhole() {
        let total = all.reduce(0) { $0 + $1.utf8.count + 2 }
        for room in 0...total {
            let wire = Wire()
            var frames = StreamFrames()
            var outbox = StreamOutbox()
            frames.set(batch(all))
            wire.room = room
            let first = outbox.send(frames, wire.write)
            #expect(wire.bytes.count == room)
            let begun = outbox.isInMidst ? 1 : 0
            #expect(first.sentCount + begun + first.droppedCount == 4)
            #expect(first.failure == nil)

            // No room at all: all of the next batch is dropped, unless the way is free.
            frames.set(batch(["more", "and more"]))
            let second = outbox.send(frames, wire.write)
            #expect(second == StreamProgress(droppedCount: 2))

            // Room again: the one that was begun is finished before anything else.
            wire.room = 1_000
            let third = outbox.send(frames, wire.write)
            let expected = Array(all.prefix(first.sentCount + begun))
            #expect(texts(wire.bytes) == expected + ["more", "and more"])
            #expect(third.sentCount == begun + 2)
            #expect(third.droppedCount == 0)
            let byteCount = (expected + ["more", "and more"]).reduce(0) { $0 + $1.utf8.count }
            #expect(first.sentByteCount + third.sentByteCount == byteCount)
            let isInMidst = outbox.isInMidst
            #expect(!isInMidst)
        }
    }

    @Test func theRestMayGoInDrops() {
        let wire = Wire()
        var frames = StreamFrames()
        var outbox = StreamOutbox()
        frames.set(batch(["a long datagram", "another"]))
        wire.room = 5
        let sent = outbox.send(frames, wire.write)
        #expect(sent == StreamProgress(droppedCount: 1))
        var turns = 0
        while outbox.isInMidst {
            wire.room = 1
            let progress = outbox.flush(wire.write)
            turns += 1
            let isDone = !outbox.isInMidst
            #expect(progress == StreamProgress(sentCount: isDone ? 1 : 0, sentByteCount: isDone ? 15 : 0))
        }
        #expect(turns == 12)
        #expect(texts(wire.bytes) == ["a long datagram"])
        let nothing = outbox.flush(wire.write)
        #expect(nothing == StreamProgress())
    }

    @Test func nothingCutsIntoADatagramThatIsStillUnderWay() {
        let wire = Wire()
        var frames = StreamFrames()
        var outbox = StreamOutbox()
        frames.set(batch(["a long datagram", "another"]))
        wire.room = 1_000
        wire.byteCountMaxPerCall = 5
        var sentCount = 0
        for _ in 0..<20 { sentCount += outbox.send(frames, wire.write).sentCount }
        while outbox.isInMidst { sentCount += outbox.flush(wire.write).sentCount }
        #expect(texts(wire.bytes) == Array(repeating: "a long datagram", count: sentCount))
        #expect(sentCount > 1)
    }

    @Test func aFailureIsReportedWithWhatItCost() {
        let wire = Wire()
        var frames = StreamFrames()
        var outbox = StreamOutbox()
        frames.set(batch(all))
        wire.failure = EPIPE
        let atOnce = outbox.send(frames, wire.write)
        #expect(atOnce == StreamProgress(droppedCount: 4, failure: EPIPE))
        wire.failure = nil
        wire.room = 3
        _ = outbox.send(frames, wire.write)
        wire.failure = ECONNRESET
        let midst = outbox.send(frames, wire.write)
        #expect(midst == StreamProgress(droppedCount: 4, failure: ECONNRESET))
        let flushed = outbox.flush(wire.write)
        #expect(flushed == StreamProgress(failure: ECONNRESET))
    }

    @Test(arguments: 1...20)
    func anyPatternOfRoomLeavesWholeDatagramsInOrder(seed: UInt64) {
        var random = SeededRandom(state: seed)
        let wire = Wire()
        var frames = StreamFrames()
        var outbox = StreamOutbox()
        var progress = (sent: 0, dropped: 0)
        var number = 0
        for _ in 0..<200 {
            let texts = (0..<Int(random.next() % 65)).map { _ in
                number += 1
                return "\(1_000_000 + number)" + String(repeating: "x", count: Int(random.next() % 60))
            }
            wire.room = random.next() % 3 == 0 ? 100_000 : Int(random.next() % 2_000)
            frames.set(batch(texts))
            let step = outbox.send(frames, wire.write)
            progress.sent += step.sentCount
            progress.dropped += step.droppedCount
        }
        wire.room = 100_000
        progress.sent += outbox.flush(wire.write).sentCount
        let arrived = texts(wire.bytes)
        #expect(arrived?.count == progress.sent)
        #expect(progress.sent + progress.dropped == number)
        #expect(progress.sent > 0 && progress.dropped > 0)
        #expect(arrived == arrived?.sorted())
    }
}
