import Flow
import Testing

@testable import FlowTable

@Suite("The internal cache")
struct InternalCacheTests {
    private let start = Instant(nanoseconds: 5_000_000_000)

    @Test("create, update, destroy and settle, with their counters")
    func life() throws {
        var cache = InternalCache(seed: 1, now: start)
        let flow = makeFlow(0)
        let slot = cache.create(flow, now: start)
        #expect(cache.count == 1 && cache.counters.created == 1)
        #expect(cache.update(makeFlow(0, mark: 7), now: start) == slot)
        #expect(cache.table.record(at: slot).mark == 7)
        #expect(cache.counters.updated == 1)
        #expect(cache.destroy(flow.identity) == slot)
        #expect(cache.count == 0 && cache.table.occupiedCount == 1, "a tombstone stays until everyone knows")
        #expect(cache.destroy(flow.identity) == nil, "a flow dies once")
        #expect(cache.counters.destroyed == 1 && cache.counters.destroyFailed == 1)
        cache.settle(slot)
        #expect(cache.table.occupiedCount == 0)
        #expect(cache.destroy(flow.identity) == nil && cache.counters.destroyFailed == 2)
    }

    @Test("settling a flow that lives again does nothing")
    func settleAlive() {
        var cache = InternalCache(seed: 1, now: start)
        let slot = cache.create(makeFlow(0), now: start)
        _ = cache.destroy(makeFlow(0).identity)
        #expect(cache.create(makeFlow(0, mark: 3), now: start) == slot)
        cache.settle(slot)
        #expect(cache.count == 1 && cache.counters.created == 2)
        #expect(cache.table.record(at: slot).mark == 3)
    }

    @Test("an update keeps every attribute it does not carry", arguments: Shape.allCases)
    func partialUpdate(shape: Shape) {
        var cache = InternalCache(seed: 2, now: start)
        let flow = makeFlow(3, shape, mark: 42)
        _ = cache.create(flow, now: start)
        var news = Flow(original: flow.original, reply: flow.reply)
        news.zone = flow.zone
        news.attributes = [.protocolState]
        news.protocolState = TCPState.closeWait.rawValue
        let patched = cache.update(news, now: start)
        var expected = flow
        expected.protocolState = TCPState.closeWait.rawValue
        #expect(bytes(of: cache.table.record(at: patched)) == recordBytes(expected))
        // An attribute that lies in a section of its own: the record is written anew.
        news.attributes = [.labels]
        news.labels.high = 0xfeed
        let grown = cache.update(news, now: start)
        expected.attributes.insert(.labels)
        expected.labels = news.labels
        #expect(bytes(of: cache.table.record(at: grown)) == recordBytes(expected))
        #expect(cache.count == 1 && cache.table.occupiedCount == 1)
    }

    @Test("an update that brings another reply tuple changes the translation")
    func replyChange() {
        var cache = InternalCache(seed: 3, now: start)
        _ = cache.create(makeFlow(0, .plain), now: start)
        var news = makeFlow(0, .bothNAT)
        news.attributes = [.timeout]
        news.timeoutSeconds = 600
        let slot = cache.update(news, now: start)
        #expect(cache.table.flow(at: slot).reply == makeFlow(0, .bothNAT).reply)
        #expect(cache.table.flow(at: slot).status == makeFlow(0).status)
    }

    @Test("a new flow under a known identity inherits nothing")
    func replacement() {
        var cache = InternalCache(seed: 4, now: start)
        _ = cache.create(makeFlow(0, .everything, mark: 9), now: start)
        let slot = cache.create(makeFlow(0, .plain), now: start)
        #expect(bytes(of: cache.table.record(at: slot)) == recordBytes(makeFlow(0, .plain)))
        #expect(cache.count == 1 && cache.counters.created == 1 && cache.counters.updated == 1)
    }

    @Test("an update of an unknown or dead flow brings it to life")
    func updateCreates() {
        var cache = InternalCache(seed: 5, now: start)
        _ = cache.update(makeFlow(0), now: start)
        _ = cache.destroy(makeFlow(0).identity)
        let slot = cache.update(makeFlow(0, mark: 2), now: start)
        #expect(cache.count == 1 && cache.table.record(at: slot).mark == 2)
        #expect(cache.counters.created == 2)
    }

    @Test("a deadline follows the timeout reported last; without one the flow is offloaded and lives on")
    func deadline() {
        let flow = makeFlow(0, timeoutSeconds: 100)
        let later = start.advanced(bySeconds: 30)
        // Patched in place, and written anew.
        for attribute: Flow.Attributes in [.mark, .labels] {
            var cache = InternalCache(seed: 6, now: start)
            let slot = cache.create(flow, now: start)
            #expect(cache[slot].deadline == start.advanced(bySeconds: 100))
            var news = Flow(original: flow.original, reply: flow.reply)
            news.attributes = [attribute, .timeout]
            news.timeoutSeconds = 50
            let refreshed = cache.update(news, now: later)
            #expect(cache[refreshed].deadline == later.advanced(bySeconds: 50))
            news.attributes = attribute
            let offloaded = cache.update(news, now: later)
            #expect(cache[offloaded].deadline == later.advanced(bySeconds: InternalCache.offloadedTimeoutSeconds))
        }
    }

    @Test("a cache that forgets everything holds neither flows nor tombstones")
    func removeAll() {
        var cache = InternalCache(seed: 7, now: start)
        for number in 0..<200 { _ = cache.create(makeFlow(number), now: start) }
        for number in 0..<50 { _ = cache.destroy(makeFlow(number).identity) }
        cache.removeAll()
        #expect(cache.count == 0 && cache.table.occupiedCount == 0)
        #expect(cache.counters.destroyed == 200)
    }

    @Test("flows taken before the claim was given up are released, later ones are not")
    func released() {
        var cache = InternalCache(seed: 8, now: start)
        let kept = cache.create(makeFlow(0), now: start)
        let replaced = cache.create(makeFlow(3), now: start)
        let reborn = cache.create(makeFlow(6), now: start)
        #expect(cache.isReleased(kept) == false)
        cache.releaseClaim()
        for slot in [kept, replaced, reborn] { #expect(cache.isReleased(slot) == true) }
        _ = cache.update(makeFlow(0, mark: 4), now: start)
        #expect(cache.isReleased(kept) == true, "traffic on an old flow does not make it a new one")
        _ = cache.create(makeFlow(3, mark: 4), now: start)
        #expect(cache.isReleased(replaced) == false, "a new flow under an old tuple is not the old one")
        _ = cache.destroy(makeFlow(6).identity)
        _ = cache.create(makeFlow(6), now: start)
        #expect(cache.isReleased(reborn) == false)
        let fresh = cache.create(makeFlow(9), now: start)
        #expect(cache.isReleased(fresh) == false)
    }

    @Test("ages count from the flow's appearance, and anew for a flow that comes back")
    func age() {
        var cache = InternalCache(seed: 9, now: start)
        let later = start.advanced(bySeconds: 40)
        let slot = cache.create(makeFlow(0), now: start.advanced(bySeconds: 10))
        #expect(cache.activeSeconds(slot, now: later) == 30)
        _ = cache.update(makeFlow(0), now: later)
        #expect(cache.activeSeconds(slot, now: later) == 30)
        _ = cache.destroy(makeFlow(0).identity)
        _ = cache.create(makeFlow(0), now: later)
        #expect(cache.activeSeconds(slot, now: later.advanced(bySeconds: 2)) == 2)
    }
}
