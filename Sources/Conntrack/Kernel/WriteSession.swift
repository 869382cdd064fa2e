internal import CNetfilter
internal import Flow
internal import Glibc
internal import SystemIO

/// Turns jobs into batches of requests and the kernel's answers into outcomes: the writer without its thread.
///
/// The kernel handles a batch inside `sendto`. It queues an answer for each failure, and for success only where one
/// was asked for: at the last request of the batch. So after `sendto` every answer is there already, none in the queue
/// means success, and only a full receive buffer (`ENOBUFS`) leaves anything unknown; that is asked again.
struct WriteSession: ~Copyable, Sendable {
    /// Requests per `sendto`; more gain nothing (DESIGN §3).
    static let batchCountMax = 64
    /// Rounds without any progress before the rest of a batch fails.
    private static let fruitlessRoundCountMax = 3

    /// What the kernel said to one request.
    enum Answer: BitwiseCopyable {
        case unknown
        case success
        /// An entry, by its place in `entries`.
        case entry(Int)
        case failure(Int32)
    }

    /// An entry of the kernel's table.
    struct Entry {
        var flow: Flow
        /// Tells it from a later entry of the same tuple (`CTA_ID`); nil from a kernel that does not say.
        var id: UInt32?
    }

    private let socket: NetlinkSocket
    private let sendBuffer: SendBuffer
    private var batch = MessageBatch()
    private var sequence: UInt32 = 0
    private var answers: [Answer] = Array(repeating: .unknown, count: batchCountMax)
    private var entries: [Entry] = []
    /// Whether flows are looked up before they are created, because those before them were there already.
    private var looksFirst = false
    /// The entries that a record has won against and that are still in its way, by the record's index.
    private var holders: [Int: [Entry]] = [:]

    private init(_ socket: consuming NetlinkSocket) {
        self.socket = socket
        sendBuffer = SendBuffer(byteCount: RequestEncoder.encodedByteCountMax * Self.batchCountMax)
    }

    /// Opens the session in the calling thread's network namespace.
    static func open() throws(SystemError) -> WriteSession {
        let socket = try NetlinkSocket.open(purpose: "conntrack writer")
        // Answers without the request in them: they are numbered.
        try socket.setNetlinkOption(NETLINK_CAP_ACK, "setsockopt(NETLINK_CAP_ACK)", to: 1)
        // An entry in answer to a get takes a few KiB of the buffer, whatever its length.
        _ = try socket.setReceiveBuffer(byteCount: 1 << 20)
        try socket.bind()
        return WriteSession(socket)
    }

    var portID: UInt32 { socket.portID }

    /// Does the job, whatever the kernel answers.
    ///
    /// - Parameter isProbe: whether to write nothing: each record to create is looked up, and counted as what would
    ///   come of it.
    mutating func perform(_ job: WriteJob, isProbe: Bool = false) -> WriteOutcome {
        precondition(!isProbe || job.kind == .create, "only what is to be created can be probed")
        let start = MonotonicClock.nanoseconds()
        var outcome = WriteOutcome(id: job.id)
        var waiting: [WriteItem] = []
        var retries: [WriteItem] = []
        let span = job.records.span
        // Bytes hold any pattern, and every field is checked as it is read.
        let records = unsafe span.bytes
        var (index, offset) = (0, 0)
        while true {
            // What the kernel answered with "again, but differently" goes first, new flows fill up the batch.
            while waiting.count < Self.batchCountMax, index < job.count {
                waiting.append(
                    WriteItem(index: index, offset: offset, kind: job.kind, looksFirst: looksFirst, isProbe: isProbe)
                )
                offset += FlowRecordView(records.extracting(offset...)).byteCount
                index += 1
            }
            if waiting.isEmpty { break }
            exchange(waiting, records)
            learn(from: waiting)
            retries.removeAll(keepingCapacity: true)
            for position in waiting.indices {
                let item = waiting[position]
                let record = FlowRecordView(records.extracting(item.offset...))
                if let next = follow(item, answers[position], record, &outcome) { retries.append(next) }
            }
            swap(&waiting, &retries)
        }
        outcome.nanoseconds = MonotonicClock.nanoseconds() - start
        return outcome
    }

    /// Decides from a batch how to begin with the next flows.
    ///
    /// A create that is refused and a lookup of what is not there are each a request and an answer for nothing: 1.3 µs.
    private mutating func learn(from items: [WriteItem]) {
        var (thereCount, absentCount) = (0, 0)
        for position in items.indices {
            switch (items[position].step, answers[position]) {
            case (.create, .failure(EEXIST)), (.lookUp, .entry): thereCount += 1
            case (.create, .success), (.lookUp, .failure(ENOENT)): absentCount += 1
            default: break
            }
        }
        if thereCount + absentCount >= Self.batchCountMax / 4 { looksFirst = thereCount > absentCount }
    }

