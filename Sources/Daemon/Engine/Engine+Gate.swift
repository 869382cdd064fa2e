internal import Configuration
internal import Control
internal import Flow
internal import Gate
internal import Link
internal import Logging
internal import Policy
internal import Takeover

// Each group's gate is closed while this node is not primary for it and during a takeover, and open otherwise. It is
// the kernel that takes it away if the daemon dies: the table belongs to the daemon's socket.

extension Engine {
    /// The router's addresses, sorted into its own and floating ones.
    static func ownAddresses(startingWith interfaces: [Interface]) -> OwnAddresses<HostAddress> {
        OwnAddresses(gateInterfaces(interfaces)) { $0.family == .ipv6 }
    }

    private static func gateInterfaces(_ interfaces: [Interface]) -> [OwnAddresses<HostAddress>.Interface] {
        interfaces.map { interface in
            let all = ownAddresses([interface])
            return OwnAddresses.Interface(
                name: interface.name,
                isUp: interface.isUp,
                addresses: all.filter { !$0.isLinkLocal },
                linkLocal: all.filter(\.isLinkLocal)
            )
        }
    }

    /// Follows the router's addresses; what the gates let through follows them.
    func updateGateAddresses(_ interfaces: [Interface]) {
        guard gateAddresses.update(Self.gateInterfaces(interfaces)) else { return }
        for group in groups where group.gate?.isClosed == true { closeGate(group) }
    }

    /// Makes the gates if they are configured, and closes each unless the node is primary for its group.
    ///
    /// A gate that cannot be made or closed is tried again every second, and stands among the warnings.
    func settleGates() {
        let interfaces = configuration.takeover.gateInterfaces
        guard !interfaces.isEmpty else { return }
        for group in groups {
            do throws(GateError) {
                if group.gate == nil {
                    group.gate = try Gate.make(
                        interfaces: interfaces,
                        table: gateTable(group),
                        scope: GateScope(ofGroup: group.index, in: configuration.groups)
                    )
                }
                if group.isGateWanted, group.gate?.isClosed == false {
                    try group.gate?.close(ownAddresses: Array(gateAddresses.all))
                }
                group.gateProblem = nil
            } catch {
                group.gateProblem = "\(label(group))the gate cannot be closed: \(error)"
                logLimited("\(label(group))gate", "\(label(group))the gate cannot be closed: \(error)")
            }
        }
    }

    /// Its table in nf_tables: `flowsync` for the default group, `flowsync-web` for the group web.
    private func gateTable(_ group: GroupState) -> String {
        group.index == 0 ? "flowsync" : "flowsync-\(group.name)"
    }

    /// Lets go of the gates and makes those of the interfaces that are now configured.
    ///
    /// A standby's is open for a moment: interfaces are not changed in the middle of a failover.
    func replaceGates() {
        for group in groups {
            group.gate = nil
            group.gateProblem = nil
        }
        settleGates()
    }

    /// Closes a group's gate, or keeps it closed with the router's addresses as they are now.
    func closeGate(_ group: GroupState) {
        group.isGateWanted = true
        do throws(GateError) {
            try group.gate?.close(ownAddresses: Array(gateAddresses.all))
            group.gateProblem = nil
        } catch {
            reportGate("the gate cannot be closed: \(error)", group)
        }
    }

    /// Opens a group's gate.
    func openGate(_ group: GroupState) {
        group.isGateWanted = false
        do throws(GateError) {
            guard let count = try group.gate?.open() else { return }
            action?.step.count = Int(clamping: count.packets)
            action?.step.note = "packets of unknown flows dropped while it was closed"
            group.gateProblem = nil
        } catch {
            // It is open all the same: with its socket, which is closed then, the kernel takes the table away.
            group.gate = nil
            reportGate("the gate is open, but not in the usual way: \(error)", group)
        }
    }

    private func reportGate(_ problem: String, _ group: GroupState) {
        group.gateProblem = label(group) + problem
        if action?.group === group {
            action?.step.failed["gate", default: 0] += 1
            action?.step.note = problem
        }
        logLimited("\(label(group))gate", label(group) + problem)
    }
}
