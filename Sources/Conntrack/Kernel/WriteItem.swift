internal import Flow
internal import Glibc

/// One flow on its way into the kernel's table or out of it, and the rules for what follows an answer.
///
/// ```
/// look up ──nothing there──▶ create          (where the flows before were there already)
///    │ ▼ as after "get"
///
/// create ──ok──▶ created; replaced, if others gave way
///    │ EEXIST
///    ▼
///   get ──same flow──▶ update ──ok──▶ updated    (kept, if the entry is further on; no need, if nothing would change)
///    │ another translation, or none: who holds the translated tuple?
///    ▼
/// get by reply ──an entry is worth more──▶ kept
///    │ all that stand in the way lose the clash, or nothing does any more
///    ▼
/// delete each of them ──▶ create
/// ```
struct WriteItem: BitwiseCopyable {
    /// Requests spent on one flow before it is given up; the longest way that makes sense takes nine.
    private static let requestCountMax = 16

    /// What is asked next.
    enum Step: BitwiseCopyable {
        case lookUp
        case create
        case get
        case getByReply
        case update
        case delete
        case deleteHolder
    }

    /// Which record of the job.
    let index: Int
    /// Where the record starts in the job's bytes.
    let offset: Int
    /// The step it has come to.
    private(set) var step: Step
    /// What the kernel has refused and the flow can live without.
    private(set) var omissions: RequestEncoder.Omissions = []
    private var requestCount = 1
    private var isReplacing = false
    private var wasNothingFound = false
    private let isProbe: Bool

    /// A flow at its first request.
    ///
    /// - Parameters:
    ///   - looksFirst: whether a create begins with a lookup.
    ///   - isProbe: whether a create only looks up what it would meet, and is counted as what would come of it.
    init(index: Int, offset: Int, kind: WriteJob.Kind, looksFirst: Bool, isProbe: Bool) {
        self.index = index
        self.offset = offset
        self.isProbe = isProbe
        step =
            switch kind {
            case .create: isProbe ? .get : looksFirst ? .lookUp : .create
            case .delete: .delete
            }
    }

    /// Whether nothing has been omitted, nor anything been in the way.
    var isPlain: Bool { omissions.isEmpty && !isReplacing }

    /// The request to send.
    var request: RequestEncoder.Request {
        switch step {
        case .create: .create
        case .get, .lookUp: .get
        case .getByReply: .getByReply
        case .update: .update
        case .delete, .deleteHolder: .delete
        }
    }

    /// The item with its next request; nil if it is settled, and then counted in `outcome`.
    ///
    /// - Parameter holders: the entries that the flow has won against and that are still in its way.
    func following(
        _ answer: WriteSession.Answer,
        _ entries: [WriteSession.Entry],
        to record: FlowRecordView,
        holders: inout [WriteSession.Entry],
        _ outcome: inout WriteOutcome
    ) -> WriteItem? {
        let next: WriteItem?
        switch (step, answer) {
        case (.create, .failure(let number)): next = afterCreate(number, record, &outcome)
        case (.create, _): next = created(record, &outcome)
        case (.get, .entry(let place)), (.lookUp, .entry(let place)):
            next = compared(with: entries[place], record.flow, &holders, &outcome)
        case (.lookUp, .failure(ENOENT)): next = retrying(.create)
        case (.get, .failure(ENOENT)): next = retrying(.getByReply)
        case (.getByReply, .entry(let place)):
            next = compared(withHolder: entries[place], record.flow, &holders, &outcome)
        case (.getByReply, .failure(ENOENT)): next = afterSearch(holders, &outcome)
        case (.get, .failure(let number)), (.lookUp, .failure(let number)), (.getByReply, .failure(let number)):
            next = failed(number, &outcome)
        case (.get, _), (.lookUp, _), (.getByReply, _): next = retrying(step)
        case (.update, .failure(let number)): next = afterUpdate(number, record, &outcome)
        case (.update, _):
            outcome.updated += 1
            next = nil
        case (.delete, .failure(let number)): next = afterDelete(number, &outcome)
        case (.delete, _): next = afterDelete(0, &outcome)
        case (.deleteHolder, .failure(let number)): next = afterDeleteHolder(number, record, &holders, &outcome)
        case (.deleteHolder, _): next = afterDeleteHolder(0, record, &holders, &outcome)
        }
        guard var next else { return nil }
        if isProbe, next.step != .get, next.step != .getByReply { return next.foreseen(record, holders, &outcome) }
        next.requestCount = requestCount + 1
        guard next.requestCount <= Self.requestCountMax else { return failed(EAGAIN, &outcome) }
        return next
    }

