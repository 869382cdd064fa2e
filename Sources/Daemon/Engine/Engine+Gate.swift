internal import Configuration
internal import Control
internal import Flow
internal import Gate
internal import Link
internal import Logging
internal import Policy
internal import Takeover

// The gate is closed while this node is not primary and during a takeover, and open otherwise. It is the kernel that
// takes it away if the daemon dies: the table belongs to the daemon's socket.

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

    /// Follows the router's addresses; what the gate lets through follows them.
    func updateGateAddresses(_ interfaces: [Interface]) {
        guard gateAddresses.update(Self.gateInterfaces(interfaces)), gate?.isClosed == true else { return }
        closeGate()
    }

    /// Makes a gate if one is configured, and closes it unless the node is primary.
    ///
    /// A gate that cannot be made or closed is tried again every second, and stands among the warnings.
    func settleGate() {
        let interfaces = configuration.takeover.gateInterfaces
        guard !interfaces.isEmpty else { return }
        do throws(GateError) {
            if gate == nil { gate = try Gate.make(interfaces: interfaces) }
            if isGateWanted, gate?.isClosed == false { try gate?.close(ownAddresses: Array(gateAddresses.all)) }
            gateProblem = nil
        } catch {
            gateProblem = "the gate cannot be closed: \(error)"
            logLimited("gate", "the gate cannot be closed: \(error)")
        }
    }

    /// Lets go of the gate and makes one of the interfaces that are now configured.
    ///
    /// A standby's is open for a moment: interfaces are not changed in the middle of a failover.
    func replaceGate() {
        gate = nil
        gateProblem = nil
        settleGate()
    }

    /// Closes the gate, or keeps it closed with the router's addresses as they are now.
    func closeGate() {
        isGateWanted = true
        do throws(GateError) {
            try gate?.close(ownAddresses: Array(gateAddresses.all))
            gateProblem = nil
        } catch {
            reportGate("the gate cannot be closed: \(error)")
        }
    }

    /// Opens the gate.
    func openGate() {
        isGateWanted = false
        do throws(GateError) {
            guard let count = try gate?.open() else { return }
            action?.step.count = Int(clamping: count.packets)
            action?.step.note = "packets of unknown flows dropped while it was closed"
            gateProblem = nil
        } catch {
            // It is open all the same: with its socket, which is closed then, the kernel takes the table away.
            gate = nil
            reportGate("the gate is open, but not in the usual way: \(error)")
        }
    }

    private func reportGate(_ problem: String) {
        gateProblem = problem
        action?.step.failed["gate", default: 0] += 1
        action?.step.note = problem
        logLimited("gate", problem)
    }
}
