internal import Conntrack
internal import Flow
internal import Policy

/// What the kernel tells, sorted: what is replicated at all, and to which traffic group it belongs.
struct FlowIntake {
    var policy: ReplicationPolicy
    let trafficGroups: TrafficGroups
    /// The port id of the kernel writer, whose events are echoes of this node's own commits.
    let writerPortID: UInt32
    private(set) var eventCount: UInt64 = 0
    private(set) var filteredEventCount: UInt64 = 0
    private(set) var ownEventCount: UInt64 = 0

    init(policy: ReplicationPolicy, trafficGroups: TrafficGroups, writerPortID: UInt32) {
        self.policy = policy
        self.trafficGroups = trafficGroups
        self.writerPortID = writerPortID
    }

    /// Counts a kernel event; whether it is replicated at all.
    mutating func admits(_ event: borrowing ConntrackEvent) -> Bool {
        eventCount += 1
        guard policy.admits(event.flow) else {
            filteredEventCount += 1
            return false
        }
        if event.portID == writerPortID { ownEventCount += 1 }
        return true
    }

    /// Takes in one kernel event.
    mutating func receive(_ event: borrowing ConntrackEvent, into groups: [GroupState], now: Instant) {
        guard admits(event) else { return }
        let index = trafficGroups.index(of: event.flow)
        groups[index].core.receive(event, now: now)
        guard trafficGroups.usesMarks else { return }
        // The mark may have changed since the last event, and the group with it.
        for group in groups where group.index != index {
            switch event.kind {
            case .destroy: group.core.receive(event, now: now)
            case .new, .update: group.core.forget(event.flow.identity)
            }
        }
    }

    /// Takes in one entry of a dump.
    ///
    /// What another group holds of it does not show in the dump for that group, and so is swept from there.
    func reconcile(_ flow: borrowing Flow, into groups: [GroupState], now: Instant) {
        guard policy.admits(flow) else { return }
        groups[trafficGroups.index(of: flow)].core.reconcile(flow, now: now)
    }
}
