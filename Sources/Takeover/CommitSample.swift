public import Flow

/// Some of the flows that a takeover has put into the kernel, spread evenly over the whole commit, to be looked for
/// there afterwards.
public struct CommitSample: Sendable {
    /// Flows kept at most.
    public static let flowCountMax = 128
    /// A flow about to run out may be gone when it is looked for, and rightly so.
    static let timeoutSecondsMin: UInt32 = 10

    /// The flows, as they were committed.
    public private(set) var flows: [Flow] = []
    private var seenCount = 0
    private var stride = 1

    /// A sample of nothing yet.
    public init() {}

    /// Takes note of a flow that the kernel has accepted.
    public mutating func add(_ record: FlowRecordView) {
        guard record.timeoutSeconds >= Self.timeoutSecondsMin else { return }
        defer { seenCount += 1 }
        guard seenCount.isMultiple(of: stride) else { return }
        flows.append(record.flow)
        guard flows.count == Self.flowCountMax else { return }
        // Every other one goes, and from now on one in twice as many is kept.
        flows = flows.indices.filter { $0.isMultiple(of: 2) }.map { flows[$0] }
        stride *= 2
    }

    /// What is wrong with the kernel's entry of a committed flow; nil if it is as it should be.
    ///
    /// - Parameter entry: what the kernel has under the flow's original tuple and zone; nil if it has nothing.
    public static func difference(of entry: Flow?, from committed: Flow) -> String? {
        guard let entry else { return "missing" }
        if entry.reply != committed.reply { return "translated differently" }
        // Traffic may have brought the entry further on already, but never back.
        let progress: FlowStatus = [.seenReply, .assured]
        if !committed.status.intersection(progress).isSubset(of: entry.status) { return "less far on" }
        if committed.attributes.contains(.mark), entry.mark != committed.mark { return "marked differently" }
        return nil
    }
}