    /// What follows an answer.
    private mutating func follow(
        _ item: WriteItem,
        _ answer: Answer,
        _ record: FlowRecordView,
        _ outcome: inout WriteOutcome
    ) -> WriteItem? {
        if case .create = item.step, case .success = answer, item.isPlain {
            outcome.created += 1
            return nil
        }
        var inTheWay = holders.isEmpty ? [] : holders.removeValue(forKey: item.index) ?? []
        let next = item.following(answer, entries, to: record, holders: &inTheWay, &outcome)
        if next != nil, !inTheWay.isEmpty { holders[item.index] = inTheWay }
        return next
    }

    /// Sends the requests and fills in `answers`, one for each item.
    private mutating func exchange(_ items: [WriteItem], _ records: RawSpan) {
        for position in items.indices { answers[position] = .unknown }
        entries.removeAll(keepingCapacity: true)
        var unknownCount = items.count
        var fruitlessRoundCount = 0
        while unknownCount > 0 {
            let base = sequence
            guard let last = items.indices.last(where: { answers[$0].isUnknown }) else { return }
            sequence &+= UInt32(items.count)
            do throws(SystemError) {
                let byteCount = encode(items, records, base: base, last: last)
                try socket.send(sendBuffer.bytes(to: byteCount))
                try receiveAnswers(base: base, last: last, count: items.count)
            } catch {
                fail(items, error.errno)
                return
            }
            let stillUnknown = items.indices.count { answers[$0].isUnknown }
            fruitlessRoundCount = stillUnknown < unknownCount ? 0 : fruitlessRoundCount + 1
            unknownCount = stillUnknown
            if fruitlessRoundCount == Self.fruitlessRoundCountMax { fail(items, ENOBUFS) }
        }
    }

    private mutating func fail(_ items: [WriteItem], _ number: Int32) {
        for position in items.indices where answers[position].isUnknown { answers[position] = .failure(number) }
    }

    private func encode(_ items: [WriteItem], _ records: RawSpan, base: UInt32, last: Int) -> Int {
        sendBuffer.write { output in
            for position in items.indices where answers[position].isUnknown {
                let item = items[position]
                let record = FlowRecordView(records.extracting(item.offset...))
                let (sequence, isLast) = (base &+ UInt32(position), position == last)
                if item.step != .deleteHolder, item.omissions.isEmpty,
                    UsualRequests.encode(
                        item.request,
                        of: record,
                        sequence: sequence,
                        isAcknowledged: isLast,
                        into: &output
                    )
                {
                    continue
                }
                let holder = item.step == .deleteHolder ? holders[item.index]?.last : nil
                _ = RequestEncoder.encode(
                    item.request,
                    of: holder?.flow ?? record.flow,
                    omitting: item.omissions,
                    entryID: holder?.id,
                    sequence: sequence,
                    isAcknowledged: isLast,
                    into: &output
                )
            }
        }
    }

    /// Reads answers until the last request's, or until none is left.
    ///
    /// An overrun is told before any message, since the kernel had queued all answers when the send returned.
    private mutating func receiveAnswers(base: UInt32, last: Int, count: Int) throws(SystemError) {
        var hasOverrun = false
        while answers[last].isUnknown {
            let countMax = MessageBatch.messageCountMax
            switch try batch.receive(from: socket.descriptor, countMax: countMax, purpose: "conntrack writer") {
            case .messages(0):
                // The last answer is among the lost ones. All is asked again, except that a kernel that refuses the
                // sender as such (EPERM) answers the first request only.
                if case .failure(EPERM) = answers[0] { throw SystemError(call: "sendto", errno: EPERM) }
                return
            case .overrun:
                hasOverrun = true
            case .messages(let messageCount):
                takeAnswers(messageCount: messageCount, base: base, count: count)
            }
        }
        if hasOverrun { return }
        for position in 0..<count where answers[position].isUnknown { answers[position] = .success }
    }

    private mutating func takeAnswers(messageCount: Int, base: UInt32, count: Int) {
        // Moved out and in: the span borrows the whole session.
        var (taken, entries) = (answers, entries)
        answers = []
        self.entries = []
        for index in 0..<messageCount {
            // The kernel puts one answer into each.
            var messages = MessageReader(batch.message(at: index))
            guard (try? messages.next()) == true else { continue }
            let position = Int(messages.sequence &- base)
            guard position < count else { continue }
            if messages.type == Netlink.error {
                let number = messages.errorNumber
                if number != 0 {
                    taken[position] = .failure(number)
                } else if taken[position].isUnknown {
                    taken[position] = .success
                }
            } else if let event = try? ConntrackEvent(decoding: messages.message) {
                taken[position] = .entry(entries.count)
                entries.append(Entry(flow: event.flow, id: FlowDecoder.entryID(of: messages.message)))
            }
        }
        (answers, self.entries) = (taken, entries)
    }
}

extension WriteSession.Answer {
    var isUnknown: Bool {
        if case .unknown = self { true } else { false }
    }
}
