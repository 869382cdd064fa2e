import Flow

/// Reads from a datagram which flows it speaks of, independently of the code under test.
///
/// The layout is that of docs/wire-format.md: a header of 32 bytes, then messages of kind (1), zero (1), byte count of
/// the body (2), body.
struct DatagramReader {
    private static let headerByteCount = 32
    private static let upsertKind: UInt8 = 1
    private static let deleteKind: UInt8 = 2
    private static let ackKind: UInt8 = 3

    /// What a datagram says of one flow.
    struct Mention {
        var identity: FlowIdentity
        var mark: UInt32
        var isDelete: Bool
    }

    /// Whether a datagram has a number of its own, because what it carries must arrive.
    static func isSequenced(_ bytes: [UInt8]) -> Bool { bytes.count >= headerByteCount && bytes[3] & 1 != 0 }

    /// Whether a datagram acknowledges others, beside what else it carries.
    static func acknowledges(_ bytes: [UInt8]) -> Bool {
        var offset = headerByteCount
        while offset + 4 <= bytes.count {
            if bytes[offset] == ackKind { return true }
            offset += 4 + Int(bytes[offset + 2]) + Int(bytes[offset + 3]) << 8
        }
        return false
    }

    /// The flows whose state a datagram carries.
    static func mentions(in bytes: [UInt8]) -> [Mention] {
        var mentions: [Mention] = []
        var offset = headerByteCount
        let span = bytes.span.bytes
        while offset + 4 <= bytes.count {
            let kind = bytes[offset]
            let count = Int(bytes[offset + 2]) | Int(bytes[offset + 3]) << 8
            let end = offset + 4 + count
            guard end <= bytes.count else { break }
            if kind == upsertKind || kind == deleteKind {
                let record = FlowRecordView(span.extracting(offset + 4..<end))
                mentions.append(
                    Mention(identity: record.identity, mark: record.mark, isDelete: kind == deleteKind)
                )
            }
            offset = end
        }
        return mentions
    }
}

extension DatagramReader {
    /// Where the mark of the first flow state lies; nil if the datagram carries none.
    static func firstUpsertMarkOffset(in bytes: [UInt8]) -> Int? {
        var offset = headerByteCount
        while offset + 4 <= bytes.count {
            if bytes[offset] == upsertKind { return offset + 4 + 12 }
            offset += 4 + Int(bytes[offset + 2]) + Int(bytes[offset + 3]) << 8
        }
        return nil
    }
}

extension DatagramReader {
    private static let names = [
        "upsert", "delete", "ack", "heartbeat", "resync request", "transfer end", "behind", "hello", "digest",
        "verdict", "summary request", "summary", "repair request", "repaired",
    ]

    /// What a datagram holds, in one line of a trace.
    static func text(of bytes: [UInt8]) -> String {
        guard bytes.count >= headerByteCount else { return "\(bytes.count) bytes" }
        let span = bytes.span.bytes
        let sequence = span.littleEndian(at: 16, as: UInt64.self)
        let distance = UInt64(span.littleEndian(at: 24, as: UInt32.self))
        var text = bytes[3] & 1 != 0 ? "datagram \(sequence)" : "after \(sequence)"
        text += ", floor \(sequence &+ 1 &- distance), takeover \(span.littleEndian(at: 28, as: UInt32.self))"
        text += bytes[3] & 2 != 0 ? ", claiming:" : ", not claiming:"
        var offset = headerByteCount
        while offset + 4 <= bytes.count {
            let kind = Int(bytes[offset])
            let count = Int(bytes[offset + 2]) + Int(bytes[offset + 3]) << 8
            guard offset + 4 + count <= bytes.count else { return text + " cut off" }
            text += " " + (kind > 0 && kind <= names.count ? names[kind - 1] : "kind \(kind)")
            if kind <= 2, count >= FlowRecord.byteCountMin {
                let record = span.extracting(offset + 4..<offset + 4 + count)
                text += " \(FlowRecordView(record).mark)"
            } else if kind == 3, count >= 24 {
                text += " \(span.littleEndian(at: offset + 20, as: UInt64.self))"
            }
            offset += 4 + count
        }
        return text
    }
}
