import Flow
import FlowTable
import Glibc
import Replication

// Fuzzes what a node does with the bytes of the sync link: nothing traps, and what is refused changes no flow.
//
// An input is a sequence of datagrams, each behind its byte count (2 bytes, little-endian). They reach a node that has
// flows, has heard a peer and holds the peer's flows; everything before is the same for every input.

/// A node and its caches.
private struct Station: ~Copyable {
    var node: ReplicationNode
    var internalCache: InternalCache
    var externalCache: ExternalCache

    init(name: String, epoch: UInt64, firstFlow: Int, now: Instant) {
        node = ReplicationNode(
            settings: NodeSettings(name: name, epoch: epoch),
            role: .unset,
            takeoverNumber: 0,
            now: now
        )
        internalCache = InternalCache(seed: 1, now: now)
        externalCache = ExternalCache(seed: 2, now: now)
        for number in firstFlow..<firstFlow + 6 {
            node.announce(internalCache.create(makeFlow(number), now: now), in: &internalCache)
        }
    }

    mutating func receive(_ bytes: RawSpan, now: Instant) {
        node.receive(bytes, now: now, internalCache: &internalCache, externalCache: &externalCache)
    }

    /// Does what is due and hands out what is to be sent.
    mutating func transmit(now: Instant) -> [[UInt8]] {
        node.timeOut(now: now, internalCache: &internalCache, externalCache: &externalCache)
        var sent: [[UInt8]] = []
        while sent.count < 1_000 {
            var buffer = [UInt8](repeating: 0, count: 1_452)
            var span = buffer.mutableSpan
            var bytes = span.mutableBytes
            let count = node.nextTransmit(into: &bytes, now: now, internalCache: &internalCache).byteCount
            guard count > 0 else { return sent }
            sent.append(Array(buffer[..<count]))
        }
        preconditionFailure("the node sends without end")
    }

    /// Makes a repair necessary, so that the messages of one occur.
    mutating func damage() {
        _ = externalCache.damageFirst()
        _ = externalCache.inspect(slotCountMax: .max)
    }

    /// What the flows held come to.
    var contents: [UInt64] {
        var words = [UInt64(internalCache.count), UInt64(externalCache.count)]
        words.append(internalCache.table.total(owner: 0).digest)
        for owner in 0..<UInt16(4) { words.append(externalCache.table.total(owner: owner).digest) }
        return words
    }
}

private func makeFlow(_ number: Int) -> Flow {
    let isIPv6 = number % 3 == 2
    var flow = Flow(
        original: Tuple(
            source: isIPv6
                ? Address(ipv6High: 0x2001_0db8_0000_0000, low: UInt64(number))
                : Address(ipv4: (10, 0, 0, UInt8(number))),
            destination: isIPv6 ? Address(ipv6High: 0x2001_0db8_0000_0001, low: 1) : Address(ipv4: (192, 0, 2, 1)),
            key: ProtocolKey(sourcePort: UInt16(1024 + number), destinationPort: 443),
            protocolNumber: IPProtocol.tcp,
            family: isIPv6 ? .ipv6 : .ipv4
        )
    )
    flow.attributes = [.status, .timeout, .mark, .protocolState]
    flow.status = [.seenReply, .assured, .confirmed]
    flow.timeoutSeconds = 3_600
    flow.mark = UInt32(number)
    if number % 2 == 1 {
        flow.attributes.formUnion([.labels, .helper])
        flow.labels.low = 5
        flow.helper = Flow.HelperName("ftp") ?? flow.helper
    }
    return flow
}

/// What the peer sent while the two became acquainted, by the millisecond.
private let acquaintance: [[[UInt8]]] = makeAcquaintance()
private let acquaintanceMilliseconds: UInt64 = 800
/// When both nodes' copies are damaged.
private let damageMilliseconds: UInt64 = 300
private let start = Instant(nanoseconds: 1_000_000_000)

