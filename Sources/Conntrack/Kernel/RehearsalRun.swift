internal import Flow
internal import Glibc
internal import SystemIO

/// The work of a rehearsal, on its thread: a writer in a namespace of its own and a reader in the live one.
struct RehearsalRun: ~Copyable {
    /// Lets every flow live until the dump; all get the same, so that clashes among them end as they would.
    private static let addedTimeoutSeconds: UInt32 = 3_600
    /// Entries read before somebody may ask to stop.
    private static let sliceMessageCount = 4_096

    private let liveNamespace: NetworkNamespace
    private var live: WriteSession
    private var own: WriteSession
    private let startedAt = MonotonicClock.nanoseconds()
    private var report = RehearsalReport()
    private var refusals: [String: RehearsalReport.Refusal] = [:]
    /// Records by zone.
    private var zones: [UInt16: Int] = [:]
    /// The digest of each record by the digest of what a kernel keeps of it; an entry takes its record out.
    private var expected: [UInt64: UInt64] = [:]
    private var commitNanoseconds: UInt64 = 0

    private init(_ namespace: consuming NetworkNamespace, _ live: consuming WriteSession, _ own: consuming WriteSession)
    {
        liveNamespace = namespace
        self.live = live
        self.own = own
    }

    /// Moves the calling thread into a new network namespace, to rehearse there what is to come in its present one.
    static func begin() throws(SystemError) -> RehearsalRun {
        let namespace = try NetworkNamespace.current()
        let live = try WriteSession.open()
        let table = try? KernelTable.read()
        try enterNewNetworkNamespace()
        var run = RehearsalRun(namespace, live, try WriteSession.open())
        if let table, table.countMax > 0 { run.report.liveRoomCount = max(table.countMax - table.count, 0) }
        return run
    }

    /// Writes the records here, and looks up there what they would meet.
    mutating func perform(_ job: WriteJob) {
        let outcome = own.perform(note(job))
        commitNanoseconds += outcome.nanoseconds
        report.createdCount += outcome.created
        report.withoutMaster += outcome.withoutMaster
        report.ownClashCounts.add(outcome.clashCounts)
        report.missingHelpers.merge(outcome.missingHelpers, uniquingKeysWith: +)
        count(outcome.failures)

        let foreseen = live.perform(job, isProbe: true)
        report.liveCount += foreseen.updated
        report.clashCounts.add(foreseen.clashCounts)
        for var clash in foreseen.clashes.prefix(WriteOutcome.clashCountMax - report.clashes.count) {
            clash.index += report.recordCount
            report.clashes.append(clash)
        }
        count(foreseen.failures)
        report.recordCount += job.count
    }

    /// Takes down what is to be found again, and returns the job with longer timeouts.
    private mutating func note(_ job: WriteJob) -> WriteJob {
        var lasting = job
        var span = lasting.records.mutableSpan
        // Bytes hold any pattern, so reading and writing them as raw memory breaks no type's invariant.
        var bytes = unsafe span.mutableBytes
        let records = unsafe job.records.span.bytes
        var offset = 0
        for _ in 0..<job.count {
            let view = FlowRecordView(records.extracting(offset...))
            let flow = view.flow
            let digest = view.digest
            report.recordDigest &+= digest
            expected[Self.keptDigest(flow)] = digest
            if flow.zone.id != 0 { zones[flow.zone.id, default: 0] += 1 }
            let (seconds, isOverflow) = view.timeoutSeconds.addingReportingOverflow(Self.addedTimeoutSeconds)
            bytes.storeLittleEndian(isOverflow ? .max : seconds, at: offset + FlowRecord.Offset.timeout)
            offset += view.byteCount
        }
        return lasting
    }

    private mutating func count(_ failures: [WriteOutcome.Failure]) {
        for failure in failures {
            let key = "\(failure.stage.rawValue) \(failure.errno)"
            let refusal = RehearsalReport.Refusal(errno: failure.errno, stage: failure.stage, count: 0)
            refusals[key, default: refusal].count += 1
        }
    }

    private static func keptDigest(_ flow: Flow) -> UInt64 {
        let record = EncodedFlowRecord(flow.keptContent)
        return FlowRecordView(record.bytes).digest
    }

    /// Compares the namespace's table with the records, looks at the live one, and says what was found.
    ///
    /// The thread is back in the live namespace then, and the other one is gone. Nil if it was stopped.
    consuming func finish(isStopping: () -> Bool) -> RehearsalReport? {
        report.refusals = refusals.values.sorted { ($0.count, $0.errno) > ($1.count, $1.errno) }
        report.commitMilliseconds = Double(commitNanoseconds) / 1e6
        do throws(SystemError) {
            guard try compareEntries(isStopping) else { return nil }
            try liveNamespace.enter()
            guard try lookForZones(isStopping) else { return nil }
        } catch {
            report.problem = "\(error)"
        }
        report.milliseconds = Double(MonotonicClock.nanoseconds() - startedAt) / 1e6
        return report
    }

    /// Reads the whole table of the thread's namespace; false if it was stopped.
    private func dump(_ isStopping: () -> Bool, _ body: (borrowing Flow) -> Void) throws(SystemError) -> Bool {
        var dump = try TableDump.start()
        while case .more = try dump.read(limitMessages: Self.sliceMessageCount, body) {
            if isStopping() { return false }
        }
        return true
    }

    private mutating func compareEntries(_ isStopping: () -> Bool) throws(SystemError) -> Bool {
        var (expected, digest, entryCount) = (expected, UInt64(0), 0)
        self.expected = [:]
        let isWhole = try dump(isStopping) { flow in
            entryCount += 1
            let entry = copy flow
            if let record = expected.removeValue(forKey: Self.keptDigest(entry)) {
                digest &+= record
            } else {
                digest &+= FlowRecordView(EncodedFlowRecord(entry).bytes).digest
            }
        }
        report.digest = digest
        report.entryCount = entryCount
        report.differingCount = expected.count
        return isWhole
    }

    private mutating func lookForZones(_ isStopping: () -> Bool) throws(SystemError) -> Bool {
        guard !zones.isEmpty else { return true }
        var unknown = zones
        do throws(SystemError) {
            let rules = try RuleZones.read()
            report.isAnyZonePossible = rules.isAnyPossible
            for zone in rules.named { unknown[zone] = nil }
        } catch {
            // A kernel without nf_tables has no such rules.
            guard [ENOENT, EINVAL, EOPNOTSUPP].contains(error.errno) else { throw error }
        }
        if unknown.isEmpty || report.isAnyZonePossible { return true }
        let isWhole = try dump(isStopping) { flow in
            if flow.zone.id != 0 { unknown[flow.zone.id] = nil }
        }
        report.unknownZones = unknown
        return isWhole
    }
}
