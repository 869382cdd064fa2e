internal import Control
internal import Flow
internal import FlowTable
internal import Replication
internal import SystemIO

// The phases of an action that wait for something: each is asked again in every turn until it says that it is over.

extension Engine {
    /// The writer's echoes wait at the event socket when its last outcome is here: once it is drained, and no dump is
    /// owed for lost events, the internal cache equals the kernel's table.
    func followEvents(_ group: GroupState, _ now: Instant) -> Bool {
        guard let isDrained = drainForAction(now) else { return true }
        action?.step.count = group.core.internalCache.count
        if isDrained, !reconciliation.isOwed { return true }
        return hasWaited(Self.followEventsMilliseconds, now, note: "events are still being lost; see flowsync status")
    }

    /// Before the claim is given up, the latest changes are taken in; what is queued then goes out still.
    func handOver(_ group: GroupState, _ now: Instant) -> Bool {
        guard group.core.node.role.claimsFlows, let isDrained = drainForAction(now) else { return true }
        action?.step.count = group.core.node.queuedCount
        return isDrained || hasWaited(Self.handOverMilliseconds, now, note: "events keep coming")
    }

    /// Drains the event socket now; whether it is empty, or nil if it failed.
    private func drainForAction(_ now: Instant) -> Bool? {
        do {
            drainAt = now
            try drainEvents(now)
            return drainAt > now
        } catch {
            action?.step.note = "the event socket failed: \(error)"
            return nil
        }
    }

    func hasWaited(_ milliseconds: UInt64, _ now: Instant, note: String) -> Bool {
        guard let startedAt = action?.startedAt, now.milliseconds(since: startedAt) >= milliseconds else {
            return false
        }
        action?.step.note = note
        return true
    }

    /// Whether a peer is primary and its whole state is here.
    func isPrimaryHere(_ group: GroupState) -> Bool {
        group.core.node.peerStatus.contains { peer in
            peer.isUp && peer.role == .primary && peer.synchronisedSince != nil
                && peer.takeoverNumber >= group.core.node.takeoverNumber
        }
    }

    func awaitPrimary(_ group: GroupState, _ now: Instant) -> Bool {
        if isPrimaryHere(group) {
            action?.step.count = group.core.externalCache.count
            return true
        }
        let note = "no peer is primary yet; this node's old flows stay until one is"
        guard isRoleCommandWaiting || hasWaited(Self.awaitPrimaryMilliseconds, now, note: note) else { return false }
        action?.step.note = note
        group.purgeWaits = true
        // Without a primary nothing is purged: what the kernel holds may be the only copy.
        action?.phases.removeAll {
            if case .delete = $0 { true } else { false }
        }
        return true
    }

    func awaitPeers(_ group: GroupState, _ now: Instant) -> Bool {
        let up = group.core.node.peerStatus.filter(\.isUp)
        if up.isEmpty { return fail("no peer is up: see `flowsync status`") }
        if up.allSatisfy({ $0.synchronisedSince != nil }) {
            action?.step.count = group.core.externalCache.count
            return true
        }
        return hasWaited(Self.awaitPeersMilliseconds, now, note: "gave up")
            ? fail("the peers' flows did not arrive in time") : false
    }

    func awaitPush(_ group: GroupState, _ now: Instant) -> Bool {
        let members = group.core.node.peerStatus.filter(\.isMember)
        if members.isEmpty { return fail("no peer is up: see `flowsync status`") }
        if !group.core.node.role.claimsFlows {
            return fail("a \(group.core.node.role.text) announces no flows: nothing was sent")
        }
        if !group.core.node.isTransferring {
            action?.step.count = group.core.internalCache.count
            return true
        }
        return hasWaited(Self.awaitPeersMilliseconds, now, note: "gave up")
            ? fail("the peers did not acknowledge everything in time") : false
    }

    func fail(_ message: String) -> Bool {
        action?.report.succeeded = false
        action?.report.message = message
        return true
    }
}