    private func created(_ record: FlowRecordView, _ outcome: inout WriteOutcome) -> WriteItem? {
        if isReplacing { outcome.replaced += 1 } else { outcome.created += 1 }
        if omissions.contains(.helper) { outcome.countMissing(record.flow.helper) }
        if omissions.contains(.master) { outcome.withoutMaster += 1 }
        return nil
    }

    private func afterCreate(_ number: Int32, _ record: FlowRecordView, _ outcome: inout WriteOutcome) -> WriteItem? {
        switch number {
        case EEXIST:
            return retrying(.get)
        case EOPNOTSUPP where record.flow.attributes.contains(.helper) && !omissions.contains(.helper):
            return retrying(.create, omitting: .helper)
        case ENOENT where record.hasMaster && !omissions.contains(.master):
            return retrying(.create, omitting: .master)
        case EAGAIN, EINTR:
            return retrying(.create)
        default:
            return failed(number, &outcome)
        }
    }

    private func afterUpdate(_ number: Int32, _ record: FlowRecordView, _ outcome: inout WriteOutcome) -> WriteItem? {
        switch number {
        case ENOENT:
            return retrying(.create)
        case EBUSY where !omissions.contains(.status):
            return retrying(.update, omitting: .status)
        case ENOSPC where record.flow.attributes.contains(.labels) && !omissions.contains(.labels):
            return retrying(.update, omitting: .labels)
        default:
            return failed(number, &outcome)
        }
    }

    private func afterDelete(_ number: Int32, _ outcome: inout WriteOutcome) -> WriteItem? {
        guard number == 0 || number == ENOENT else { return failed(number, &outcome) }
        if number == 0 { outcome.deleted += 1 } else { outcome.missing += 1 }
        return nil
    }

    /// Counts what would come of the record if this step were done.
    private func foreseen(
        _ record: FlowRecordView,
        _ holders: [WriteSession.Entry],
        _ outcome: inout WriteOutcome
    ) -> WriteItem? {
        switch step {
        case .update: outcome.updated += 1
        case .deleteHolder:
            outcome.replaced += 1
            for holder in holders { outcome.count(clash(of: record.flow, with: holder, isOursKept: true)) }
        default: outcome.created += 1
        }
        return nil
    }

    // MARK: Entries in the way

    /// Decides between the record and the entry that holds the original tuple.
    private func compared(
        with entry: WriteSession.Entry,
        _ flow: Flow,
        _ holders: inout [WriteSession.Entry],
        _ outcome: inout WriteOutcome
    ) -> WriteItem? {
        guard entry.flow.isSame(as: flow) else {
            holders = []
            guard wins(flow, over: entry, &outcome) else { return nil }
            // Another entry may hold the translated tuple, and be worth more: nothing is deleted before that is known.
            holders = [entry]
            return retrying(.getByReply)
        }
        let progress: FlowStatus = [.seenReply, .assured]
        guard entry.flow.status.intersection(progress).isSubset(of: flow.status) else {
            outcome.kept += 1
            return nil
        }
        guard !entry.flow.isUpToDate(with: flow) else {
            outcome.updated += 1
            return nil
        }
        return retrying(.update)
    }

    /// Decides between the record and the entry that holds the translated tuple.
    private func compared(
        withHolder entry: WriteSession.Entry,
        _ flow: Flow,
        _ holders: inout [WriteSession.Entry],
        _ outcome: inout WriteOutcome
    ) -> WriteItem? {
        // A packet has made the very entry in the meantime.
        if entry.flow.isSame(as: flow) { return retrying(.get) }
        if holders.first?.flow.identity != entry.flow.identity {
            guard wins(flow, over: entry, &outcome) else { return nil }
            holders.append(entry)
        }
        return retrying(.deleteHolder)
    }

    /// All entries in the way are known now.
    private func afterSearch(_ holders: [WriteSession.Entry], _ outcome: inout WriteOutcome) -> WriteItem? {
        if !holders.isEmpty { return retrying(.deleteHolder) }
        // What was in the way is gone; but if that is said twice, something is that cannot be found.
        var next = retrying(.create)
        if wasNothingFound { return next.failed(EEXIST, &outcome) }
        next.wasNothingFound = true
        return next
    }

