import Flow
import FlowTable

@testable import Replication

/// A source of random numbers that repeats itself for a seed (SplitMix64).
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var word = state
        word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
        word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
        return word ^ (word >> 31)
    }
}

/// What the link between the nodes does to datagrams.
struct VirtualLink {
    var lossPercent = 0
    var duplicationPercent = 0
    var delayMilliseconds: ClosedRange<UInt64> = 0...1
    /// Nodes whose datagrams are swallowed whole.
    var isCut = [false, false, false]
    /// Nodes that no datagram reaches.
    var isDeaf = [false, false, false]
}

/// A node with its caches, as the daemon would hold them.
final class VirtualNode {
    var node: ReplicationNode
    var internalCache: InternalCache
    var externalCache: ExternalCache
    let name: String

    private let isReliable: Bool

    init(name: String, epoch: UInt64, role: NodeRole = .unset, isReliable: Bool = true, now: Instant) {
        self.name = name
        self.isReliable = isReliable
        node = ReplicationNode(
            settings: NodeSettings(name: name, epoch: epoch, isReliable: isReliable),
            role: role,
            takeoverNumber: 0,
            now: now
        )
        internalCache = InternalCache(seed: epoch, now: now)
        externalCache = ExternalCache(seed: epoch &+ 1, now: now)
    }

    func create(_ flow: Flow, now: Instant) {
        let slot = internalCache.create(flow, now: now)
        node.announce(slot, in: &internalCache)
    }

    func update(_ flow: Flow, now: Instant) {
        let slot = internalCache.update(flow, now: now)
        node.announce(slot, in: &internalCache)
    }

    func destroy(_ identity: FlowIdentity) {
        if let slot = internalCache.destroy(identity) { node.announce(slot, in: &internalCache) }
    }

    func receive(_ datagram: [UInt8], now: Instant) {
        var bytes = datagram
        answerChallenge(&bytes, now: now)
        node.receive(bytes.span.bytes, now: now, internalCache: &internalCache, externalCache: &externalCache)
    }

    /// Lets a hand-made datagram be believed at once: its echo becomes what this node wants to hear.
    private func answerChallenge(_ bytes: inout [UInt8], now: Instant) {
        let echo = DatagramHeader.byteCount + 4 + 20
        guard bytes.count >= echo + 4, bytes[DatagramHeader.byteCount] == MessageKind.hello.rawValue,
            bytes[echo..<echo + 4].allSatisfy({ $0 == 0xff }),
            let header = try? DatagramHeader(decoding: bytes.span.bytes)
        else { return }
        let isKnown = node.peers.contains { $0.nodeID == header.nodeID && $0.epoch == header.epoch }
        if !isKnown { _ = node.candidates.hear(header, nil, now: now) }
        guard let challenge = node.candidates.challenge(to: header) else { return }
        for byte in 0..<4 { bytes[echo + byte] = UInt8(truncatingIfNeeded: challenge >> UInt32(8 * byte)) }
    }

    func transmit(into buffer: inout [UInt8], now: Instant) -> Int {
        var span = buffer.mutableSpan
        var bytes = span.mutableBytes
        return node.nextTransmit(into: &bytes, now: now, internalCache: &internalCache).byteCount
    }

    /// As the daemon does it on `flush internal`.
    func flushInternal(now: Instant) {
        node.abandonPending(now: now, internalCache: &internalCache)
        internalCache.removeAll()
    }

    func restart(epoch: UInt64, now: Instant, keepingKernel: Bool) {
        var flows: [Flow] = []
        if keepingKernel {
            var slot = internalCache.table.next(after: nil)
            while let current = slot {
                if !internalCache.table[current].flags.contains(.dead) {
                    flows.append(internalCache.table.flow(at: current))
                }
                slot = internalCache.table.next(after: current)
            }
        }
        let role = node.role
        node = ReplicationNode(
            settings: NodeSettings(name: name, epoch: epoch, isReliable: isReliable),
            role: role,
            takeoverNumber: node.takeoverNumber,
            now: now
        )
        internalCache = InternalCache(seed: epoch, now: now)
        externalCache = ExternalCache(seed: epoch, now: now)
        for flow in flows { create(flow, now: now) }
    }
}

/// Nodes of the real code on a virtual clock and one seeded multicast link.
final class VirtualNetwork {
    /// A datagram under way.
    struct Flight {
        var due: Instant
        var to: Int
        var bytes: [UInt8]
    }

    var now = Instant(nanoseconds: 1_000_000_000)
    var link = VirtualLink()
    var nodes: [VirtualNode]
    var random: SeededRandom
    /// Everything that was sent, if a test wants it.
    var recording: [[UInt8]]?
    private var wire: [Flight] = []
    private var buffer = [UInt8](repeating: 0, count: 1452)
    private var epoch: UInt64 = 100

