import Link
import Testing

@Suite struct BatchTests {
    @Test func keepsOnlyWhatWasWritten() {
        var batch = SendBatch()
        let wrote = batch.withNextDatagram(byteCountMax: 100) { bytes in
            bytes.storeBytes(of: 7, toByteOffset: 99, as: UInt8.self)
            return bytes.byteCount
        }
        let wroteNothing = batch.withNextDatagram(byteCountMax: 100) { _ in 0 }
        #expect(wrote)
        #expect(!wroteNothing)
        #expect(batch.count == 1)
        batch.clear()
        #expect(batch.count == 0)
    }

    @Test func isFullAfterSixtyFour() {
        var batch = SendBatch()
        var runs = 0
        for _ in 0..<70 {
            _ = batch.withNextDatagram(byteCountMax: 8_900) { _ in
                runs += 1
                return 1
            }
        }
        #expect(runs == 64)
        #expect(batch.count == 64)
        let isFull = batch.isFull
        #expect(isFull)
    }

    @Test func aDatagramChangesWhereItLies() throws {
        let network = try Network()
        let a = try Node(network.a, Kind.udp4.transport(own: 1, peer: 2))
        let b = try Node(network.b, Kind.udp4.transport(own: 2, peer: 1))
        try a.refresh()
        try b.refresh()
        // Before sending: the second alone is changed, and only it.
        for text in ["one", "three", "seventeen"] { a.send(bytes: Array(text.utf8)) }
        #expect(a.crossOutLastByte(ofOutgoing: 1) == 5)
        a.flush()
        #expect(try b.receiveTexts(3) == ["one", "threX", "seventeen"])
        // After receiving: the batch as it came in last.
        #expect(b.crossOutLastByte(ofIncoming: 2) == 9)
        #expect(b.incomingTexts == ["one", "threX", "seventeeX"])
    }
}
