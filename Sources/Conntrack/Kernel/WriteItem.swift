internal import Flow
internal import Glibc

/// One flow on its way into the kernel's table or out of it, and the rules for what follows an answer.
///
/// ```
/// create ──ok──▶ created
///    │ EEXIST
///    ▼
///   get ──same translation──▶ update ──ok──▶ updated      (kept, if the entry is further on)
///    │ other translation, entry not assured, flow assured
///    ▼
///  delete ──▶ create ──ok──▶ replaced
/// ```
struct WriteItem {
    /// Requests spent on one flow before it is given up; the longest way that makes sense takes six.
    private static let requestCountMax = 8

    /// Which record of the job.
    let index: Int
    /// The flow as it should be.
    let flow: Flow
    /// The step it has come to.
    private var stage: WriteOutcome.Stage
    /// What the kernel has refused and the flow can live without.
    private(set) var omissions: RequestEncoder.Omissions = []
    private var requestCount = 1
    private var isReplacing = false
    private var wasNotFound = false

    /// A flow at its first request.
    init(index: Int, flow: Flow, kind: WriteJob.Kind) {
        self.index = index
        self.flow = flow
        stage = kind == .create ? .create : .delete
    }

    /// The request to send.
    var request: RequestEncoder.Request {
        switch stage {
        case .create: .create
        case .get: .get
        case .update: .update
        case .delete: .delete
        }
    }

    /// The item with its next request; nil if it is settled, and then counted in `outcome`.
    func following(_ answer: WriteSession.Answer, _ outcome: inout WriteOutcome) -> WriteItem? {
        let next: WriteItem?
        switch (stage, answer) {
        case (.create, .failure(let number)): next = afterCreate(number, &outcome)
        case (.create, _): next = created(&outcome)
        case (.get, .entry(let entry)): next = compared(with: entry, &outcome)
        case (.get, .failure(let number)): next = afterGet(number, &outcome)
        case (.get, _): next = retrying(.get)
        case (.update, .failure(let number)): next = afterUpdate(number, &outcome)
        case (.update, _):
            outcome.updated += 1
            next = nil
        case (.delete, .failure(let number)): next = afterDelete(number, &outcome)
        case (.delete, _): next = afterDelete(0, &outcome)
        }
        guard var next else { return nil }
        next.requestCount = requestCount + 1
        guard next.requestCount <= Self.requestCountMax else { return failed(EAGAIN, &outcome) }
        return next
    }

    private func created(_ outcome: inout WriteOutcome) -> WriteItem? {
        if isReplacing { outcome.replaced += 1 } else { outcome.created += 1 }
        if omissions.contains(.helper) { outcome.withoutHelper += 1 }
        if omissions.contains(.master) { outcome.withoutMaster += 1 }
        return nil
    }

    private func afterCreate(_ number: Int32, _ outcome: inout WriteOutcome) -> WriteItem? {
        switch number {
        case EEXIST where wasNotFound:
            // There is no entry of this original tuple: another flow holds the reply tuple.
            return failed(EEXIST, &outcome)
        case EEXIST:
            return retrying(.get)
        case EOPNOTSUPP where flow.attributes.contains(.helper) && !omissions.contains(.helper):
            return retrying(.create, omitting: .helper)
        case ENOENT where flow.attributes.contains(.master) && !omissions.contains(.master):
            return retrying(.create, omitting: .master)
        case EAGAIN, EINTR:
            return retrying(.create)
        default:
            return failed(number, &outcome)
        }
    }

    /// Decides between the record and the entry that the kernel has of the same original tuple.
    private func compared(with entry: Flow, _ outcome: inout WriteOutcome) -> WriteItem? {
        guard entry.original == flow.original, entry.reply == flow.reply else {
            // Packets that came before the commit made an entry with a translation of its own. It cannot be that of
            // the connection, whose peers know the other one; unless the entry proves otherwise by being assured.
            guard flow.status.contains(.assured), !entry.status.contains(.assured) else {
                return failed(EEXIST, &outcome)
            }
            var next = retrying(.delete)
            next.isReplacing = true
            return next
        }
        let progress: FlowStatus = [.seenReply, .assured]
        guard entry.status.intersection(progress).isSubset(of: flow.status) else {
            outcome.kept += 1
            return nil
        }
        return retrying(.update)
    }

    private func afterGet(_ number: Int32, _ outcome: inout WriteOutcome) -> WriteItem? {
        guard number == ENOENT else { return failed(number, &outcome) }
        var next = retrying(.create)
        next.wasNotFound = true
        return next
    }

    private func afterUpdate(_ number: Int32, _ outcome: inout WriteOutcome) -> WriteItem? {
        switch number {
        case ENOENT:
            return retrying(.create)
        case EBUSY where !omissions.contains(.status):
            return retrying(.update, omitting: .status)
        case ENOSPC where flow.attributes.contains(.labels) && !omissions.contains(.labels):
            return retrying(.update, omitting: .labels)
        default:
            return failed(number, &outcome)
        }
    }

    private func afterDelete(_ number: Int32, _ outcome: inout WriteOutcome) -> WriteItem? {
        guard number == 0 || number == ENOENT else { return failed(number, &outcome) }
        if isReplacing { return retrying(.create) }
        if number == 0 { outcome.deleted += 1 } else { outcome.missing += 1 }
        return nil
    }

    private func retrying(
        _ stage: WriteOutcome.Stage,
        omitting omissions: RequestEncoder.Omissions = []
    ) -> WriteItem {
        var next = self
        next.stage = stage
        next.omissions.formUnion(omissions)
        return next
    }

    private func failed(_ number: Int32, _ outcome: inout WriteOutcome) -> WriteItem? {
        outcome.failures.append(WriteOutcome.Failure(index: index, errno: number, stage: stage))
        return nil
    }
}
