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
}
