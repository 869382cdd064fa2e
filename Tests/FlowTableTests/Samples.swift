import Flow
import FlowTable

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

/// Flows of every record size.
enum Shape: Int, CaseIterable {
    case plain
    case sourceNAT
    case bothNAT
    case helper
    case labelsAndHelper
    case everything
}

/// A TCP flow told apart by `number`; every third one is IPv6, every fifth lies in a zone.
func makeFlow(_ number: Int, _ shape: Shape = .sourceNAT, mark: UInt32 = 0, timeoutSeconds: UInt32 = 600) -> Flow {
    let family: AddressFamily = number % 3 == 2 ? .ipv6 : .ipv4
    let original = Tuple(
        source: makeAddress(number, network: 10, family),
        destination: makeAddress(1, network: 192, family),
        key: ProtocolKey(sourcePort: UInt16(1024 + number % 60_000), destinationPort: 443),
        protocolNumber: IPProtocol.tcp,
        family: family
    )
    var flow = Flow(original: original)
    if number % 5 == 4 { flow.zone = Zone(id: 7, direction: .original) }
    flow.attributes = [.status, .timeout, .mark, .protocolState]
    flow.status = [.seenReply, .assured, .confirmed]
    flow.timeoutSeconds = timeoutSeconds
    flow.mark = mark
    flow.protocolState = TCPState.established.rawValue
    if shape != .plain { flow.reply.destination = makeAddress(2, network: 198, family) }
    if shape == .bothNAT || shape == .everything { flow.reply.source = makeAddress(3, network: 172, family) }
    if shape == .helper || shape == .labelsAndHelper || shape == .everything {
        flow.attributes.insert(.helper)
        flow.helper = Flow.HelperName("ftp") ?? Flow.HelperName()
    }
    if shape == .labelsAndHelper || shape == .everything {
        flow.attributes.insert(.labels)
        flow.labels.low = 0x55
    }
    if shape == .everything {
        flow.attributes.formUnion([.sequenceAdjustment, .master, .synproxy])
        flow.sequenceAdjustmentOriginal.offsetAfter = 12
        flow.synproxy.initialTimestamp = 99
    }
    return flow
}

private func makeAddress(_ number: Int, network: UInt8, _ family: AddressFamily) -> Address {
    switch family {
    case .ipv4:
        Address(ipv4: (network, UInt8(number >> 16 & 255), UInt8(number >> 8 & 255), UInt8(number & 255)))
    case .ipv6:
        Address(ipv6High: 0x2001_0db8_0000_0000 | UInt64(network), low: UInt64(number))
    }
}

/// A flow's packed record.
func recordBytes(_ flow: Flow) -> [UInt8] {
    let record = EncodedFlowRecord(flow)
    return bytes(of: FlowRecordView(record.bytes))
}

/// The record that a view reads, without what lies behind it.
func bytes(of view: FlowRecordView) -> [UInt8] {
    (0..<view.byteCount).map { view.bytes.word(at: $0, as: UInt8.self) }
}

extension FlowTable {
    /// The slots of a whole walk, in its order.
    var slots: [Slot] {
        var slots: [Slot] = []
        var position = next(after: nil)
        while let slot = position {
            slots.append(slot)
            position = next(after: slot)
        }
        return slots
    }
}
