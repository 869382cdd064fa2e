internal import Configuration
internal import Conntrack
internal import Control
internal import Flow
internal import FlowTable
internal import Link
internal import Logging
internal import Policy
internal import SystemIO

extension Engine {
    private static let sysctlFolder = "/proc/sys/net/netfilter/"

    /// The number in one of conntrack's sysctls; nil if it cannot be read.
    private static func sysctl(_ name: String) -> Int? {
        guard let bytes = try? SystemFile.read(sysctlFolder + name, byteCountMax: 64) else { return nil }
        return Int(String(decoding: bytes, as: UTF8.self).split { $0 == "\n" || $0 == " " }.first ?? "")
    }

    /// What the kernel says of its connection tracking.
    func kernelStatus() -> KernelStatus {
        var status = KernelStatus()
        status.eventsEnabled = (Self.sysctl("nf_conntrack_events") ?? 1) != 0
        status.tableCount = Self.sysctl("nf_conntrack_count") ?? 0
        status.tableCountMax = Self.sysctl("nf_conntrack_max") ?? 0
        status.eventBufferByteCount = events.bufferByteCount
        status.overrunCount = kernel.overrunCount
        return status
    }

    /// Looks for what silently keeps replication from working, and says how to mend it. New findings are logged.
    func checkKernel() {
        var found: [String] = []
        let status = kernelStatus()
        if !status.eventsEnabled {
            found.append(
                "the kernel sends no conntrack events, so nothing new is replicated: "
                    + "run `sysctl -w net.netfilter.nf_conntrack_events=1`")
        }
        if status.tableCountMax > 0, status.tableCount * 10 >= status.tableCountMax * 9 {
            found.append(
                "the kernel's table is nearly full (\(status.tableCount) of \(status.tableCountMax)): "
                    + "raise net.netfilter.nf_conntrack_max on all nodes")
        }
        if status.tableCount == 0, status.eventsEnabled, core.externalCache.count == 0, core.eventCount == 0 {
            found.append(
                "the kernel tracks no connection here: without a firewall or NAT rule that uses `ct` it never will "
                    + "(for example: nft add rule inet filter forward ct state established,related accept)")
        }
        for text in found where !warnings.contains(text) { logger.warning("\(text)") }
        warnings = found
    }

    /// Takes over a changed configuration file; a bad one changes nothing.
    func reload() {
        notifier.reloading()
        defer { notifier.ready(status: statusLine(now)) }
        let fresh: Configuration
        let freshLink: LinkSettings
        do {
            fresh = try Configuration.load(path: path)
            freshLink = try Self.linkSettings(fresh.syncLink)
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
        if freshLink != link.settings {
            changes.append("[[sync.link]]")
            link = SyncLink(freshLink)
        }
        let policyChanged = fresh.replicate != configuration.replicate
        var kept = fresh
        kept.nodeName = configuration.nodeName
        kept.controlSocketPath = configuration.controlSocketPath
        configuration = kept
        if policyChanged {
            changes.append("[replicate]")
            var policy = fresh.replicate.policy
            policy.setOwnAddresses(core.policy.ownAddresses)
            applyPolicy(policy, reconcileAt: now)
        }
        refreshLink()
        logger.info("reload: \(changes.isEmpty ? "nothing changed" : changes.joined(separator: ", ") + " in force")")
        if !fixed.isEmpty {
            logger.warning("reload: \(fixed.joined(separator: " and ")) change only with a restart of flowsyncd")
        }
    }
}
