internal import Conntrack
internal import Flow
internal import Glibc
public import Lab

/// Carries out a workload on the connection table of this process's network namespace, by netlink, in batches.
///
/// The flows are `FlowInjector`'s: established TCP connections with source NAT. Each operation is one event. All
/// requests are built beforehand: while it runs, the program does nothing but hand them to the kernel.
public final class LoadGenerator {
    /// A moment and how many operations the kernel had carried out by then.
    public struct Mark: Sendable {
        /// `CLOCK_MONOTONIC`, just before the batch went to the kernel.
        public var nanoseconds: UInt64
        /// Operations, this batch's included.
        public var operationCount: Int
    }

    /// Requests per batch at most; more gain nothing.
    private static let batchCountMax = 64
    /// Between two batches of a workload with a rate: short, so that events come spread as on a router and not in
    /// bursts, which would spare a daemon that is woken for each.
    private static let tickNanoseconds: UInt64 = 200_000

    private let pipe: NetlinkPipe
    private let workload: Workload
    /// All requests, one after the other; pages are taken as they are written.
    private let memory: UnsafeMutableRawBufferPointer
    /// Where each request begins, and the last one ends.
    private var offsets: [Int] = [0]
    private var failedCount = 0
    /// One per batch, if they are wanted.
    public private(set) var marks: [Mark] = []
    /// Whether `marks` is kept.
    public var keepsMarks = false

    /// Opens the netlink socket and builds the workload's requests.
    public init(_ workload: Workload) throws(LabError) {
        self.workload = workload
        pipe = try NetlinkPipe(receiveBufferByteCount: 8 << 20)
        memory = .allocate(byteCount: RequestEncoder.encodedByteCountMax * (workload.operationCount + 1), alignment: 16)
        offsets.reserveCapacity(workload.operationCount + 1)
        var mixer = Mixer(workload)
        for _ in 0..<workload.operationCount { append(mixer.next()) }
        try sleepPrecisely()
    }

    deinit {
        memory.deallocate()
    }

    private func append(_ operation: Mixer.Operation) {
        let start = offsets[offsets.count - 1]
        let room = UnsafeMutableRawBufferPointer(rebasing: memory[start...])
        var output = OutputRawSpan(buffer: room, initializedCount: 0)
        _ = RequestEncoder.encode(
            operation.request,
            of: FlowInjector.flow(operation.number, generation: operation.generation),
            sequence: 0,
            isAcknowledged: false,
            into: &output
        )
        offsets.append(start + output.finalize(for: room))
    }

    /// Carries it out.
    public func run() throws(LabError) -> WorkloadResult {
        // The load stands for packets, which the kernel handles before it lets any program run: a rate is kept even
        // where the daemons want all processors.
        if workload.rate > 0 { setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, -20) }
        var issuedCount = 0
        var batchNumber = 0
        let start = Clock.nanoseconds
        while issuedCount < workload.operationCount {
            let due = dueCount(issuedCount, since: start)
            if due == 0 {
                sleepUntil((Clock.nanoseconds / Self.tickNanoseconds + 1) * Self.tickNanoseconds)
                continue
            }
            let first = issuedCount
            issuedCount += min(due, Self.batchCountMax)
            if keepsMarks { marks.append(Mark(nanoseconds: Clock.nanoseconds, operationCount: issuedCount)) }
            try pipe.send(UnsafeRawBufferPointer(rebasing: memory[offsets[first]..<offsets[issuedCount]]))
            batchNumber += 1
            if batchNumber % 64 == 0 { try countRefusals() }
        }
        try countRefusals()
        return WorkloadResult(
            operationCount: issuedCount - failedCount,
            failedCount: failedCount,
            seconds: Double(Clock.nanoseconds - start) / 1e9
        )
    }

    private func dueCount(_ issuedCount: Int, since start: UInt64) -> Int {
        let left = workload.operationCount - issuedCount
        guard workload.rate > 0 else { return left }
        let elapsed = Double(Clock.nanoseconds - start) / 1e9
        return max(0, min(left, Int(elapsed * Double(workload.rate)) - issuedCount))
    }

    private func sleepUntil(_ nanoseconds: UInt64) {
        var time = timespec(
            tv_sec: Int(nanoseconds / 1_000_000_000),
            tv_nsec: Int(nanoseconds % 1_000_000_000)
        )
        clock_nanosleep(CLOCK_MONOTONIC, Int32(TIMER_ABSTIME), &time, nil)
    }

    /// The kernel answers refusals only.
    private func countRefusals() throws(LabError) {
        while true {
            switch try pipe.receive() {
            case .nothing: return
            case .overrun: throw LabError("the kernel refused more of the load than can be counted")
            case .bytes(let count):
                var offset = 0
                while offset + 16 <= count {
                    failedCount += 1
                    offset += max(16, Int(pipe.buffer.loadUnaligned(fromByteOffset: offset, as: UInt32.self)) + 3 & ~3)
                }
            }
        }
    }
}

/// Chooses the operations of a workload one after the other.
struct Mixer {
    struct Operation {
        var request: RequestEncoder.Request
        var number: Int
        var generation = 0
    }

    private var left: (creates: Int, updates: Int, deletes: Int)
    private var alive: [Int32]
    private var nextNumber: Int
    private var generation = 0
    private var random: SeededRandom

    init(_ workload: Workload) {
        left = (workload.creates, workload.updates, workload.deletes)
        nextNumber = workload.first + workload.population
        alive = (workload.first..<nextNumber).map { Int32($0) }
        alive.reserveCapacity(workload.population + workload.creates)
        random = SeededRandom(seed: workload.seed)
    }

    mutating func next() -> Operation {
        let choice = Int(truncatingIfNeeded: random.next() >> 1) % (left.creates + left.updates + left.deletes)
        if alive.isEmpty || choice < left.creates {
            left.creates -= 1
            alive.append(Int32(nextNumber))
            nextNumber += 1
            return Operation(request: .create, number: nextNumber - 1)
        }
        let position = Int(truncatingIfNeeded: random.next() >> 1) % alive.count
        if choice < left.creates + left.updates {
            left.updates -= 1
            generation += 1
            return Operation(request: .update, number: Int(alive[position]), generation: generation)
        }
        left.deletes -= 1
        let number = Int(alive[position])
        alive.swapAt(position, alive.count - 1)
        alive.removeLast()
        return Operation(request: .delete, number: number)
    }
}
