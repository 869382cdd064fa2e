import Flow
import FlowTable

@testable import Replication

/// Bytes of hexadecimal text; blanks are for the eye.
func bytes(_ hexadecimal: String) -> [UInt8] {
    let digits = hexadecimal.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

/// A datagram made by hand.
struct HandMade {
    static let nodeID = NodeSettings(name: "hand", epoch: 0).nodeID
    /// Stands for the echo that the receiver expects; `VirtualNode.receive` puts that in.
    static let rightEcho = UInt32.max

    var nodeID = Self.nodeID
    var epoch: UInt64 = 5
    var sequence: UInt64 = 1
    var floor: UInt64 = 1
    var flags: DatagramHeader.Flags = [.sequenced, .claiming]
    var takeoverNumber: UInt32 = 0
    var group: UInt8 = 0
    /// The node id and epoch that the datagram names, so that it is believed; r1's first by default.
    var greeting: (nodeID: UInt32, epoch: UInt64)? = (NodeSettings(name: "r1", epoch: 0).nodeID, 1)

    var header: DatagramHeader {
        DatagramHeader(
            flags: flags,
            nodeID: nodeID,
            epoch: epoch,
            sequence: sequence,
            floorDistance: UInt32(sequence + 1 - floor),
            group: group,
            takeoverNumber: takeoverNumber
        )
    }

    func datagram(_ write: (inout MessageWriter) -> Void = { _ in }) -> [UInt8] {
        var buffer = [UInt8](repeating: 0xee, count: 8_900)
        let count = fill(&buffer, write)
        return Array(buffer[..<count])
    }

    private func fill(_ buffer: inout [UInt8], _ write: (inout MessageWriter) -> Void) -> Int {
        var span = buffer.mutableSpan
        let bytes = span.mutableBytes
        var writer = MessageWriter(bytes)
        if let greeting {
            Hello(nodeID: greeting.nodeID, links: 1, epoch: greeting.epoch, challenge: 0, echo: Self.rightEcho)
                .put(&writer)
        }
        write(&writer)
        writer.finish(header)
        return writer.byteCount
    }

    func upsert(_ flows: Flow...) -> [UInt8] {
        datagram { writer in for flow in flows { writer.put(.upsert, flow) } }
    }

    func delete(_ flows: Flow...) -> [UInt8] {
        datagram { writer in for flow in flows { writer.put(.delete, flow) } }
    }

    func heartbeat(name: String) -> [UInt8] {
        datagram { $0.put(Heartbeat(role: 0, number: 7, flowCount: 0, shared: SharedSettings(), name: name)) }
    }
}

extension MessageWriter {
    mutating func put(_ kind: MessageKind, _ flow: Flow) {
        let record = EncodedFlowRecord(flow)
        putRecord(kind, FlowRecordView(record.bytes), timeoutSeconds: kind == .delete ? 0 : flow.timeoutSeconds)
    }
}

extension ReceiveCounters {
    /// Every datagram is counted under exactly one of these.
    var datagramSum: UInt64 {
        datagrams + truncated + foreign + otherGroup + unknownVersion + malformedMessage + malformedRecord + own
            + duplicateNodeID + unproven + staleEpoch + duplicate + beyondWindow + tooManyPeers
    }

    var refusedWholeSum: UInt64 {
        truncated + foreign + otherGroup + unknownVersion + malformedMessage + malformedRecord
    }
}

extension VirtualNode {
    /// The mark of a live flow in the external cache; nil if there is none.
    func externalMark(of flow: Flow) -> UInt32? {
        Self.mark(of: flow, in: externalCache.table)
    }

    private static func mark(of flow: Flow, in table: borrowing FlowTable) -> UInt32? {
        guard let slot = table.find(flow.identity), !table[slot].flags.contains(.dead) else { return nil }
        return table.record(at: slot).mark
    }

    /// Every record and header of both caches, in the order of their slots.
    var contents: [UInt64] {
        Self.contents(of: internalCache.table) + [.max] + Self.contents(of: externalCache.table)
    }

    private static func contents(of table: borrowing FlowTable) -> [UInt64] {
        var words: [UInt64] = []
        var position = table.next(after: nil)
        while let slot = position {
            let header = table[slot]
            let view = table.record(at: slot)
            words += [UInt64(slot.rawValue), header.sequence, UInt64(header.generation), UInt64(header.flags.rawValue)]
            for offset in stride(from: 0, to: view.byteCount, by: 4) {
                words.append(UInt64(view.bytes.word(at: offset, as: UInt32.self)))
            }
            position = table.next(after: slot)
        }
        return words
    }
}