    /// Whether the record wins the clash; if it does not, that is counted.
    private func wins(_ flow: Flow, over entry: WriteSession.Entry, _ outcome: inout WriteOutcome) -> Bool {
        if ClashRule.keepsOurs(flow, over: entry.flow) { return true }
        outcome.kept += 1
        outcome.count(clash(of: flow, with: entry, isOursKept: false))
        return false
    }

    private func afterDeleteHolder(
        _ number: Int32,
        _ record: FlowRecordView,
        _ holders: inout [WriteSession.Entry],
        _ outcome: inout WriteOutcome
    ) -> WriteItem? {
        guard number == 0 || number == ENOENT, let holder = holders.popLast() else { return failed(number, &outcome) }
        var next = retrying(holders.isEmpty ? .create : .deleteHolder)
        if number == 0 {
            next.isReplacing = true
            outcome.count(clash(of: record.flow, with: holder, isOursKept: true))
        }
        return next
    }

    private func clash(of flow: Flow, with entry: WriteSession.Entry, isOursKept: Bool) -> Clash {
        let kind: Clash.Kind = entry.flow.identity == flow.identity ? .sameOriginal : .sameTranslation
        return Clash(kind, ours: flow, entry: entry.flow, isOursKept: isOursKept, index: index)
    }

    private func retrying(_ step: Step, omitting omissions: RequestEncoder.Omissions = []) -> WriteItem {
        var next = self
        next.step = step
        next.omissions.formUnion(omissions)
        return next
    }

    private func failed(_ number: Int32, _ outcome: inout WriteOutcome) -> WriteItem? {
        let stage: WriteOutcome.Stage =
            switch step {
            case .create: .create
            case .get, .lookUp, .getByReply: .get
            case .update: .update
            case .delete, .deleteHolder: .delete
            }
        outcome.failures.append(WriteOutcome.Failure(index: index, errno: number, stage: stage))
        return nil
    }
}

extension Flow {
    /// Whether an update of an entry of this flow by `record` would change nothing, but perhaps shorten its timeout.
    fileprivate func isUpToDate(with record: Flow) -> Bool {
        let wanted = record.attributes
        guard wanted.isSubset(of: Self.comparable), attributes.contains(.timeout),
            timeoutSeconds &+ ClashRule.timeoutSecondsTolerance >= record.timeoutSeconds,
            record.status.subtracting(.ownedByKernel).isSubset(of: status),
            !wanted.contains(.mark) || mark == record.mark
        else { return false }
        guard original.protocolNumber == IPProtocol.tcp else { return !wanted.contains(.protocolState) }
        let flags = TCPFlag.portable | TCPFlag.beLiberal
        return wanted.isSuperset(of: [.protocolState, .tcpFlags, .tcpWindowScale])
            && protocolState == record.protocolState
            && tcp.flagsOriginal & flags == record.tcp.flagsOriginal & TCPFlag.portable | TCPFlag.beLiberal
            && tcp.flagsReply & flags == record.tcp.flagsReply & TCPFlag.portable | TCPFlag.beLiberal
            && tcp.windowScaleOriginal == record.tcp.windowScaleOriginal
            && tcp.windowScaleReply == record.tcp.windowScaleReply
    }

    /// What is compared; a record with anything else is written rather than compared.
    ///
    /// Helper and master cannot be changed.
    private static var comparable: Attributes {
        [.status, .timeout, .mark, .protocolState, .tcpFlags, .tcpWindowScale, .helper, .master]
    }

    /// Whether an entry of this flow is one of `other` too: same tuples in both directions, same zone.
    ///
    /// Kernels from 6.17 on track DCCP by addresses alone, and tell no ports of it.
    fileprivate func isSame(as other: Flow) -> Bool {
        guard zone == other.zone else { return false }
        if original == other.original, reply == other.reply { return true }
        guard original.protocolNumber == IPProtocol.dccp, original.key.raw == 0, reply.key.raw == 0 else {
            return false
        }
        var portless = other
        portless.original.key = original.key
        portless.reply.key = reply.key
        return original == portless.original && reply == portless.reply
    }
}
