import FlowTable

/// The sums that peers have asked for and that have yet to be sent.
struct SummaryQueue {
    private struct Order: Hashable {
        var peer: Int
        var nodeID: UInt32
        var token: UInt32
        /// The depth of the nodes whose children's sums are wanted.
        var depth: Int
    }

    private var orders: [(order: Order, nodes: [UInt16])] = []
    /// What waits, so that nothing waits twice.
    private var waiting: [Order: Set<UInt16>] = [:]

    var isEmpty: Bool { orders.isEmpty }

    /// Takes a peer's request; what waits already is not taken twice.
    mutating func append(_ request: SummaryRequest, from peer: Int, nodeID: UInt32) {
        let order = Order(peer: peer, nodeID: nodeID, token: request.token, depth: request.depth)
        // A new search has replaced those before.
        for old in waiting.keys where old.peer == peer && old.token != request.token {
            waiting[old] = nil
            orders.removeAll { $0.order == old }
        }
        let fresh = request.nodes.filter { waiting[order, default: []].insert($0).inserted }
        if !fresh.isEmpty { orders.append((order, fresh)) }
    }

    mutating func removeAll(of peer: Int) {
        orders.removeAll { $0.order.peer == peer }
        for order in waiting.keys where order.peer == peer { waiting[order] = nil }
    }

    /// Writes the next sums; returns the bytes written, 0 if there is nothing to write or no room.
    mutating func put(_ writer: inout MessageWriter, _ digests: BucketDigests) -> Int {
        guard let (order, nodes) = orders.first else { return 0 }
        let room = (writer.bodyByteCountMax / 4 - Summary.fixedWordCount) / Summary.Entry.wordCount
        guard room > 0 else { return 0 }
        let piece = DigestPiece(token: order.token)
        let entries = nodes.prefix(room).map { node in
            Summary.Entry(
                node: node,
                sums: (0..<BucketDigests.childCount).map {
                    piece(digests.sum(depth: order.depth + 1, node: Int(node) * BucketDigests.childCount + $0))
                }
            )
        }
        let summary = Summary(nodeID: order.nodeID, token: order.token, depth: order.depth, entries: entries)
        summary.put(&writer)
        waiting[order]?.subtract(nodes.prefix(room))
        if waiting[order]?.isEmpty == true { waiting[order] = nil }
        if nodes.count <= room { orders.removeFirst() } else { orders[0].nodes.removeFirst(room) }
        return summary.wordCount * 4
    }
}
