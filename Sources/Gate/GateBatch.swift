internal import CNFTables
internal import Glibc

/// Messages that the kernel takes over together or not at all (`NFNL_MSG_BATCH_BEGIN` … `NFNL_MSG_BATCH_END`).
///
/// Each asks for an answer of its own, so that a batch counts as done only when the kernel said so to every part.
struct GateBatch {
    /// What one message is about, for the error that it may bring.
    enum Part: Equatable {
        /// The batch as a whole.
        case batch
        case table
        case set
        case elements
        case counter
        case chain
        /// A rule, and what it needs beyond the core of nf_tables.
        case rule(needs: GateError.KernelFeature?)
        case removal
    }

    private var messages = NetlinkMessages()
    /// What each message is about that the kernel answers; number i has the sequence number `base + i`.
    private(set) var parts: [Part] = [.batch]
    let base: UInt32
    /// The name of the table that all of it is about.
    let table: String

    /// A batch whose first message has the sequence number `base`.
    init(base: UInt32, table: String) {
        self.base = base
        self.table = table
        appendEnd(NFTMessage.batchBegin, sequence: base)
    }

    /// Appends a message with the attributes that `body` puts into it.
    mutating func append(
        _ part: Part,
        _ type: UInt16,
        flags: UInt16 = 0,
        _ body: (inout NetlinkMessages) -> Void
    ) {
        let flags = flags | Netlink.request | Netlink.acknowledge
        let sequence = base &+ UInt32(parts.count)
        messages.message(type, flags: flags, sequence: sequence, family: UInt8(NFPROTO_INET), body)
        parts.append(part)
    }

    /// The bytes to send.
    consuming func finished() -> [UInt8] {
        appendEnd(NFTMessage.batchEnd, sequence: base &+ UInt32(parts.count))
        return messages.bytes
    }

    /// Sequence numbers that the batch takes.
    var sequenceCount: UInt32 { UInt32(parts.count + 1) }

    private mutating func appendEnd(_ type: UInt16, sequence: UInt32) {
        let family = UInt8(AF_UNSPEC)
        let resource = NFTMessage.subsystem
        messages.message(
            type,
            flags: Netlink.request,
            sequence: sequence,
            family: family,
            resource: resource
        )
    }

    /// What the kernel did.
    enum Outcome: Equatable {
        /// All of it.
        case done
        /// Nothing, because of this part, the first that it refused.
        case failed(Part, errno: Int32)
        /// Not every part was answered.
        case unknown
    }

    /// Reads the outcome off the answers; those to other requests are left out.
    ///
    /// The head of the batch asks for no answer, but gets one when the transaction as a whole fails.
    ///
    /// - Parameter isComplete: Whether no answer was lost. The earliest ones never are.
    func outcome(of answers: [NetlinkAnswer], isComplete: Bool) -> Outcome {
        var numbers: [Int32?] = Array(repeating: nil, count: parts.count)
        for answer in answers {
            let index = Int(answer.sequence &- base)
            guard index < parts.count, let number = answer.errorNumber else { continue }
            numbers[index] = number
        }
        for (index, number) in numbers.enumerated() {
            if let number, number != 0 { return .failed(parts[index], errno: number) }
        }
        return isComplete && !numbers.dropFirst().contains(nil) ? .done : .unknown
    }
}