/// Lets two nodes meet over a link without faults, and mend what is damaged at once.
private func makeAcquaintance() -> [[[UInt8]]] {
    var near = Station(name: "near", epoch: 7, firstFlow: 0, now: start)
    var far = Station(name: "far", epoch: 9, firstFlow: 100, now: start)
    var heard: [[[UInt8]]] = []
    for step in 0..<acquaintanceMilliseconds {
        let now = start.advanced(byMilliseconds: step)
        for datagram in near.transmit(now: now) { far.receive(datagram.span.bytes, now: now) }
        let sent = far.transmit(now: now)
        heard.append(sent)
        for datagram in sent { near.receive(datagram.span.bytes, now: now) }
        if step == damageMilliseconds {
            near.damage()
            far.damage()
        }
        if step == 320, let slot = far.internalCache.destroy(makeFlow(101).identity) {
            far.node.announce(slot, in: &far.internalCache)
        }
    }
    precondition(near.externalCache.count == 5, "the nodes did not become acquainted")
    return heard
}

/// Writes what the peer sent as inputs to start from, if asked to.
@_cdecl("LLVMFuzzerInitialize")
public func writeCorpus(_: UnsafeMutableRawPointer?, _: UnsafeMutableRawPointer?) -> CInt {
    guard let folder = getenv("FLOWSYNC_FUZZ_CORPUS") else { return 0 }
    var number = 0
    for datagram in acquaintance.joined() {
        number += 1
        guard let file = fopen("\(String(cString: folder))/real-\(number)", "w") else { return 1 }
        let bytes = [UInt8(datagram.count & 255), UInt8(datagram.count >> 8)] + datagram
        fwrite(bytes, 1, bytes.count, file)
        fclose(file)
    }
    return 0
}

private func refusals(_ counters: ReceiveCounters) -> UInt64 {
    counters.truncated + counters.foreign + counters.unknownVersion + counters.malformedMessage
        + counters.malformedRecord + counters.own + counters.duplicateNodeID + counters.staleEpoch
        + counters.duplicate + counters.beyondWindow + counters.unproven + counters.tooManyPeers
}

/// A node that knows its peer, as every input finds it.
private func makeStation() -> Station {
    var station = Station(name: "near", epoch: 7, firstFlow: 0, now: start)
    for (step, datagrams) in acquaintance.enumerated() where !datagrams.isEmpty || step % 50 == 0 {
        let now = start.advanced(byMilliseconds: UInt64(step))
        if step == damageMilliseconds { station.damage() }
        _ = station.transmit(now: now)
        for datagram in datagrams { station.receive(datagram.span.bytes, now: now) }
    }
    return station
}

/// Between inputs of which nothing was taken the node stays as it is: making one takes a thousand times as long.
private final class Bench {
    var station = makeStation()
    var useCount = 0
}

nonisolated(unsafe) private var bench = Bench()

/// Gives an input's datagrams to a node.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzDatagrams(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: data, count: count)
    var now = start.advanced(byMilliseconds: acquaintanceMilliseconds)
    let takenBefore = bench.station.node.received.datagrams
    var offset = 0
    while offset + 2 <= count {
        let byteCount = min(Int(input[offset]) | Int(input[offset + 1]) << 8, count - offset - 2)
        let datagram = UnsafeRawBufferPointer(rebasing: input[offset + 2..<offset + 2 + byteCount])
        offset += 2 + byteCount
        let contents = bench.station.contents
        let before = refusals(bench.station.node.received)
        bench.station.receive(datagram.bytes, now: now)
        if refusals(bench.station.node.received) != before {
            precondition(bench.station.contents == contents, "a refused datagram changed a cache")
        }
        now = now.advanced(byMilliseconds: 1)
    }
    bench.useCount += 1
    guard bench.station.node.received.datagrams != takenBefore || bench.useCount > 1_000 else { return 0 }
    // What was taken in must not hurt later either.
    for milliseconds in [UInt64(1), 300, 3_000, 5_000] {
        _ = bench.station.transmit(now: now.advanced(byMilliseconds: milliseconds))
    }
    precondition(bench.station.node.peerStatus.count <= ReplicationNode.peerCountMax)
    bench = Bench()
    return 0
}
