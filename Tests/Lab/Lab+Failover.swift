internal import Glibc

/// What the tests do to the lab: move addresses, cut links, lose datagrams.
extension Lab {
    /// Moves the floating addresses to a router, as VRRP does: gone from the other one, announced by the new one.
    public func moveAddresses(to router: LabNode) throws(LabError) {
        if activeRouter != router {
            try ip(on: router.otherRouter, floatingLines("del"))
            try ip(on: router, floatingLines("add"))
            activeRouter = router
        }
        try announceAddresses()
    }

    /// Does to the neighbours' tables what a gratuitous ARP and an unsolicited neighbour advertisement do.
    ///
    /// Written by hand because it cannot be lost and needs no further program.
    private func announceAddresses() throws(LabError) {
        for (node, network, addresses) in [
            (LabNode.client, "lan", [LabAddress.floatingLAN, LabAddress.floatingLANIPv6]),
            (.server, "wan", [LabAddress.floatingWAN, LabAddress.floatingWANIPv6]),
        ] {
            let mac = try hardwareAddress(of: activeRouter, network)
            try ip(on: node, addresses.map { "neigh replace \($0) lladdr \(mac) dev \(network) nud stale" })
        }
    }

    private func hardwareAddress(of node: LabNode, _ interface: String) throws(LabError) -> String {
        let text = try check(on: node, ["ip", "-o", "link", "show", "dev", interface]).text
        let words = text.split { $0 == " " || $0 == "\n" }
        guard let index = words.firstIndex(of: "link/ether"), index + 1 < words.count else {
            throw LabError("no hardware address in: \(text)")
        }
        return String(words[index + 1])
    }

    /// Takes all links of a router down: what the others see when it loses power.
    public func cutLinks(of router: LabNode) throws(LabError) {
        try ip(on: router, interfaces(of: router).map { "link set \($0) down" })
    }

    /// Brings the links of a router up again.
    public func restoreLinks(of router: LabNode) throws(LabError) {
        try ip(on: router, interfaces(of: router).map { "link set \($0) up" })
    }

    private func interfaces(of router: LabNode) -> [String] {
        (router.isOfPair ? ["lan", "wan"] : []) + syncNetworks.map(\.rawValue)
    }

    /// Drops a share of the sync datagrams that arrive at each router by the first sync network; 0 ends it.
    public func loseSyncDatagrams(percent: Int) throws(LabError) {
        for router in routers {
            try nft(
                on: router,
                """
                table inet loss
                delete table inet loss
                table inet loss {
                    chain sync {
                        type filter hook prerouting priority -400;
                        iifname "sync" udp dport 3780 numgen random mod 100 < \(percent) counter drop
                    }
                }
                """
            )
        }
    }

    /// How many sync datagrams the loss rule dropped at a router.
    public func lostSyncDatagrams(at router: LabNode) throws(LabError) -> Int {
        let text = try check(on: router, ["nft", "list", "table", "inet", "loss"]).text
        let words = text.split { $0 == " " || $0 == "\n" }
        guard let index = words.firstIndex(of: "packets"), let count = Int(words[index + 1]) else {
            throw LabError("no counter in: \(text)")
        }
        return count
    }
}
