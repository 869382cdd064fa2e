import Conntrack
import Flow
import FlowTable
import Policy
import Replication
import Testing

@testable import Daemon

@Suite("Kernel events and traffic groups")
struct FlowIntakeTests {
    private let now = Instant(nanoseconds: 1_000_000_000)
    private let folder = SocketFolder()

    /// The default group and one of a mark, as the engine would make them.
    private func makeGroups() throws -> ([GroupState], FlowIntake) {
        let web = TrafficGroup(name: "web", marks: [try MarkMatch(parsing: "7")])
        let trafficGroups = TrafficGroups([web])
        let groups = try trafficGroups.names.enumerated().map { index, name in
            try GroupState(
                index: index,
                name: name,
                settings: NodeSettings(name: "r1", epoch: 1),
                socketPath: folder.socket,
                preloads: false,
                now: now
            )
        }
        let policy = ReplicationPolicy(protocols: ProtocolSet([IPProtocol.tcp]), ignoredNetworks: [])
        return (groups, FlowIntake(policy: policy, trafficGroups: trafficGroups, writerPortID: 9))
    }

    private func flow(mark: UInt32) -> Flow {
        var flow = FakeEngine.flow(1)
        flow.mark = mark
        flow.attributes.insert(.mark)
        return flow
    }

    @Test("a flow is in its group's cache alone, also after its mark has changed")
    func markChanges() throws {
        let (groups, made) = try makeGroups()
        var intake = made
        for group in groups { group.core.node.isWhole = true }
        func counts() -> [Int] { groups.map { $0.core.internalCache.count } }
        intake.receive(ConntrackEvent(kind: .new, portID: 0, flow: flow(mark: 0)), into: groups, now: now)
        #expect(counts() == [1, 0])
        intake.receive(ConntrackEvent(kind: .update, portID: 0, flow: flow(mark: 7)), into: groups, now: now)
        #expect(counts() == [0, 1])
        // A kernel's last word on a flow may lack the mark.
        intake.receive(ConntrackEvent(kind: .destroy, portID: 0, flow: flow(mark: 0)), into: groups, now: now)
        #expect(counts() == [0, 0])
        #expect(intake.eventCount == 3 && intake.filteredEventCount == 0)
    }

    @Test("a dump fills the groups, and what it does not show of one is swept")
    func dump() throws {
        let (groups, intake) = try makeGroups()
        for mark: UInt32 in [7, 0] {
            for group in groups {
                group.core.beginReconcile()
                for _ in 0..<2 { group.core.internalCache.beginSlice() }
            }
            intake.reconcile(flow(mark: mark), into: groups, now: now)
            for group in groups { while !group.core.sweepVanished() {} }
        }
        #expect(groups.map { $0.core.internalCache.count } == [1, 0])
    }

    @Test("each group has a role file of its own")
    func roleFiles() throws {
        let (groups, _) = try makeGroups()
        try groups[1].roleFile.write(RoleFile.Memory(role: .primary, takeoverNumber: 3, highestTakeoverNumber: 4))
        let (again, _) = try makeGroups()
        #expect(again[0].core.node.role == .unset && !again[0].isRoleRemembered)
        #expect(again[1].core.node.role == .primary && again[1].isRoleRemembered && !again[1].isGateWanted)
        #expect(again[1].core.node.takeoverNumber == 3 && again[1].core.node.highestTakeoverNumber == 4)
    }

    @Test("a group that is new begins with the default group's role, and goes its own way from then on")
    func newGroup() throws {
        func makeAnew() throws -> [GroupState] { try makeGroups().0 }
        let common = RoleFile(socketPath: folder.socket)
        try common.write(RoleFile.Memory(role: .primary, takeoverNumber: 3, highestTakeoverNumber: 3))
        let inherited = try makeAnew()
        #expect(inherited.map { $0.core.node.role } == [.primary, .primary])
        #expect(inherited.map { $0.core.node.takeoverNumber } == [3, 3])
        try common.write(RoleFile.Memory(role: .backup, takeoverNumber: 3, highestTakeoverNumber: 4))
        #expect(try makeAnew().map { $0.core.node.role } == [.backup, .primary])
    }

    @Test("a group that nobody has given a role does not get the default group's later")
    func untoldGroup() throws {
        #expect(try makeGroups().0.map { $0.core.node.role } == [.unset, .unset])
        try RoleFile(socketPath: folder.socket).write(RoleFile.Memory(role: .primary, takeoverNumber: 1))
        #expect(try makeGroups().0.map { $0.core.node.role } == [.primary, .unset])
    }
}
