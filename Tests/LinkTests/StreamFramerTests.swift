import Testing

@testable import Link

/// Fills a framer with pieces and takes out what it can after each.
private func cut(_ pieces: [ArraySlice<UInt8>]) -> (datagrams: [[UInt8]], broken: Int?, isInMidst: Bool) {
    var framer = StreamFramer()
    var batch = ReceiveBatch()
    var datagrams: [[UInt8]] = []
    for piece in pieces {
        var rest = piece
        while !rest.isEmpty {
            let (taken, _) = framer.fill { span in
                let count = min(span.byteCount, rest.count)
                for (offset, byte) in rest.prefix(count).enumerated() {
                    span.storeBytes(of: byte, toByteOffset: offset, as: UInt8.self)
                }
                return count
            }
            rest = rest.dropFirst(taken)
            while framer.hasNext {
                batch.count = 0
                switch batch.take(from: &framer) {
                case .datagram(let byteCount):
                    let span = batch.datagram(at: 0)
                    #expect(byteCount == span.byteCount)
                    datagrams.append(span.withUnsafeBytes { Array($0) })
                case .broken(let byteCount):
                    return (datagrams, byteCount, framer.isInMidst)
                case .incomplete:
                    Issue.record("something was promised that is not there")
                    return (datagrams, nil, framer.isInMidst)
                }
            }
            let step = batch.take(from: &framer)
            #expect(step == .incomplete)
        }
    }
    return (datagrams, nil, framer.isInMidst)
}

private func stream(_ datagrams: [[UInt8]]) -> [UInt8] {
    datagrams.flatMap { [UInt8(truncatingIfNeeded: $0.count), UInt8(truncatingIfNeeded: $0.count >> 8)] + $0 }
}

private func datagram(_ byteCount: Int, _ seed: Int) -> [UInt8] {
    (0..<byteCount).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ seed &* 7) }
}

@Suite struct StreamFramerTests {
    @Test func everySplitInTwoAndThreeGivesTheSame() {
        let datagrams = [4, 5, 17, 4, 260].enumerated().map { datagram($1, $0) }
        let bytes = stream(datagrams)
        for first in 0...bytes.count {
            let result = cut([bytes[..<first], bytes[first...]])
            #expect(result.datagrams == datagrams)
            #expect(result.broken == nil && !result.isInMidst)
        }
        let short = stream([datagram(4, 1), datagram(6, 2), datagram(4, 3)])
        for first in 0...short.count {
            for second in first...short.count {
                let result = cut([short[..<first], short[first..<second], short[second...]])
                #expect(result.datagrams == [datagram(4, 1), datagram(6, 2), datagram(4, 3)])
            }
        }
    }

    @Test func byteByByteAndInOnePiece() {
        let datagrams = [9_216, 4, 8_900, 1_400, 4, 4, 255, 256, 257].enumerated().map { datagram($1, $0) }
        let bytes = stream(datagrams)
        #expect(cut(bytes.indices.map { bytes[$0...$0] }).datagrams == datagrams)
        #expect(cut([bytes[...]]).datagrams == datagrams)
    }

    @Test(arguments: 1...12)
    func manyTimesItsCapacityInPiecesOfAnySize(seed: UInt64) {
        var random = SeededRandom(state: seed)
        let datagrams = (0..<300).map { index in
            datagram(index % 7 == 0 ? 9_216 : Int(random.next() % 2_000) + 4, index)
        }
        let bytes = stream(datagrams)
        var pieces: [ArraySlice<UInt8>] = []
        var start = 0
        while start < bytes.count {
            let size = Int(random.next() % (seed.isMultiple(of: 2) ? 100_000 : 3_000)) + 1
            let end = min(start + size, bytes.count)
            pieces.append(bytes[start..<end])
            start = end
        }
        let result = cut(pieces)
        #expect(result.datagrams == datagrams)
        #expect(!result.isInMidst)
    }

    @Test func everyCountThatNoDatagramHasBreaksTheStream() {
        var batch = ReceiveBatch()
        for count in 0...65_535 where count < 4 || count > 9_216 {
            var framer = StreamFramer()
            _ = framer.fill { span in
                span.storeBytes(of: UInt16(4).littleEndian, toByteOffset: 0, as: UInt16.self)
                span.storeBytes(of: UInt16(count).littleEndian, toByteOffset: 6, as: UInt16.self)
                return 8
            }
            batch.count = 0
            let good = batch.take(from: &framer)
            // Seen as soon as the count is there: nobody waits for bytes that may never come.
            let bad = batch.take(from: &framer)
            let hasNext = framer.hasNext
            let isInMidst = framer.isInMidst
            guard good == .datagram(byteCount: 4), bad == .broken(byteCount: count), hasNext, !isInMidst else {
                Issue.record("count \(count): \(good), \(bad)")
                return
            }
        }
    }

    @Test func everyCountThatADatagramHasIsTaken() {
        var framer = StreamFramer()
        var batch = ReceiveBatch()
        for count in 4...9_216 {
            _ = framer.fill { span in
                span.storeBytes(of: UInt16(count).littleEndian, toByteOffset: 0, as: UInt16.self)
                span.storeBytes(of: UInt8(truncatingIfNeeded: count), toByteOffset: count + 1, as: UInt8.self)
                return count + 2
            }
            batch.count = 0
            let step = batch.take(from: &framer)
            guard step == .datagram(byteCount: count) else {
                Issue.record("\(count) bytes: \(step)")
                return
            }
            let last = batch.datagram(at: 0).unsafeLoad(fromByteOffset: count - 1, as: UInt8.self)
            #expect(last == UInt8(truncatingIfNeeded: count))
        }
    }

    @Test func aBrokenStreamStaysBroken() {
        var framer = StreamFramer()
        var batch = ReceiveBatch()
        func put(_ bytes: [UInt8]) {
            _ = framer.fill { span in
                for (offset, byte) in bytes.enumerated() {
                    span.storeBytes(of: byte, toByteOffset: offset, as: UInt8.self)
                }
                return bytes.count
            }
        }
        put([3, 0])
        let first = batch.take(from: &framer)
        put(stream([datagram(10, 1)]))
        let second = batch.take(from: &framer)
        #expect(first == .broken(byteCount: 3))
        #expect(second == .broken(byteCount: 3))
        #expect(batch.count == 0)
    }

    @Test func knowsWhetherItIsInTheMidst() {
        let bytes = stream([datagram(10, 1)])
        for count in 0...bytes.count {
            #expect(cut([bytes[..<count]]).isInMidst == (count > 0 && count < bytes.count))
        }
    }

    @Test func anErrorOfTheReaderChangesNothing() {
        var framer = StreamFramer()
        let failed = framer.fill { _ in -104 }
        #expect(failed.result == -104 && !failed.isFilled)
        let isInMidst = framer.isInMidst
        #expect(!isInMidst)
        let full = framer.fill { $0.byteCount }
        #expect(full.result == StreamFramer.capacity && full.isFilled)
    }
}

/// A small generator whose sequence is the same everywhere (splitmix64).
struct SeededRandom {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
