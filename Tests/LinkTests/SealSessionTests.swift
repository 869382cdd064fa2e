import Testing

@testable import Link

@Suite("Sessions of sealed datagrams")
struct SealSessionTests {
    @Test("A replay is refused at once and for ever, with a cause")
    func replay() throws {
        let ring = try TestKey.ring(1)
        var sealer = Sealer(ring)
        var opener = Opener(ring)
        let sealed = (0..<5_000).map { _ in sealer.sealed([7]) }
        for datagram in sealed { #expect(opener.opened(datagram) == [7]) }
        for datagram in sealed { #expect(opener.opened(datagram) == nil) }
        #expect(opener.counters.opened == 5_000)
        #expect(opener.counters.replayed == 4_096)
        #expect(opener.counters.tooOld == 904)
    }

    @Test("What arrives late within the window is opened, once")
    func reorder() throws {
        let ring = try TestKey.ring(1)
        var sealer = Sealer(ring)
        var opener = Opener(ring)
        let sealed = (0..<4_097).map { sealer.sealed([UInt8(truncatingIfNeeded: $0)]) }
        #expect(opener.opened(sealed[4_096]) != nil)
        #expect(opener.opened(sealed[0]) == nil)
        #expect(opener.counters.tooOld == 1)
        var random = SealGenerator(seed: 5)
        for index in (1..<4_096).shuffled(using: &random) {
            #expect(opener.opened(sealed[index]) == [UInt8(truncatingIfNeeded: index)])
        }
        #expect(opener.counters.opened == 4_096)
        #expect(opener.counters.refused == 1)
    }

    @Test("A forged datagram does not use up the counter it names")
    func forgedFirst() throws {
        let ring = try TestKey.ring(1)
        var sealer = Sealer(ring)
        var opener = Opener(ring)
        _ = opener.opened(sealer.sealed([1]))
        let sealed = sealer.sealed([2])
        var forged = sealed
        forged[24] ^= 1
        #expect(opener.opened(forged) == nil)
        // Nor does one with a counter far ahead move the window away.
        forged[22] = 0xff
        #expect(opener.opened(forged) == nil)
        #expect(opener.counters.forged == 2)
        #expect(opener.opened(sealed) == [2])
    }

    @Test("No two sealers share a session, nor does one that begins anew")
    func sessions() throws {
        let ring = try TestKey.ring(1)
        var names: Set<[UInt8]> = []
        for _ in 0..<1_000 {
            var sealer = Sealer(ring)
            names.insert(Array(sealer.sealed([])[8..<16]))
        }
        #expect(names.count == 1_000)
    }

    @Test("The counter goes up by one from 1, and a ring with the same first key goes on with it")
    func counters() throws {
        var sealer = Sealer(try TestKey.ring(1))
        let first = sealer.sealed([])
        sealer.replace(try TestKey.ring(1, 2))
        let second = sealer.sealed([])
        sealer.replace(try TestKey.ring(2, 1))
        let third = sealer.sealed([])
        #expect(Array(first[16..<24]) == [1, 0, 0, 0, 0, 0, 0, 0])
        #expect(Array(second[16..<24]) == [2, 0, 0, 0, 0, 0, 0, 0])
        #expect(Array(third[16..<24]) == [1, 0, 0, 0, 0, 0, 0, 0])
        #expect(first[4..<16] == second[4..<16])
        #expect(first[4..<8] != third[4..<8])
        #expect(first[8..<16] != third[8..<16])
    }

    @Test("A sealer that goes back to a key begins a new session with it")
    func backToOldKey() throws {
        var sealer = Sealer(try TestKey.ring(1))
        let first = sealer.sealed([])
        sealer.replace(try TestKey.ring(2))
        sealer.replace(try TestKey.ring(1))
        let second = sealer.sealed([])
        #expect(first[4..<8] == second[4..<8])
        #expect(first[8..<16] != second[8..<16])
    }

    @Test("Keys rotate, node by node and with datagrams under way, and nothing is refused", arguments: [true, false])
    func rotation(isForward: Bool) throws {
        let rings = [try TestKey.ring(1), try TestKey.ring(1, 2), try TestKey.ring(2, 1), try TestKey.ring(2)]
        let steps = isForward ? rings : rings.reversed()
        var leftSealer = Sealer(steps[0])
        var leftOpener = Opener(steps[0])
        var rightSealer = Sealer(steps[0])
        var rightOpener = Opener(steps[0])
        for ring in steps.dropFirst() {
            let fromRight = rightSealer.sealed([1])
            let fromLeft = leftSealer.sealed([2])
            leftSealer.replace(ring)
            leftOpener.replace(ring)
            #expect(leftOpener.opened(fromRight) == [1])
            #expect(leftOpener.opened(rightSealer.sealed([3])) == [3])
            #expect(rightOpener.opened(leftSealer.sealed([4])) == [4])
            rightSealer.replace(ring)
            rightOpener.replace(ring)
            #expect(rightOpener.opened(fromLeft) == [2])
            #expect(rightOpener.opened(leftSealer.sealed([5])) == [5])
            #expect(leftOpener.opened(rightSealer.sealed([6])) == [6])
            // What was seen before the change is still known.
            #expect(leftOpener.opened(fromRight) == nil)
        }
        #expect(leftOpener.counters.opened == 9)
        #expect(rightOpener.counters.opened == 9)
        #expect(rightOpener.counters.refused == 0)
        #expect(leftOpener.counters.replayed == 3)
        var stranger = Sealer(steps[0])
        #expect(leftOpener.opened(stranger.sealed([1])) == nil)
        #expect(leftOpener.counters.unknownKey == 1)
    }

    @Test("A key that comes back finds what was seen with it")
    func keyComesBack() throws {
        var sealer = Sealer(try TestKey.ring(1))
        var opener = Opener(try TestKey.ring(1))
        let sealed = sealer.sealed([1])
        #expect(opener.opened(sealed) == [1])
        opener.replace(try TestKey.ring(2))
        #expect(opener.opened(sealed) == nil)
        opener.replace(try TestKey.ring(2, 1))
        #expect(opener.opened(sealed) == nil)
        #expect(opener.counters.unknownKey == 1)
        #expect(opener.counters.replayed == 1)
    }

    @Test("At most 1,024 sessions are remembered, and the one that was silent for longest goes")
    func bounded() throws {
        let ring = try TestKey.ring(1)
        var opener = Opener(ring)
        var live = Sealer(ring)
        let liveDatagram = live.sealed([9])
        #expect(opener.opened(liveDatagram) != nil)
        var datagrams: [[UInt8]] = []
        for _ in 0..<1_100 {
            var sealer = Sealer(ring)
            datagrams.append(sealer.sealed([1]))
            #expect(opener.opened(datagrams[datagrams.count - 1]) != nil)
            #expect(opener.opened(live.sealed([2])) != nil)
        }
        #expect(opener.sessionCount == 1_024)
        #expect(opener.counters.sessionsFull == 77)
        #expect(opener.opened(liveDatagram) == nil)
        for datagram in datagrams.suffix(1_023) { #expect(opener.opened(datagram) == nil) }
        #expect(opener.counters.replayed == 1_024)
        // A replay is no sign of life: the oldest is still the one to go.
        #expect(opener.opened(datagrams[76]) != nil)
        #expect(opener.opened(datagrams[77]) != nil)
    }

    @Test("Strangers cannot make it remember anything")
    func strangers() throws {
        let ring = try TestKey.ring(1)
        var opener = Opener(ring)
        var sealer = Sealer(ring)
        let sealed = sealer.sealed([1])
        for number in UInt8(0)..<200 {
            var forged = sealed
            forged[8] = sealed[8] &+ number &+ 1
            #expect(opener.opened(forged) == nil)
        }
        #expect(opener.sessionCount == 0)
        #expect(opener.counters.forged == 200)
    }
}
