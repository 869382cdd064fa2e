internal import Configuration
internal import Conntrack
internal import Control
internal import Flow
internal import FlowTable
internal import Link
internal import Logging
internal import Policy
internal import Replication
internal import SystemIO

extension Engine {
    /// What the kernel says of its connection tracking.
    func kernelStatus() -> KernelStatus {
        var status = KernelStatus()
        if let table = try? KernelTable.read() {
            status.eventsEnabled = table.eventMode != .never
            status.tableCount = table.count
            status.tableCountMax = table.countMax
        }
        status.eventBufferByteCount = events.bufferByteCount
        status.overrunCount = kernel.overrunCount
        return status
    }

    /// Looks for what silently keeps replication from working, and says how to mend it.
    ///
    /// New findings are logged.
    func checkKernel() {
        var found: [String] = []
        do {
            found = try KernelTable.read().warnings
        } catch {
            found = ["\(error)"]
        }
        // Once something was tracked here, conntrack is hooked; until then each look costs a packet to this host
        // itself.
        if intake.eventCount == 0, internalFlowCount == 0, (try? KernelTable.isTracking()) != true {
            found.append(KernelTable.notTrackingWarning)
        }
        for text in found where !warnings.contains(text) { logger.warning("\(text)") }
        warnings = found
    }

    /// Takes over a changed configuration file; a bad one changes nothing.
    func reload() {
        notifier.reloading()
        defer { notifier.ready(status: statusLine(now)) }
        let fresh: Configuration
        let freshLinks: [LinkSettings]
        let ring: KeyRing?
        do {
            fresh = try Configuration.load(path: path)
            freshLinks = try fresh.sync.links.map(Self.linkSettings)
            ring = try LinkSecurity.ring(fresh.sync)
        } catch {
            logger.error("reload: the running configuration stays in force: \(error)")
            return
        }
        var changes: [String] = []
        var fixed: [String] = []
        if fresh.nodeName != configuration.nodeName { fixed.append("[node] name") }
        if fresh.controlSocketPath != configuration.controlSocketPath { fixed.append("[control] socket") }
        if fresh.kernel != configuration.kernel {
            changes.append("[kernel]")
            if fresh.kernel.eventBufferByteCount > events.bufferByteCount {
                do { try events.growBuffer(to: fresh.kernel.eventBufferByteCount) } catch {
                    logger.warning("reload: the event buffer cannot grow: \(error)")
                }
            }
        }
        if fresh.sync.mode != configuration.sync.mode { fixed.append("[sync] mode") }
        if fresh.groups != configuration.groups { fixed.append("[[group]]") }
        if freshLinks != (0..<links.count).map({ links.settings($0) }) {
            changes.append("[[sync.link]]")
            links = LinkGroup(freshLinks)
        }
        if ring != keyRing {
            changes.append(fresh.sync.security == .insecure ? "[sync] insecure" : "[sync] key-file")
            keyRing = ring
            security.replace(ring)
        }
        let gateChanged = fresh.takeover.gateInterfaces != configuration.takeover.gateInterfaces
        let policyChanged = fresh.replicate != configuration.replicate
        var kept = fresh
        kept.nodeName = configuration.nodeName
        kept.controlSocketPath = configuration.controlSocketPath
        kept.sync.mode = configuration.sync.mode
        kept.groups = configuration.groups
        if fresh.takeover.commit != configuration.takeover.commit { changes.append("[takeover] commit") }
        configuration = kept
        for group in groups {
            settlePreload(group)
            group.core.node.setShared(Self.sharedSettings(kept), now: now)
        }
        if gateChanged {
            changes.append("[takeover] gate-interfaces")
            replaceGates()
        }
        if policyChanged {
            changes.append("[replicate]")
            var policy = fresh.replicate.policy
            policy.setOwnAddresses(intake.policy.ownAddresses)
            applyPolicy(policy, reconcileAt: now)
        }
        refreshLinks()
        logger.info("reload: \(changes.isEmpty ? "nothing changed" : changes.joined(separator: ", ") + " in force")")
        if !fixed.isEmpty {
            logger.warning("reload: \(fixed.joined(separator: " and ")) change only with a restart of flowsyncd")
        }
    }
}
