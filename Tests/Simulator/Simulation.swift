import Flow
import FlowTable
import Replication

// A run: nodes of the real protocol on virtual time, driven by nothing but a seed.
//
// Whatever happens is an entry of one agenda: datagrams arrive, a node's deadline comes, kernel events wait to be
// read, clients change flows, something breaks. Time jumps from one entry to the next. The first part of a run is
// trouble, the second heals everything and waits until all copies are equal. The oracle watches all along.
//
// The same seed makes the same run, to the last byte: `RunReport.digest` folds every datagram and every event.

/// A fault of the world outside the protocol, injected to see that the oracle notices.
public enum InjectedFault: Sendable, CaseIterable {
    /// The network changes the mark in a flow's state, which nothing in an unsealed datagram protects.
    case forgedMark
    /// A cache loses a flow at the last moment, when nobody can repair it any more.
    case lostCopy
    /// A kernel gets a flow that it tells nobody of, after the last dump.
    case silentKernel
    /// A node removes its old key before the others seal with the new one.
    case hastyKeyRemoval
}

/// What a run came to.
public struct RunReport: Sendable {
    /// A word that differs between runs in which anything differed.
    public var digest: UInt64 = 0
    /// What was broken; nil if nothing was.
    public var violation: Violation?
    /// Virtual time at the end.
    public var nanoseconds: UInt64 = 0
    /// Virtual time from the healing to the moment at which all copies were equal.
    public var healedNanoseconds: UInt64 = 0
    /// Datagrams sent.
    public var datagramCount = 0
    /// Things that happened.
    public var eventCount = 0
    /// Copies of flows that the oracle looked at.
    public var checkedCopyCount = 0
    /// Whole copies that the oracle compared because a node called them equal.
    public var checkedClaimCount = 0
    /// Datagrams that a node could not open for want of a key.
    public var unreadableCount = 0
    /// What the seed made of the world, in one line.
    public var scenario = ""
}

/// One run of a seed.
public final class Simulation {
    enum Happening {
        case arrival(SimulatedNetwork.Flight)
        case takeFromQueue(Int)
        case wake(Int)
        case drain(Int)
        case dumpStep(Int, id: Int)
        case change(Int)
        case trouble
        case boot(Int)
        case roleOrder(Int, NodeRole)
        case takeoverStep(Int, id: Int, round: Int)
        case keyStep
        case calm(Int)
        case expire(Int)
        case replay
        case heal
        case check
    }

    /// What the world keeps beside each node.
    struct Body {
        var isDown = false
        var wakeAt: Moment?
        var isDrainDue = false
        var isIdleUntil: Moment = 0
        var isDeafUntil: Moment = 0
        /// How long the node takes over a datagram; 0 is at once.
        var takeMicroseconds = 0
        var queue: [SimulatedNetwork.Flight] = []
        var isTaking = false
        var dumpID = 0
        var isDumping = false
        var isSweeping = false
        var dumpCursor: Int?
        var dumpBuffer: [(number: Int, stamp: UInt32)] = []
        var takeoverID = 0
        var owesPurge = false
        var lastEpoch: UInt64 = 0
        /// By start of the daemon.
        var epochs: [UInt64] = []
        var contents: UInt64 = 0
        var contentsChangeCount = -1
        var spinCount = 0
        /// The peers whose flows were once found equal here.
        var hasAgreedWith: Set<Int> = []
        /// The marks of damaged copies, which are no states of their flows.
        var damagedMarks: [UInt32] = []
        var sentCount = 0
    }

    static let queueCountMax = 32
    static let healMilliseconds: Moment = 60_000
    static let eventCountMax = 3_000_000

    let scenario: Scenario
    let fault: InjectedFault?
    var random: SeededRandom
    var network: SimulatedNetwork
    var numbers: FlowNumbers
    var nodes: [SimulatedNode] = []
    var bodies: [Body] = []
    var agenda = Agenda<Happening>()
    var oracle: Oracle
    var moment: Moment = second
    var healedAt: Moment?
    var equalSince: Moment?
    /// Which node shall be primary, in the cast that has one.
    var primary = 0
    /// Datagrams of any age, to be sent again.
    var recording: [SimulatedNetwork.Flight] = []
    var recordedCount = 0
    var buffer: [UInt8]
    var report = RunReport()
    var isDone = false
    var hasInjected = false
    /// Something happened after which a copy may differ although nothing that was sent got lost for good.
    var mayDiffer = false
    let trace: ((String) -> Void)?

