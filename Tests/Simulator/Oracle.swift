import Flow
import FlowTable

/// What must never happen, and did.
public struct Violation: Error, Sendable, CustomStringConvertible {
    /// The rule that was broken.
    public let rule: String
    /// Who broke it, and how.
    public let detail: String

    /// The rule and what broke it, in one line.
    public var description: String { "\(rule): \(detail)" }
}

/// Knows what every copy may be, from what was seen so far.
struct Oracle {
    /// What one receiver held of one flow as written by one node: it must not go back below.
    private struct Floor {
        var stamp: UInt32 = 0
        /// The flow is gone as of that stamp: it must not come back in a state that old.
        var isDead = false
    }

    private let nodeCount: Int
    private let flowNumberCount: Int
    private var floors: [Floor]
    /// Whose flow it was when a receiver's copy was last looked at; by receiver, flow number.
    private var owners: [Int8]
    /// The latest start of a sender that a receiver has taken for its present one.
    private var acceptedIncarnations: [Int]
    /// Copies that were checked.
    private(set) var checkedCopyCount = 0
    /// Comparisons of a whole copy with its owner's cache, made because a receiver claimed that they are equal.
    private(set) var checkedClaimCount = 0

    init(nodeCount: Int, flowNumberCount: Int) {
        self.nodeCount = nodeCount
        self.flowNumberCount = flowNumberCount
        floors = Array(repeating: Floor(), count: nodeCount * nodeCount * flowNumberCount)
        owners = Array(repeating: -1, count: nodeCount * flowNumberCount)
        acceptedIncarnations = Array(repeating: -1, count: nodeCount * nodeCount)
    }

    private func place(_ receiver: Int, _ writer: Int, _ number: Int) -> Int {
        (receiver * nodeCount + writer) * flowNumberCount + number
    }

    /// A receiver forgets what it held.
    mutating func forget(receiver: Int, keepsSessions: Bool) {
        let size = nodeCount * flowNumberCount
        for index in receiver * size..<(receiver + 1) * size { floors[index] = Floor() }
        guard !keepsSessions else { return }
        for sender in 0..<nodeCount { acceptedIncarnations[receiver * nodeCount + sender] = -1 }
    }

    /// A receiver takes a flow out of its cache, because it is its own now.
    mutating func forget(_ number: Int, at receiver: Int) {
        for writer in 0..<nodeCount { floors[place(receiver, writer, number)] = Floor() }
    }

    /// A writer forgets what it told: it may tell the same again.
    mutating func forget(writer: Int) {
        for receiver in 0..<nodeCount {
            for number in 0..<flowNumberCount { floors[place(receiver, writer, number)].isDead = false }
        }
    }

    mutating func accept(receiver: Int, sender: Int, incarnation: Int) {
        let place = receiver * nodeCount + sender
        acceptedIncarnations[place] = max(acceptedIncarnations[place], incarnation)
    }

    /// Whether the receiver may have begun to believe the start of the sender that a datagram is of.
    func wantsPeer(_ flight: SimulatedNetwork.Flight) -> Bool {
        flight.incarnation > acceptedIncarnations[flight.to * nodeCount + flight.from]
    }

    /// Whether a datagram is of a start of its sender that the receiver has left behind for a later one.
    func isOfDeadEpoch(_ flight: SimulatedNetwork.Flight) -> Bool {
        flight.incarnation < acceptedIncarnations[flight.to * nodeCount + flight.from]
    }

    /// Checks a copy that a datagram spoke of.
    mutating func check(copy: Flow, at receiver: Int, _ numbers: FlowNumbers) throws(Violation) {
        checkedCopyCount += 1
        if let problem = numbers.problem(of: copy) {
            throw Violation(rule: "copies are states that a kernel had", detail: "node \(receiver) holds \(problem)")
        }
        guard let number = numbers.number(of: copy.identity) else { return }
        let writer = Int(numbers.states[Int(copy.mark)].writer)
        noteOwner(writer, of: number, at: receiver)
        let floor = floors[place(receiver, writer, number)]
        if copy.mark < floor.stamp || (copy.mark == floor.stamp && floor.isDead) {
            throw Violation(
                rule: floor.isDead ? "a deleted flow does not come back" : "no older state over a newer one",
                detail: """
                    node \(receiver) holds flow \(number) of node \(writer) in state \(copy.mark), \
                    after state \(floor.stamp)\(floor.isDead ? " in which it was deleted" : "")
                    """
            )
        }
        floors[place(receiver, writer, number)] = Floor(stamp: copy.mark, isDead: false)
    }

    /// With a new owner of a flow begins a new order of its states; what the former one says then counts from there.
    private mutating func noteOwner(_ writer: Int, of number: Int, at receiver: Int) {
        let index = receiver * flowNumberCount + number
        let former = Int(owners[index])
        guard former != writer else { return }
        owners[index] = Int8(writer)
        if former >= 0 { floors[place(receiver, former, number)] = Floor() }
    }

    /// Notes that a receiver has taken in a flow's end.
    mutating func noteDeath(of mention: DatagramReader.Mention, at receiver: Int, _ numbers: FlowNumbers) {
        guard let number = numbers.number(of: mention.identity), Int(mention.mark) < numbers.states.count,
            mention.mark > 0
        else { return }
        let writer = Int(numbers.states[Int(mention.mark)].writer)
        noteOwner(writer, of: number, at: receiver)
        let index = place(receiver, writer, number)
        if mention.mark >= floors[index].stamp { floors[index] = Floor(stamp: mention.mark, isDead: true) }
    }

    /// A sum over the live flows of a table, without their timeouts; equal for equal contents only.
    static func contents(of table: borrowing FlowTable, owner: UInt16? = nil) -> UInt64 {
        var sum: UInt64 = 0
        var position = table.next(after: nil)
        while let slot = position {
            let header = table[slot]
            if !header.flags.contains(.dead), owner == nil || header.owner == owner {
                sum &+= SeededRandom.mix(word(of: table.flow(at: slot)))
            }
            position = table.next(after: slot)
        }
        return sum
    }

    private static func word(of flow: Flow) -> UInt64 {
        var word = FlowNumbers.content(flow) &+ UInt64(flow.attributes.rawValue)
        if flow.attributes.contains(.labels) { word = SeededRandom.mix(word ^ flow.labels.low) &+ flow.labels.high }
        return word
    }

    /// Checks the central claim: what a receiver calls equal is equal.
    mutating func check(
        claimOf receiver: SimulatedNode,
        about peer: SimulatedNode.PeerView,
        contents: UInt64
    ) throws(Violation) {
        checkedClaimCount += 1
        let copy = Self.contents(of: receiver.externalCache.table, owner: peer.owner)
        guard copy == contents else {
            throw Violation(
                rule: "what is called in sync is equal",
                detail: """
                    node \(receiver.index) reports node \(peer.index) verified now, but its copy of \
                    \(Self.count(of: receiver.externalCache.table, owner: peer.owner)) flows differs from what the \
                    owner held when it said so
                    """
            )
        }
    }

    static func count(of table: borrowing FlowTable, owner: UInt16) -> Int {
        var count = 0
        var position = table.next(after: nil)
        while let slot = position {
            let header = table[slot]
            if !header.flags.contains(.dead), header.owner == owner { count += 1 }
            position = table.next(after: slot)
        }
        return count
    }
}
