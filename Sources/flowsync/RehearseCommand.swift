import ArgumentParser
import Conntrack
import Control
import Flow
import SystemIO

/// The command `flowsync rehearse`.
///
/// The command does it, not the daemon: a network namespace takes more privilege than the daemon should have.
struct Rehearse: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Try out a takeover's commit, without touching traffic.",
        discussion: """
            Commits the external cache into a network namespace made for that, and looks at what the live table would \
            make of it. Exit status 1 if something would go wrong.
            """
    )

    /// Clashes shown with both flows.
    private static let shownClashCountMax = 20

    @OptionGroup var options: ControlOptions

    func run() throws {
        let before = try digest()
        let report = try rehearse()
        if let problem = report.problem { throw CommandFailure(text: "the rehearsal failed: \(problem)") }
        let after = try digest()
        var summary = Self.summary(report)
        // What was read is one state of the owners' flows if the sum of the records is one that was proved.
        if before.sum == report.recordDigest || after.sum == report.recordDigest {
            summary.isOwnersState = before.isProved && after.isProved
        } else if before.sum == after.sum {
            summary.isOwnersState = false
        }
        if options.json {
            try Output.write(Array(try APICoder.encode(summary)))
        } else {
            try Output.write(summary.text)
        }
        if !summary.findings.isEmpty { throw CommandFailure(text: "") }
    }

    /// The sum over all flows of peers, and whether they are proved to be what their owners have.
    private func digest() throws -> (sum: UInt64, isProved: Bool) {
        let response = try options.client.get("/v1/status")
        guard response.isSuccess else { throw options.refusal(response) }
        let status = try APICoder.decode(NodeStatus.self, from: response.body)
        // The flows of all traffic groups are rehearsed; the status' own peers are the default group's.
        let peers = status.groups?.flatMap(\.peers) ?? status.peers
        let sum = peers.reduce(UInt64(0)) { $0 &+ (UInt64($1.externalDigest, radix: 16) ?? 0) }
        let isProved = peers.allSatisfy {
            $0.externalFlowCount == 0 || ($0.verifiedMilliseconds != nil && $0.differingFlowCount == 0)
        }
        return (sum, isProved)
    }

    /// Feeds the external cache to a rehearsal and waits for its report.
    private func rehearse() throws -> RehearsalReport {
        let wakeup = try Wakeup()
        var loop = try EventLoop.open()
        try loop.add(wakeup.descriptor, token: 0, interest: .readable)
        let rehearsal = try Rehearsal(wakeup: wakeup)
        defer { rehearsal.stop() }
        var feed = RecordFeed()
        let path = "/v1/dump/external?format=records"
        let response = try options.client.stream(path) { (bytes) throws(CommandFailure) in
            for job in try feed.jobs(from: bytes) {
                while !rehearsal.submit(job) { try Self.wait(&loop, wakeup) }
            }
        }
        guard response.isSuccess else { throw options.refusal(response) }
        if let job = try feed.lastJob() {
            while !rehearsal.submit(job) { try Self.wait(&loop, wakeup) }
        }
        rehearsal.finish()
        while true {
            if let report = rehearsal.takeReport() { return report }
            try Self.wait(&loop, wakeup)
        }
    }

    private static func wait(_ loop: inout EventLoop, _ wakeup: Wakeup) throws(CommandFailure) {
        do {
            _ = try loop.wait(timeoutMilliseconds: 1_000)
        } catch {
            throw CommandFailure(text: "\(error)")
        }
        wakeup.drain()
    }

    private static func summary(_ report: RehearsalReport) -> RehearsalSummary {
        var summary = RehearsalSummary()
        summary.flowCount = report.recordCount
        summary.createdCount = report.createdCount
        summary.commitMilliseconds = report.commitMilliseconds
        summary.milliseconds = report.milliseconds
        for refusal in report.refusals {
            summary.refused["\(refusal.stage.rawValue) \(SystemError.name(of: refusal.errno))"] = refusal.count
        }
        summary.differingCount = report.differingCount
        summary.missingHelpers = report.missingHelpers
        summary.withoutMasterCount = report.withoutMaster
        for (zone, count) in report.unknownZones { summary.unknownZones["\(zone)"] = count }
        for kind in Clash.Kind.allCases {
            for isOursKept in [true, false] where report.clashCounts[kind, isOursKept: isOursKept] > 0 {
                summary.clashes[kind.text(isOursKept: isOursKept)] = report.clashCounts[kind, isOursKept: isOursKept]
            }
        }
        let printer = FlowPrinter()
        summary.clashLines = report.clashes.prefix(shownClashCountMax).map { clash in
            "\(clash.kind.text(isOursKept: clash.isOursKept)): keeps \(printer.line(clash.kept)); "
                + "removes \(printer.line(clash.removed))"
        }
        summary.liveCount = report.liveCount
        summary.roomCount = report.liveRoomCount
        return summary
    }
}

/// Cuts a stream of records into jobs.
private struct RecordFeed {
    private static let recordCountMaxPerJob = 512

    private var job = WriteJob(id: 0, kind: .create, records: [], count: 0)
    /// The beginning of a record whose end has not come yet.
    private var rest: [UInt8] = []

    /// The jobs that are full with these bytes.
    mutating func jobs(from bytes: [UInt8]) throws(CommandFailure) -> [WriteJob] {
        var jobs: [WriteJob] = []
        let fresh = rest + bytes
        // Bytes hold any pattern, and every record is checked before it is read.
        let span = unsafe fresh.span.bytes
        var offset = 0
        while offset < span.byteCount {
            let byteCount: Int
            do {
                byteCount = try FlowRecord.validate(span.extracting(offset...))
            } catch .truncated {
                break
            } catch {
                throw CommandFailure(text: "the daemon's answer is of another version than this command (\(error))")
            }
            job.records += fresh[offset..<offset + byteCount]
            job.count += 1
            offset += byteCount
            if job.count == Self.recordCountMaxPerJob, let full = take() { jobs.append(full) }
        }
        rest = Array(fresh[offset...])
        return jobs
    }

    /// What is left at the stream's end.
    mutating func lastJob() throws(CommandFailure) -> WriteJob? {
        guard rest.isEmpty else { throw CommandFailure(text: "the daemon's answer ends within a record") }
        return take()
    }

    private mutating func take() -> WriteJob? {
        guard job.count > 0 else { return nil }
        defer { job = WriteJob(id: job.id + 1, kind: .create, records: [], count: 0) }
        return job
    }
}