    /// A run of a seed.
    ///
    /// - Parameters:
    ///   - nodeCount: how many nodes; nil leaves it to the seed.
    ///   - fault: something to do wrong outside the protocol.
    ///   - trace: gets a line for everything that happens.
    public init(
        seed: UInt64,
        nodeCount: Int? = nil,
        fault: InjectedFault? = nil,
        trace: ((String) -> Void)? = nil
    ) {
        random = SeededRandom(seed: SeededRandom.mix(seed &+ 1))
        scenario = Scenario(&random, nodeCount: nodeCount)
        network = SimulatedNetwork(scenario)
        numbers = FlowNumbers(count: scenario.flowNumberCount)
        oracle = Oracle(nodeCount: scenario.nodeCount, flowNumberCount: scenario.flowNumberCount)
        buffer = [UInt8](repeating: 0, count: scenario.datagramByteCountMax)
        self.fault = fault
        self.trace = trace
        report.scenario = scenario.text
        makeNodes(seed)
    }

    private func makeNodes(_ seed: UInt64) {
        for index in 0..<scenario.nodeCount {
            let epoch = 1 << 40 + UInt64(random.below(1 << 20))
            let clock = NodeClock(
                at: moment,
                startingAt: UInt64(random.number(1...1_000_000)) * 1_000_000,
                rate: UInt64(random.number(scenario.clockRates))
            )
            let role: NodeRole = scenario.cast == .shared ? .unset : index == primary ? .primary : .backup
            nodes.append(
                SimulatedNode(
                    index: index,
                    epoch: epoch,
                    role: role,
                    isReliable: scenario.isReliable,
                    clock: clock,
                    flowNumberCount: scenario.flowNumberCount,
                    seed: seed,
                    at: moment
                )
            )
            var body = Body()
            body.lastEpoch = epoch
            body.epochs = [epoch]
            bodies.append(body)
            if role.claimsFlows {
                for number in scenario.flowNumbers(of: index).prefix(scenario.initialFlowCount) {
                    change(number, of: index)
                }
            }
            agenda.schedule(.wake(index), at: moment + Moment(random.below(200)) * millisecond)
            bodies[index].wakeAt = nil
            agenda.schedule(.change(index), at: moment + millisecond)
            agenda.schedule(.expire(index), at: moment + second)
        }
        if !scenario.troubles.isEmpty { agenda.schedule(.trouble, at: moment + 300 * millisecond) }
        agenda.schedule(.heal, at: moment + scenario.duration)
    }

    /// What the seed made of the world, in one line.
    public var world: String { scenario.text }

    /// Runs to the end.
    public func run() -> RunReport {
        do throws(Violation) {
            while !isDone, let (next, happening) = agenda.popFirst() {
                moment = max(moment, next)
                report.eventCount += 1
                guard report.eventCount < Self.eventCountMax else {
                    throw Violation(rule: "a run ends", detail: "\(report.eventCount) things happened")
                }
                try happen(happening)
            }
        } catch {
            report.violation = error
        }
        report.nanoseconds = moment
        report.checkedCopyCount = oracle.checkedCopyCount
        report.checkedClaimCount = oracle.checkedClaimCount
        return report
    }

    private func happen(_ happening: Happening) throws(Violation) {
        switch happening {
        case .arrival(let flight): try arrive(flight)
        case .takeFromQueue(let index): try takeFromQueue(index)
        case .wake(let index):
            guard bodies[index].wakeAt == nil || bodies[index].wakeAt == moment else { return }
            bodies[index].wakeAt = nil
            try service(index, isWake: true)
        case .drain(let index): try drain(index)
        case .dumpStep(let index, let id): try stepDump(index, id)
        case .change(let index): keepChanging(index)
        case .trouble: try makeTrouble()
        case .boot(let index): try boot(index)
        case .roleOrder(let index, let role): try order(role, index)
        case .takeoverStep(let index, let id, let round): try stepTakeover(index, id, round)
        case .keyStep: stepKeys()
        case .calm(let index):
            bodies[index].takeMicroseconds = 0
            nodes[index].kernel.silentLossPermille = 0
        case .expire(let index):
            agenda.schedule(.expire(index), at: moment + second)
            if !bodies[index].isDown { nodes[index].expire(at: moment) }
        case .replay: replay()
        case .heal: try heal()
        case .check: try check()
        }
    }

    /// Folds a word into the run's digest.
    func fold(_ word: UInt64) {
        report.digest = SeededRandom.mix(report.digest ^ word) &+ moment
    }

    func note(_ text: @autoclosure () -> String) {
        guard let trace else { return }
        let microseconds = String(moment % second / 1_000)
        let padding = String(repeating: "0", count: 6 - microseconds.count)
        trace("\(moment / second).\(padding)\(microseconds) \(text())")
    }
}
