import Testing

@testable import Link

@Suite("Sealed datagrams")
struct SealTests {
    @Test("What is sealed opens to what it was", arguments: [0, 1, 15, 16, 17, 63, 64, 65, 1_400, 8_860])
    func roundTrip(byteCount: Int) throws {
        let ring = try TestKey.ring(1)
        var sealer = Sealer(ring)
        var opener = Opener(ring)
        let plain = (0..<byteCount).map { UInt8(truncatingIfNeeded: $0 * 7) }
        for _ in 0..<3 {
            let sealed = sealer.sealed(plain)
            #expect(sealed.count == byteCount + 40)
            #expect(opener.opened(sealed) == plain)
        }
        #expect(opener.counters.opened == 3)
        #expect(opener.counters.refused == 0)
    }

    /// Computed by another implementation: Python's `cryptography`, HKDF and ChaCha20Poly1305, from the same words.
    private static let vectors: [(counter: UInt64, plain: String, sealed: String)] = [
        (
            1, "one datagram",
            "46580100b9c296ec11223344556677880100000000000000708acefa529edd00740a023a0d17f3d342689a92900e51eda8146fef"
        ),
        (0x0102_0304_0506_0708, "", "46580100b9c296ec11223344556677880807060504030201df4644678191622c003f05482ff4c73a"),
    ]

    @Test("The bytes are those that another implementation computes")
    func vectors() throws {
        let text = TestKey.hexadecimal(TestKey.zeroToThirtyOne)
        let ring = try KeyRing(parsing: Array(text.utf8), path: "k")
        var opener = Opener(ring)
        for vector in Self.vectors {
            let bytes = stride(from: 0, to: vector.sealed.utf8.count, by: 2).map { offset in
                let digits = vector.sealed.dropFirst(offset).prefix(2)
                return UInt8(digits, radix: 16) ?? 0
            }
            #expect(opener.opened(bytes) == Array(vector.plain.utf8))
        }
        var sealer = Sealer(ring, session: 0x8877_6655_4433_2211)
        #expect(TestKey.hexadecimal(sealer.sealed(Array("one datagram".utf8))) == Self.vectors[0].sealed)
        #expect(ring.description == "key b9c296ec")
    }

    @Test("Nothing of the plain text shows, and equal datagrams look different each time")
    func secrecy() throws {
        let ring = try TestKey.ring(1)
        var sealer = Sealer(ring)
        let plain = [UInt8](repeating: 0x41, count: 256)
        let first = sealer.sealed(plain)
        let second = sealer.sealed(plain)
        #expect(first[24...] != second[24...])
        for sealed in [first, second] {
            #expect(
                !sealed.dropFirst(24).indices.dropLast(7).contains { sealed[$0..<$0 + 8].allSatisfy { $0 == 0x41 } }
            )
        }
    }

    @Test("A datagram with any bit flipped is refused, and changes nothing")
    func flips() throws {
        let ring = try TestKey.ring(1)
        var sealer = Sealer(ring)
        var opener = Opener(ring)
        let plain = Array("a datagram of some length".utf8)
        _ = opener.opened(sealer.sealed(plain))
        let sealed = sealer.sealed(plain)
        for bit in 0..<sealed.count * 8 {
            var changed = sealed
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(opener.opened(changed) == nil, "bit \(bit)")
        }
        let counters = opener.counters
        #expect(counters.opened == 1)
        #expect(counters.notSealed == 16)
        // Version and zero, and the one flip that makes the counter, 2, a zero.
        #expect(counters.malformed == 17)
        #expect(counters.unknownKey == 32)
        // The flip of 2 to 3 leaves a fresh counter, so that the tag has to tell.
        #expect(counters.replayed + counters.tooOld == 0)
        #expect(Int(counters.refused) == sealed.count * 8)
        #expect(opener.sessionCount == 1)
        #expect(opener.opened(sealed) == plain)
    }

    @Test("A datagram cut short or made longer is refused")
    func lengths() throws {
        let ring = try TestKey.ring(1)
        var sealer = Sealer(ring)
        var opener = Opener(ring)
        let sealed = sealer.sealed([UInt8](repeating: 3, count: 100))
        for count in 0..<sealed.count { #expect(opener.opened(Array(sealed.prefix(count))) == nil, "\(count) bytes") }
        #expect(opener.counters.notSealed == 2)
        #expect(opener.counters.malformed == 38)
        #expect(opener.counters.forged == 100)
        for count in [1, 16, 1_000] { #expect(opener.opened(sealed + [UInt8](repeating: 0, count: count)) == nil) }
        #expect(opener.counters.forged == 103)
        #expect(opener.opened(sealed)?.count == 100)
    }

    @Test("What is refused stays as it was in the buffer")
    func refusedBytes() throws {
        var sealer = Sealer(try TestKey.ring(1))
        var opener = Opener(try TestKey.ring(1))
        var bytes = sealer.sealed([1, 2, 3])
        bytes[bytes.count - 1] ^= 1
        let before = bytes
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        let count = opener.open(&raw, byteCount: before.count)
        #expect(count == nil)
        #expect(bytes == before)
        #expect(opener.counters.forged == 1)
    }

    @Test("Another key opens nothing, even if its id is forged")
    func wrongKey() throws {
        var sealer = Sealer(try TestKey.ring(1))
        var opener = Opener(try TestKey.ring(2))
        var other = Sealer(try TestKey.ring(2))
        var sealed = sealer.sealed([1, 2, 3])
        #expect(opener.opened(sealed) == nil)
        #expect(opener.counters.unknownKey == 1)
        sealed.replaceSubrange(4..<8, with: other.sealed([])[4..<8])
        #expect(opener.opened(sealed) == nil)
        #expect(opener.counters.forged == 1)
        #expect(opener.sessionCount == 0)
    }

    @Test("A datagram of another session does not open under this one's name")
    func foreignSession() throws {
        let ring = try TestKey.ring(1)
        var sealer = Sealer(ring)
        var other = Sealer(ring)
        var opener = Opener(ring)
        #expect(opener.opened(sealer.sealed([1])) != nil)
        _ = other.sealed([0])
        var sealed = other.sealed([2])
        let session = sealer.sealed([3])[8..<16]
        sealed.replaceSubrange(8..<16, with: session)
        #expect(opener.opened(sealed) == nil)
        #expect(opener.counters.forged == 1)
    }

    @Test("Random bytes are refused, each with a cause", arguments: 1...4 as ClosedRange<UInt64>)
    func randomBytes(seed: UInt64) throws {
        var random = SealGenerator(seed: seed)
        let ring = try TestKey.ring(1, 2)
        var sealer = Sealer(ring)
        var opener = Opener(ring)
        let start = sealer.sealed([])
        for _ in 0..<2_000 {
            var bytes = (0..<Int.random(in: 0...200, using: &random)).map { _ in
                UInt8(truncatingIfNeeded: random.next())
            }
            // Half of them begin like a real one, for a while.
            let kept = random.next().isMultiple(of: 2) ? min(bytes.count, .random(in: 0...24, using: &random)) : 0
            bytes.replaceSubrange(..<kept, with: start[..<kept])
            #expect(opener.opened(bytes) == nil)
        }
        let counters = opener.counters
        #expect(counters.refused == 2_000)
        #expect(opener.sessionCount == 0)
        for count in [counters.notSealed, counters.malformed, counters.unknownKey, counters.forged] {
            #expect(count > 10)
        }
    }
}
