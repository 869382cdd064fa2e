/// How the lab is wired, addressed and ruled.
extension Lab {
    /// Builds everything; the floating addresses are on r1 afterwards.
    func layOut() throws(LabError) {
        for node in [.client, .server, .fabric] + routers { try runChecked(["ip", "netns", "add", namespace(node)]) }
        try ip(
            on: .fabric,
            (["lan", "wan"] + syncNetworks.map(\.rawValue)).map {
                // No snooping: without a querier it would forget the sync group's members after some minutes.
                "link add \($0) up type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
            }
        )
        try plug(.client, into: "lan")
        try plug(.server, into: "wan")
        for router in routers {
            if router.isOfPair { for network in ["lan", "wan"] { try plug(router, into: network) } }
            for network in syncNetworks { try plug(router, into: network.rawValue) }
        }
        for node in [.client, .server] + routers { try sysctl(on: node, commonSettings) }
        for router in routers { try sysctl(on: router, routerSettings) }
        try addAddresses()
        for router in routers { try nft(on: router, routerRules) }
    }

    /// Connects a machine to a switch; its interface is called like the switch.
    public func plug(_ node: LabNode, into network: String) throws(LabError) {
        try ip(
            on: .fabric,
            [
                "link add \(node.rawValue)-\(network) type veth peer name \(network) netns \(namespace(node))",
                "link set \(node.rawValue)-\(network) master \(network) up",
            ]
        )
    }

    /// Removes a machine's interface.
    public func unplug(_ node: LabNode, from network: String) throws(LabError) {
        try ip(on: .fabric, ["link del \(node.rawValue)-\(network)"])
    }

    /// Brings a router's first sync interface up with its addresses; for one that was plugged in later.
    public func configureSync(on router: LabNode) throws(LabError) {
        try ip(on: router, syncLines(router, .sync))
    }

    private func syncLines(_ node: LabNode, _ network: SyncNetwork) -> [String] {
        [
            "link set \(network) up",
            "addr add \(LabAddress.sync(node, on: network))/24 dev \(network)",
            "addr add \(LabAddress.syncIPv6(node, on: network))/64 dev \(network) nodad",
        ]
    }

    /// Connects a machine that is none of the routers to the first sync network.
    public func addIntruder() throws(LabError) {
        try runChecked(["ip", "netns", "add", namespace(.intruder)])
        try plug(.intruder, into: "sync")
        try sysctl(on: .intruder, commonSettings)
        try ip(on: .intruder, ["link set lo up"] + syncLines(.intruder, .sync))
    }

    private var commonSettings: [String] {
        [
            "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0",
            "net.ipv6.conf.all.accept_ra=0", "net.ipv6.conf.default.accept_ra=0",
            // Otherwise IPv6 addresses vanish when a link goes down, IPv4 addresses do not.
            "net.ipv6.conf.all.keep_addr_on_down=1", "net.ipv6.conf.default.keep_addr_on_down=1",
            "net.ipv4.ip_local_port_range=10000 65000",
            "net.core.somaxconn=8192", "net.ipv4.tcp_max_syn_backlog=8192",
        ]
    }

    private var routerSettings: [String] {
        [
            "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.conf.all.rp_filter=0",
            // Set in every namespace: a new one starts with the kernel's defaults, not with this machine's settings.
            "net.netfilter.nf_conntrack_events=1",
            "net.netfilter.nf_conntrack_tcp_loose=0",
            "net.netfilter.nf_conntrack_tcp_be_liberal=0",
            // Retransmissions into a dead path must not shorten the timeouts that the tests compare.
            "net.netfilter.nf_conntrack_tcp_timeout_max_retrans=300",
        ]
    }

    private func addAddresses() throws(LabError) {
        let clients = LabAddress.translatedClients + LabAddress.plainClients
        let clientsIPv6 = LabAddress.plainClientsIPv6 + LabAddress.translatedClientsIPv6
        try ip(
            on: .client,
            ["link set lo up", "link set lan up"] + clients.map { "addr add \($0)/16 dev lan" }
                + clientsIPv6.map { "addr add \($0)/64 dev lan nodad" }
                + [
                    "route add default via \(LabAddress.floatingLAN)",
                    "route add default via \(LabAddress.floatingLANIPv6)",
                ]
        )
        try ip(
            on: .server,
            [
                "link set lo up", "link set wan up", "addr add \(LabAddress.server)/16 dev wan",
                "addr add \(LabAddress.serverIPv6)/64 dev wan nodad",
                "route add default via \(LabAddress.floatingWAN)",
                "route add default via \(LabAddress.floatingWANIPv6)",
            ]
        )
        for router in routers {
            try ip(on: router, ["link set lo up"] + syncNetworks.flatMap { syncLines(router, $0) })
        }
        for router in [LabNode.r1, .r2] {
            try ip(
                on: router,
                [
                    "link set lan up", "link set wan up",
                    "addr add 10.10.0.\(router.hostNumber)/16 dev lan",
                    "addr add fd10::\(router.hostNumber)/64 dev lan nodad",
                    "addr add 10.20.0.\(router.hostNumber)/16 dev wan",
                    "addr add fd20::\(router.hostNumber)/64 dev wan nodad",
                ]
            )
        }
        try ip(on: .r1, floatingLines("add"))
    }

    /// Lines that add the floating addresses to a router or delete them from it.
    func floatingLines(_ verb: String) -> [String] {
        let noDetection = verb == "add" ? " nodad" : ""
        return [
            "addr \(verb) \(LabAddress.floatingLAN)/32 dev lan", "addr \(verb) \(LabAddress.floatingWAN)/32 dev wan",
            "addr \(verb) \(LabAddress.floatingLANIPv6)/128 dev lan\(noDetection)",
            "addr \(verb) \(LabAddress.floatingWANIPv6)/128 dev wan\(noDetection)",
        ]
    }

    /// What an operator's pair of stateful routers has: everything tracked except the sync link, invalid packets
    /// dropped, and a TCP connection begins with a SYN or not at all.
    private var routerRules: String {
        """
        table inet lab {
            chain sync_in { type filter hook prerouting priority raw; iifname "sync*" notrack; }
            chain sync_out { type filter hook output priority raw; oifname "sync*" notrack; }
            chain input {
                type filter hook input priority filter;
                ct state invalid drop
            }
            chain forward {
                type filter hook forward priority filter; policy drop;
                ct state invalid drop
                ct state established,related accept
                meta l4proto tcp tcp flags & (fin|syn|rst|ack) != syn drop
                ct state new accept
            }
            chain translate_destination {
                type nat hook prerouting priority dstnat;
                iifname "lan" ip daddr \(LabAddress.floatingLAN) meta l4proto { tcp, udp } th dport 8000-8099 \
                    dnat ip to \(LabAddress.server):\(LabAddress.serverPort)
                iifname "lan" ip6 daddr \(LabAddress.floatingLANIPv6) meta l4proto { tcp, udp } th dport 8000-8099 \
                    dnat ip6 to [\(LabAddress.serverIPv6)]:\(LabAddress.serverPort)
            }
            chain translate_source {
                type nat hook postrouting priority srcnat;
                oifname "wan" ip saddr 10.10.0.0/24 snat ip to \(LabAddress.floatingWAN)
                oifname "wan" ip6 saddr fd10::a0/124 snat ip6 to \(LabAddress.floatingWANIPv6)
            }
        }
        """
    }
}
