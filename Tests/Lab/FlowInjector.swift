internal import Conntrack
public import Flow
internal import Glibc
internal import SystemIO

/// Puts made-up flows into the kernel's table of this process's network namespace, many and fast.
///
/// Flow number n is an established TCP connection to the server with source NAT to the floating WAN address; no two
/// numbers clash, also not in their translated tuples.
public final class FlowInjector {
    /// What was done, and what was refused.
    public struct Tally: Sendable {
        /// Entries created.
        public var created = 0
        /// Entries changed.
        public var updated = 0
        /// Entries deleted.
        public var deleted = 0
        /// Refusals by errno name.
        public var failed: [String: Int] = [:]

        /// The counts in words.
        public var text: String {
            "created \(created), updated \(updated), deleted \(deleted), "
                + "failed \(failed.values.reduce(0, +)) \(failed.isEmpty ? "" : "\(failed)")"
        }
    }

    /// Flow numbers are below this.
    public static let flowCountMax = 4_000_000
    private static let jobRecordCountMax = 1_000

    private let wakeup: Wakeup
    private let writer: KernelWriter
    private var nextJobID: UInt64 = 1
    private var doneJobID: UInt64 = 0
    /// What was done so far.
    public private(set) var tally = Tally()

    /// Opens the netlink socket.
    public init() throws {
        wakeup = try Wakeup()
        writer = try KernelWriter(wakeup: wakeup)
    }

    deinit {
        writer.stop()
    }

    /// Flow number `number`; `generation` changes its mark, so that a second write is a change.
    public static func flow(_ number: Int, generation: Int = 0) -> Flow {
        precondition(number < flowCountMax, "flow \(number) of \(flowCountMax)")
        let client = Address(ipv4: (10, 10, 0, UInt8(100 + number % 100)))
        let server = Address(ipv4: (10, 20, 0, 10))
        // The translated tuple keeps both ports, so they alone must tell the flows apart.
        let sourcePort = UInt16(20_000 + number % 40_000)
        let serverPort = UInt16(1_000 + number / 40_000)
        func tuple(_ source: Address, _ destination: Address, _ from: UInt16, _ to: UInt16) -> Tuple {
            Tuple(
                source: source,
                destination: destination,
                key: ProtocolKey(sourcePort: from, destinationPort: to),
                protocolNumber: IPProtocol.tcp,
                family: .ipv4
            )
        }
        var flow = Flow(
            original: tuple(client, server, sourcePort, serverPort),
            reply: tuple(server, Address(ipv4: (10, 20, 0, 1)), serverPort, sourcePort)
        )
        flow.attributes = [.status, .timeout, .mark, .protocolState]
        flow.status = [.confirmed, .seenReply, .assured, .sourceNAT, .sourceNATDone, .destinationNATDone]
        flow.timeoutSeconds = UInt32(3_600 + number % 1_000)
        flow.mark = UInt32(1 + generation)
        flow.protocolState = TCPState.established.rawValue
        return flow
    }

    /// Bytes of the flow's record, as caches hold it and links carry it.
    public static func recordByteCount(_ number: Int) -> Int { EncodedFlowRecord(flow(number)).byteCount }

    /// The source and destination port of the flow's original tuple, for a command line.
    public static func ports(_ number: Int) -> (source: Int, destination: Int) {
        let key = flow(number).original.key
        return (Int(key.sourcePort), Int(key.destinationPort))
    }

    /// Creates or changes flows.
    public func write(_ numbers: some Collection<Int>, generation: Int = 0) throws {
        try perform(.create, numbers.map { Self.flow($0, generation: generation) })
    }

    /// Creates or changes flows, each to a generation of its own, in this order.
    func write(_ flows: [(number: Int, generation: Int)]) throws {
        try perform(.create, flows.map { Self.flow($0.number, generation: $0.generation) })
    }

    /// Deletes flows.
    public func delete(_ numbers: some Collection<Int>) throws {
        try perform(.delete, numbers.map { Self.flow($0) })
    }

    /// Creates, changes and deletes flows at random among `population` numbers, `rate` of them a second.
    ///
    /// About half of the operations create, which first fills the population; the others change and delete.
    public func churn(rate: Int, seconds: Double, population: Int, seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var alive = Set<Int>()
        let start = Clock.seconds
        var issued = 0
        var generation = 0
        while Clock.seconds - start < seconds {
            let due = Int((Clock.seconds - start) * Double(rate)) - issued
            generation += 1
            var writes = Set<Int>()
            var deletes = Set<Int>()
            for _ in 0..<min(due, Self.jobRecordCountMax) {
                let number = Int.random(in: 0..<population, using: &random)
                if alive.contains(number), Bool.random(using: &random) {
                    if !writes.contains(number) { deletes.insert(number) }
                } else if !deletes.contains(number) {
                    writes.insert(number)
                }
            }
            try write(writes.sorted(), generation: generation)
            try delete(deletes.sorted())
            alive.formUnion(writes)
            alive.subtract(deletes)
            issued += max(0, min(due, Self.jobRecordCountMax))
            usleep(2_000)
        }
    }

    /// Hands the flows over in jobs and waits until the kernel has done them.
    private func perform(_ kind: WriteJob.Kind, _ flows: [Flow]) throws {
        var start = 0
        while start < flows.count {
            let end = min(start + Self.jobRecordCountMax, flows.count)
            var records: [UInt8] = []
            records.reserveCapacity((end - start) * 64)
            for flow in flows[start..<end] {
                let record = EncodedFlowRecord(flow)
                record.bytes.withUnsafeBytes { records.append(contentsOf: $0) }
            }
            let job = WriteJob(id: nextJobID, kind: kind, records: records, count: end - start)
            while !writer.submit(job) { try collect() }
            nextJobID += 1
            start = end
        }
        while doneJobID + 1 < nextJobID { try collect() }
    }

    private func collect() throws {
        var request = pollfd(fd: wakeup.descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&request, 1, 30_000) > 0 else { throw LabError("the kernel writer gave no answer in 30 s") }
        wakeup.drain()
        for outcome in writer.takeOutcomes() {
            doneJobID = outcome.id
            tally.created += outcome.created
            tally.updated += outcome.updated + outcome.replaced
            tally.deleted += outcome.deleted
            for failure in outcome.failures { tally.failed[SystemError.name(of: failure.errno), default: 0] += 1 }
        }
    }
}
