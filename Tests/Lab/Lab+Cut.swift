/// Cutting a router off its sync networks: at the switch, so that its interface stays up and its daemon sees nothing.
extension Lab {
    /// What a cut keeps from passing.
    public enum Cut: Sendable {
        /// What the others send to the router: it hears nothing.
        case deaf
        /// What the router sends: it is not heard.
        case mute
        /// Both.
        case both
    }

    /// Cuts a router off a sync network until `heal`.
    public func cut(_ router: LabNode, off network: SyncNetwork = .sync, _ cut: Cut = .both) throws(LabError) {
        let port = switchPort(of: router, in: network.rawValue)
        let table = "netdev cut_\(router)_\(network)"
        let mute = "chain mute { type filter hook ingress device \"\(port)\" priority 0; counter drop; }"
        let deaf = "chain deaf { type filter hook egress device \"\(port)\" priority 0; counter drop; }"
        let chains =
            switch cut {
            case .deaf: deaf
            case .mute: mute
            case .both: deaf + "\n" + mute
            }
        try nft(on: .fabric, "table \(table)\ndelete table \(table)\ntable \(table) {\n\(chains)\n}")
    }

    /// Ends a cut.
    public func heal(_ router: LabNode, on network: SyncNetwork = .sync) throws(LabError) {
        let table = "netdev cut_\(router)_\(network)"
        try nft(on: .fabric, "table \(table)\ndelete table \(table)")
    }

    /// The switch's end of the cable of a machine.
    func switchPort(of node: LabNode, in network: String) -> String {
        let direct = "\(node.rawValue)-\(network)"
        return cables[direct] == nil ? direct : direct + "-b"
    }
}
