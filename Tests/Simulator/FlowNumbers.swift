import Flow

/// The flows of a simulation, told apart by number, and the states they were ever in, told apart by stamp.
///
/// Every state that any kernel ever gave a flow has a stamp of its own, larger than all before; the flow's mark carries
/// it, and everything else follows from it. So a copy says by itself which state it is of, and whether it is whole.
struct FlowNumbers {
    /// A state that some kernel gave a flow.
    struct State {
        var number: UInt16
        var writer: UInt8
        var hasLabels: Bool
    }

    /// Flow numbers there are.
    let count: Int
    private let identities: [FlowIdentity]
    /// By stamp; stamp 0 is none.
    private(set) var states = [State(number: 0, writer: 0, hasLabels: false)]

    init(count: Int) {
        self.count = count
        identities = (0..<count).map { Self.flow($0, stamp: 0, hasLabels: false).identity }
    }

    /// Gives a flow a new state.
    mutating func nextStamp(_ number: Int, writer: Int, hasLabels: Bool) -> UInt32 {
        states.append(State(number: UInt16(number), writer: UInt8(writer), hasLabels: hasLabels))
        return UInt32(states.count - 1)
    }

    func identity(_ number: Int) -> FlowIdentity { identities[number] }

    /// The number of a flow; nil if it is none of the simulation's.
    func number(of identity: FlowIdentity) -> Int? {
        let number = Int(identity.tuple.key.sourcePort) - 1024
        guard number >= 0, number < count, identities[number] == identity else { return nil }
        return number
    }

    /// The flow in the state of a stamp.
    func flow(_ number: Int, stamp: UInt32) -> Flow {
        Self.flow(number, stamp: stamp, hasLabels: states[Int(stamp)].hasLabels)
    }

    /// What is wrong with a copy; nil if it is some state that its flow was in.
    func problem(of copy: Flow) -> String? {
        guard let number = number(of: copy.identity) else { return "a flow that no kernel ever had" }
        guard copy.mark > 0, Int(copy.mark) < states.count, Int(states[Int(copy.mark)].number) == number else {
            return "flow \(number) with mark \(copy.mark), a state that no kernel ever gave it"
        }
        let truth = flow(number, stamp: copy.mark)
        guard Self.content(copy) == Self.content(truth) else { return "flow \(number) with mixed-up attributes" }
        return nil
    }

    /// A word that differs for any two states of any two flows.
    static func content(_ flow: Flow) -> UInt64 {
        var word = UInt64(flow.original.key.raw) << 32 | UInt64(flow.mark)
        word = SeededRandom.mix(word) &+ UInt64(flow.status.rawValue) << 8 &+ UInt64(flow.protocolState)
        word = SeededRandom.mix(word) ^ flow.original.source.high ^ flow.reply.destination.high
        // Labels may have outlived the flow's former life, if its end and its return were both lost.
        return SeededRandom.mix(word)
    }

    private static func flow(_ number: Int, stamp: UInt32, hasLabels: Bool) -> Flow {
        let isIPv6 = number % 5 == 4
        let source =
            isIPv6
            ? Address(ipv6High: 0x2001_0db8_0000_0000, low: UInt64(number))
            : Address(ipv4: (10, 0, UInt8(number >> 8), UInt8(number & 255)))
        let destination =
            isIPv6 ? Address(ipv6High: 0x2001_0db8_0000_0001, low: 1) : Address(ipv4: (192, 0, 2, 1))
        let original = Tuple(
            source: source,
            destination: destination,
            key: ProtocolKey(sourcePort: UInt16(1024 + number), destinationPort: 443),
            protocolNumber: number % 3 == 2 ? IPProtocol.udp : IPProtocol.tcp,
            family: isIPv6 ? .ipv6 : .ipv4
        )
        var flow = Flow(original: original)
        if number % 2 == 0, !isIPv6 { flow.reply.destination = Address(ipv4: (198, 51, 100, 1)) }
        let word = SeededRandom.mix(UInt64(stamp))
        flow.attributes = [.status, .timeout, .mark, .protocolState]
        flow.status = word & 1 == 0 ? [.seenReply, .confirmed] : [.seenReply, .assured, .confirmed]
        flow.timeoutSeconds = word & 6 == 0 ? 30 : 3_600
        flow.mark = stamp
        flow.protocolState = UInt8(word >> 8 & 7)
        if hasLabels {
            flow.attributes.insert(.labels)
            flow.labels.low = word
            flow.labels.high = ~word
        }
        return flow
    }
}
