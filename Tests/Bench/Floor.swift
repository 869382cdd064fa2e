internal import Conntrack
internal import Glibc
internal import Lab
internal import SystemIO

/// Programs that do the least that can be done.
public enum Floor: String, CaseIterable, Sendable {
    /// Receives all events once per millisecond and drops them.
    case receive
    /// Receives what comes over the sync link once per millisecond and drops it.
    case datagrams
    /// Receives so many events once per millisecond and notes when.
    case latency
    /// Creates so many flows with a loop around libmnl.
    case insert
    /// Changes so many flows with a loop around libmnl.
    case update
    /// Asks the kernel for its table and drops what it says.
    case dump
    /// Sends the records of so many flows over the sync link.
    case send
}

extension BenchLab {
    /// Starts a floor program and waits until it is at work.
    func startFloor(
        _ floor: Floor,
        on router: LabNode,
        _ options: [String] = []
    ) throws(LabError) -> ChildProcess {
        let process = try lab.start(on: router, [Self.program, "floor", floor.rawValue] + options, output: .pipe)
        guard try process.readLine(timeoutSeconds: 20) == "ready" else {
            throw LabError("the floor program \(floor) is not ready")
        }
        return process
    }
}

extension Floor {
    /// What a floor program is told.
    public struct Options: Sendable {
        /// How many flows or events.
        public var count: Int
        /// Where `latency` notes what it has seen.
        public var marksPath: String

        /// Options of their parts.
        public init(count: Int, marksPath: String) {
            self.count = count
            self.marksPath = marksPath
        }
    }

    /// Does it, in this process's network namespace; calls `ready` when it is at work.
    ///
    /// `receive` and `datagrams` go on until they are killed.
    public func run(_ options: Options, ready: () -> Void) throws {
        try sleepPrecisely()
        switch self {
        case .receive: try EventFloor(ready).run { _ in true }
        case .latency: try runLatency(options, ready)
        case .datagrams: try SyncFloor.receive(ready)
        case .send: try SyncFloor.send(options.count * FlowInjector.recordByteCount(0))
        case .insert: try LibmnlLoop().write(options.count, creates: true)
        case .update: try LibmnlLoop().write(options.count, creates: false)
        case .dump: try EventFloor.dump()
        }
    }

    private func runLatency(_ options: Options, _ ready: () -> Void) throws {
        var marks = ""
        let floor = try EventFloor(ready)
        try floor.run { count in
            marks += "\(Clock.nanoseconds) \(count)\n"
            return count < options.count
        }
        try writeTextFile(options.marksPath, marks)
    }
}

/// Receives messages of the kernel's connection table and drops them.
private final class EventFloor {
    private let pipe: NetlinkPipe

    init(_ ready: () -> Void) throws {
        // NF_NETLINK_CONNTRACK_NEW, _UPDATE, _DESTROY.
        pipe = try NetlinkPipe(groups: 7, receiveBufferByteCount: 64 << 20)
        ready()
    }

    /// Takes what is there once per millisecond, as long as `goesOn` says so of the number of events so far.
    func run(_ goesOn: (Int) -> Bool) throws {
        // Many messages per call, as the daemon does.
        var batch = MessageBatch()
        var count = 0
        repeat {
            _ = pipe.wait(milliseconds: -1)
            var hasMore = true
            while hasMore {
                let countMax = MessageBatch.messageCountMax
                switch try batch.receive(from: pipe.descriptor, countMax: countMax, purpose: "events") {
                case .overrun: break
                case .messages(let messageCount):
                    // One event per message: the kernel never puts two into one.
                    count += messageCount
                    hasMore = messageCount == countMax
                }
            }
            sleepOneMillisecond()
        } while goesOn(count)
    }

    /// Asks for the whole table.
    static func dump() throws {
        let pipe = try NetlinkPipe()
        var request = [UInt8](repeating: 0, count: 64)
        let byteCount = request.withUnsafeMutableBytes { memory in
            var output = OutputRawSpan(buffer: memory, initializedCount: 0)
            _ = RequestEncoder.encodeDump(sequence: 1, into: &output)
            return output.finalize(for: memory)
        }
        try request.withUnsafeBytes { try pipe.send(UnsafeRawBufferPointer(rebasing: $0[..<byteCount])) }
        while pipe.wait(milliseconds: 10_000) {
            guard case .bytes = try pipe.receive() else { continue }
            // NLMSG_DONE, which the kernel's connection table puts into an answer of its own.
            if pipe.buffer.loadUnaligned(fromByteOffset: 4, as: UInt16.self) == 3 { return }
        }
        throw LabError("the kernel's dump does not end")
    }
}

private func sleepOneMillisecond() {
    var time = timespec(tv_sec: 0, tv_nsec: 1_000_000)
    nanosleep(&time, nil)
}
