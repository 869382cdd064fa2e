import Flow

/// What a node has received of a sender's epoch.
struct Ack: Equatable, Sendable {
    static let fixedByteCount = 24
    static let rangeCountMax = 32

    /// The sender's node id.
    var nodeID: UInt32
    /// The sender's epoch.
    var epoch: UInt64
    /// Every datagram up to this one was received, or resolved by the sender.
    var cumulative: UInt64
    /// What was received above, ascending.
    var ranges: [Range<UInt64>]

    init(nodeID: UInt32, epoch: UInt64, cumulative: UInt64, ranges: [Range<UInt64>]) {
        self.nodeID = nodeID
        self.epoch = epoch
        self.cumulative = cumulative
        self.ranges = ranges
    }

    /// Decodes a validated body.
    init(decoding body: RawSpan) {
        nodeID = body.littleEndian(at: 0, as: UInt32.self)
        epoch = body.littleEndian(at: 8, as: UInt64.self)
        cumulative = body.littleEndian(at: 16, as: UInt64.self)
        ranges = []
        for index in 0..<min(Int(body.littleEndian(at: 4, as: UInt32.self)), Self.rangeCountMax) {
            let first = UInt64(body.littleEndian(at: 24 + index * 4, as: UInt16.self))
            let count = UInt64(body.littleEndian(at: 26 + index * 4, as: UInt16.self))
            let start = cumulative &+ first
            if start <= UInt64.max - count { ranges.append(start..<start + count) }
        }
    }
}