    init(seed: UInt64, nodeCount: Int = 2, isReliable: Bool = true) {
        random = SeededRandom(seed: seed)
        let now = now
        nodes = (1...nodeCount).map { VirtualNode(name: "r\($0)", epoch: UInt64($0), isReliable: isReliable, now: now) }
    }

    func restart(_ index: Int, keepingKernel: Bool = true) {
        epoch += 1
        nodes[index].restart(epoch: epoch, now: now, keepingKernel: keepingKernel)
        // What was on the wire stays there: datagrams of the old epoch still arrive.
    }

    func setRole(_ role: NodeRole, of index: Int) {
        nodes[index].node.setRole(role, now: now, internalCache: &nodes[index].internalCache)
    }

    /// Lets time pass in steps of one millisecond, as a busy event loop would.
    func run(milliseconds: Int, everyMillisecond: (Int) -> Void = { _ in }) {
        for step in 0..<milliseconds {
            everyMillisecond(step)
            if !wire.isEmpty {
                let due = wire.filter { $0.due <= now }
                wire.removeAll { $0.due <= now }
                for datagram in due where !link.isDeaf[datagram.to] { deliver(datagram.bytes, to: datagram.to) }
            }
            for index in nodes.indices {
                nodes[index].node.timeOut(
                    now: now,
                    internalCache: &nodes[index].internalCache,
                    externalCache: &nodes[index].externalCache
                )
                transmit(index)
            }
            now = now.advanced(byMilliseconds: 1)
        }
    }

    func deliver(_ bytes: [UInt8], to index: Int) {
        nodes[index].receive(bytes, now: now)
    }

    private func transmit(_ index: Int) {
        for _ in 0..<4096 {
            let count = nodes[index].transmit(into: &buffer, now: now)
            guard count > 0 else { break }
            recording?.append(Array(buffer[..<count]))
            guard !link.isCut[index] else { continue }
            for target in nodes.indices where target != index {
                if Int.random(in: 0..<100, using: &random) < link.lossPercent { continue }
                let copies = Int.random(in: 0..<100, using: &random) < link.duplicationPercent ? 2 : 1
                for _ in 0..<copies {
                    let delay = UInt64.random(in: link.delayMilliseconds, using: &random)
                    let due = now.advanced(byMilliseconds: delay)
                    wire.append(Flight(due: due, to: target, bytes: Array(buffer[..<count])))
                }
            }
        }
    }

    /// What differs between a node's internal cache and another's external cache, if nobody else announces anything;
    /// empty if nothing does.
    func differences(from index: Int, to other: Int? = nil) -> [String] {
        let (source, target) = (nodes[index], nodes[other ?? 1 - index])
        var differences: [String] = []
        var slot = source.internalCache.table.next(after: nil)
        while let current = slot {
            if !source.internalCache.table[current].flags.contains(.dead) {
                let flow = source.internalCache.table.flow(at: current)
                if let found = target.externalCache.table.find(flow.identity),
                    !target.externalCache.table[found].flags.contains(.dead)
                {
                    let copy = target.externalCache.table.flow(at: found)
                    if copy.mark != flow.mark || copy.status != flow.status || copy.reply != flow.reply
                        || copy.protocolState != flow.protocolState
                    {
                        differences.append("mark \(flow.mark) at the source, \(copy.mark) at the target")
                    }
                } else {
                    differences.append("missing: \(flow.original.key.sourcePort)")
                }
            }
            slot = source.internalCache.table.next(after: current)
        }
        if source.internalCache.count != target.externalCache.count {
            differences.append("\(source.internalCache.count) flows, but \(target.externalCache.count) copies")
        }
        return differences
    }
}

/// An IPv4 TCP flow with SNAT, told apart by `number`.
func makeFlow(_ number: Int, mark: UInt32 = 0, timeoutSeconds: UInt32 = 3_600) -> Flow {
    let original = Tuple(
        source: Address(ipv4: (10, UInt8(number >> 16 & 255), UInt8(number >> 8 & 255), UInt8(number & 255))),
        destination: Address(ipv4: (192, 0, 2, 1)),
        key: ProtocolKey(sourcePort: UInt16(1024 + number % 60_000), destinationPort: 443),
        protocolNumber: IPProtocol.tcp,
        family: .ipv4
    )
    var flow = Flow(original: original)
    flow.reply.destination = Address(ipv4: (198, 51, 100, 1))
    flow.attributes = [.status, .timeout, .mark, .protocolState]
    flow.status = [.seenReply, .assured, .confirmed]
    flow.timeoutSeconds = timeoutSeconds
    flow.mark = mark
    flow.protocolState = TCPState.established.rawValue
    return flow
}

/// Two nodes, the usual number.
typealias VirtualPair = VirtualNetwork
