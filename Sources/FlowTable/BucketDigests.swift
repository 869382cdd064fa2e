internal import Flow

/// Sums over the flows of one owner by which two nodes find out what differs between their copies (DESIGN §2).
///
/// Every live flow adds the digest of its record to the whole, and takes it out again when it changes or goes: O(1),
/// whatever the order. Two nodes hold the same flows in the same state if their wholes agree, but for a chance of 2⁻⁶⁴.
///
/// Where they differ, the sums of buckets say in which flows. They are needed seldom, lie anywhere in half a megabyte,
/// and cost every change a wait for memory (4 % of a saturated daemon): so a table makes them when they are asked for,
/// keeps them up to date from then on, and lets them go when nobody has asked for long.
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
    /// The sums of the buckets; none while `changesLeft` is 0.
    private var sums: [UInt64] = []
    /// After so many more changes the sums of buckets are let go.
    private var changesLeft = 0

    init() {}

    /// Changes for which sums of buckets are kept that nobody asks for: so many that making them, a walk over the whole
    /// table, costs little beside.
    static let idleChangeCountMax = 1 << 20

    /// Whether there are sums of buckets.
    var hasBuckets: Bool { changesLeft > 0 }

    /// Takes the sums of the buckets, as many as there are, which agree with the whole.
    mutating func setBuckets(_ sums: [UInt64]) {
        precondition(sums.count == Self.bucketCount, "\(sums.count) sums for \(Self.bucketCount) buckets")
        self.sums = sums
        changesLeft = Self.idleChangeCountMax
    }

    /// Keeps the sums of buckets, which somebody has asked for, for longer.
    mutating func keepBuckets() {
        if hasBuckets { changesLeft = Self.idleChangeCountMax }
    }

    /// The bucket of a flow.
    static func bucket(of identity: FlowIdentity) -> UInt16 {
        UInt16(truncatingIfNeeded: identity.hash(seed: seed))
    }

    /// Nodes of the tree at a depth.
    public static func nodeCount(depth: Int) -> Int { 1 << (4 * depth) }

    /// The sum over a node of the tree, which stands for a range of neighbouring buckets; 0 without sums of buckets.
    public func sum(depth: Int, node: Int) -> UInt64 {
        guard hasBuckets else { return 0 }
        let width = Self.bucketCount / Self.nodeCount(depth: depth)
        var sum: UInt64 = 0
        for bucket in node * width..<(node + 1) * width { sum &+= sums[bucket] }
        return sum
    }

    /// The sum over one bucket; 0 without sums of buckets.
    @inline(__always)
    func sum(bucket: UInt16) -> UInt64 { hasBuckets ? sums[Int(bucket)] : 0 }

    @inline(__always)
    mutating func add(_ digest: UInt64, bucket: UInt16) {
        total &+= digest
        flowCount += 1
        if hasBuckets { change(bucket, by: digest) }
    }

    @inline(__always)
    mutating func subtract(_ digest: UInt64, bucket: UInt16) {
        total &-= digest
        flowCount -= 1
        if hasBuckets { change(bucket, by: 0 &- digest) }
    }

    private mutating func change(_ bucket: UInt16, by digest: UInt64) {
        sums[Int(bucket)] &+= digest
        changesLeft -= 1
        if changesLeft == 0 { sums = [] }
    }
}
