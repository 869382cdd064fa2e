internal import Flow

/// Sums over the flows of one owner by which two nodes find out what differs between their copies (DESIGN §2).
///
/// Every live flow adds the digest of its record to the sum of its bucket and to the whole, and takes it out again when
/// it changes or goes: O(1), whatever the order. Two nodes hold the same flows in the same state if their sums agree,
/// but for a chance of 2⁻⁶⁴.
public struct BucketDigests: Sendable {
    /// Buckets of an owner's flows.
    public static let bucketCount = 1 << 16
    /// Buckets are the leaves of a tree in which every node has this many children.
    public static let childCount = 16
    /// The depth of the buckets; the whole is at 0.
    public static let depthMax = 4
    /// The same on every node: they must agree which bucket a flow is in.
    private static let seed: UInt64 = 0x466c_6f77_5379_6e63

    /// The sum over all flows.
    public private(set) var total: UInt64 = 0
    /// Flows summed.
    public private(set) var flowCount = 0
    /// No memory before the first flow.
    private var sums: [UInt64] = []

    init() {}

    /// The bucket of a flow.
    static func bucket(of identity: FlowIdentity) -> UInt16 {
        UInt16(truncatingIfNeeded: identity.hash(seed: seed))
    }

    /// Nodes of the tree at a depth.
    public static func nodeCount(depth: Int) -> Int { 1 << (4 * depth) }

    /// The sum over a node of the tree, which stands for a range of neighbouring buckets.
    public func sum(depth: Int, node: Int) -> UInt64 {
        guard !sums.isEmpty else { return 0 }
        let width = Self.bucketCount / Self.nodeCount(depth: depth)
        var sum: UInt64 = 0
        for bucket in node * width..<(node + 1) * width { sum &+= sums[bucket] }
        return sum
    }

    /// The sum over one bucket.
    @inline(__always)
    func sum(bucket: UInt16) -> UInt64 { sums.isEmpty ? 0 : sums[Int(bucket)] }

    mutating func add(_ digest: UInt64, bucket: UInt16) {
        if sums.isEmpty { sums = Array(repeating: 0, count: Self.bucketCount) }
        sums[Int(bucket)] &+= digest
        total &+= digest
        flowCount += 1
    }

    mutating func subtract(_ digest: UInt64, bucket: UInt16) {
        sums[Int(bucket)] &-= digest
        total &-= digest
        flowCount -= 1
    }
}
