import Flow

/// Says to one node that it is heard, and proves to it that this is said now.
struct Hello: Equatable {
    static let byteCount = 24

    /// The node that is heard.
    var nodeID: UInt32
    /// The links of that node on which it is heard, one bit each.
    var links: UInt32
    /// The epoch of that node.
    var epoch: UInt64
    /// What that node shall echo so that it is believed; 0 if it is believed already.
    var challenge: UInt32
    /// The last challenge of that node; 0 if there was none.
    var echo: UInt32

    init(nodeID: UInt32, links: UInt32, epoch: UInt64, challenge: UInt32, echo: UInt32) {
        self.nodeID = nodeID
        self.links = links
        self.epoch = epoch
        self.challenge = challenge
        self.echo = echo
    }

    /// Decodes a validated body.
    init(decoding body: RawSpan) {
        nodeID = body.littleEndian(at: 0, as: UInt32.self)
        links = body.littleEndian(at: 4, as: UInt32.self)
        epoch = body.littleEndian(at: 8, as: UInt64.self)
        challenge = body.littleEndian(at: 16, as: UInt32.self)
        echo = body.littleEndian(at: 20, as: UInt32.self)
    }

    func put(_ writer: inout MessageWriter) {
        writer.putBody(.hello, wordCount: Self.byteCount / 4) { index in
            switch index {
            case 0: nodeID
            case 1: links
            case 2: UInt32(truncatingIfNeeded: epoch)
            case 3: UInt32(truncatingIfNeeded: epoch >> 32)
            case 4: challenge
            default: echo
            }
        }
    }
}
