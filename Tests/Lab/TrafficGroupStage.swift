public import Control

/// A pair of routers that is active-active: each is primary for one of two traffic groups, and talking connections of
/// both go through them.
///
/// Its routers are those of `TakeoverStage`: a connection whose flow is not there when its packet comes is reset.
public final class TrafficGroupStage {
    /// A lab with everything in it.
    public let lab: Lab
    /// The connections; those of a group have names that begin with its own.
    public let traffic: TalkingTraffic
    /// What moves the addresses.
    public let keepalived: KeepalivedGroups
    /// Counts resets, from the moment all connections are open.
    public private(set) var resets: ResetWatcher?
    private let settings: DaemonSettings
    /// Connections per group.
    private var connectionCount = 0

    /// The settings of a router's daemon with both groups and a gate.
    public static func settings(isPreloading: Bool = false) -> DaemonSettings {
        var settings = DaemonSettings()
        settings.gateInterfaces = ["lan", "wan"]
        settings.isPreloading = isPreloading
        settings.extraLines = StageGroup.allCases.map(\.section).joined(separator: "\n")
        return settings
    }

    /// Builds the lab, starts both routers' programs, and waits until each router is primary for its group.
    public init(_ teller: KeepalivedGroups.Teller, isPreloading: Bool = false) throws(LabError) {
        settings = Self.settings(isPreloading: isPreloading)
        lab = try Lab()
        for router in [LabNode.r1, .r2] {
            try lab.nft(on: router, "flush chain inet lab input")
            try lab.sysctl(on: router, ["net.netfilter.nf_conntrack_tcp_loose=1"])
            try lab.nft(on: router, Self.rules)
        }
        try lab.addMailAddresses()
        keepalived = try KeepalivedGroups(lab, teller)
        try lab.startPair(settings)
        traffic = try TalkingTraffic(in: lab)
        for router in [LabNode.r2, .r1] { try keepalived.start(on: router) }
        for group in StageGroup.allCases { try waitUntilServed(group, by: group.preferredRouter, within: 20) }
    }

    /// Stops everything.
    public func close() { lab.close() }

    /// The translations of mail, and what counts each group's packets on their way through a router.
    private static let rules =
        """
        table inet lab {
            chain translate_destination {
                iifname "lan" ip daddr \(StageGroup.mail.inside) meta l4proto { tcp, udp } th dport 8000-8099 \
                    dnat ip to \(LabAddress.server):\(LabAddress.serverPort)
                iifname "lan" ip6 daddr \(StageGroup.mail.insideIPv6) meta l4proto { tcp, udp } th dport 8000-8099 \
                    dnat ip6 to [\(LabAddress.serverIPv6)]:\(LabAddress.serverPort)
            }
            chain translate_source {
                oifname "wan" ip saddr 10.10.2.0/24 snat ip to \(StageGroup.mail.outside)
                oifname "wan" ip6 saddr fd10::2:a0/124 snat ip6 to \(StageGroup.mail.outsideIPv6)
            }
        }
        table inet seen {
            counter web { }
            counter mail { }
            chain forward {
                type filter hook forward priority -200;

        """
        + StageGroup.allCases.flatMap { group in
            ["ip saddr", "ip daddr"].map { "\($0) \(group.clientNetwork) counter name \(group.rawValue)\n" }
                + ["ip6 saddr", "ip6 daddr"].map { "\($0) \(group.clientNetworkIPv6) counter name \(group.rawValue)\n" }
        }.joined() + "}\n}"

    /// Starts a router's daemon again, with the pair's settings.
    public func startDaemon(on router: LabNode) throws(LabError) {
        try lab.startDaemon(on: router, settings)
    }

    // MARK: Connections

    /// Opens connections in each group, translated and plain, over IPv4 and IPv6, and UDP probes; both ends talk.
    public func openConnections(_ count: Int, paceMilliseconds: ClosedRange<Int> = 200...800) throws(LabError) {
        // Each path is open when its first messages have come: the fewer they are, the faster they may come.
        let slowest = min(max(4, count * 4 / 5), paceMilliseconds.upperBound)
        try traffic.setPace(milliseconds: slowest / 4...slowest)
        for group in StageGroup.allCases {
            let server = (LabAddress.server, LabAddress.serverPort)
            let serverIPv6 = (LabAddress.serverIPv6, LabAddress.serverPort)
            let inside = (group.inside, LabAddress.translatedPort)
            let insideIPv6 = (group.insideIPv6, LabAddress.translatedPort)
            let (name, tenth) = (group.rawValue, count / 10)
            try traffic.open(count - 7 * tenth, "\(name)-SNAT", from: group.translatedClients, to: server)
            try traffic.open(3 * tenth, "\(name)-DNAT", from: group.plainClients, to: inside)
            try traffic.open(2 * tenth, "\(name)-IPv6", from: group.plainClientsIPv6, to: serverIPv6)
            try traffic.open(tenth, "\(name)-SNAT-IPv6", from: group.translatedClientsIPv6, to: serverIPv6)
            try traffic.open(tenth, "\(name)-DNAT-IPv6", from: group.plainClientsIPv6, to: insideIPv6)
            try traffic.open(5, "\(name)-SNAT", .udp, from: group.translatedClients, to: server)
            try traffic.open(5, "\(name)-DNAT", .udp, from: group.plainClients, to: inside)
        }
        try traffic.setPace(milliseconds: paceMilliseconds)
        connectionCount += count + 10
    }

    /// Waits until each group's connections are held by the router that does not serve it.
    ///
    /// - Parameter idleCount: flows of web that were injected into its router.
    public func replicate(idleCount: Int = 0, within seconds: Double = 30) throws {
        if idleCount > 0 { try lab.inject(idleCount, into: StageGroup.web.preferredRouter) }
        for group in StageGroup.allCases {
            let standby = group.preferredRouter.otherRouter
            let expected = connectionCount + (group == .web ? idleCount : 0)
            try lab.wait(until: "\(standby) holds \(expected) flows of \(group)", within: seconds) {
                try status(of: group, on: standby).caches.externalFlowCount >= expected
            } else: {
                logs
            }
        }
    }

    /// Begins to count resets and stalls.
    public func arm() throws(LabError) {
        if resets == nil { resets = try ResetWatcher(in: lab) }
        try traffic.mark()
    }

    // MARK: Groups

    /// What a router's daemon says of a group.
    public func status(of group: StageGroup, on router: LabNode) throws(LabError) -> GroupStatus {
        try lab.groupStatus(named: group.rawValue, on: router)
    }

    /// How many flows of each group's clients a router's kernel holds.
    public func kernelFlowCounts(of router: LabNode) throws(LabError) -> [StageGroup: Int] {
        var counts: [StageGroup: Int] = [.web: 0, .mail: 0]
        for identity in try lab.kernelFlows(of: router).flows.keys {
            if let group = StageGroup(flow: identity) { counts[group, default: 0] += 1 }
        }
        return counts
    }

    /// How many packets of a group a router was to forward so far.
    public func forwardedPacketCount(of group: StageGroup, by router: LabNode) throws(LabError) -> Int {
        let text = try lab.check(on: router, ["nft", "list", "counter", "inet", "seen", group.rawValue]).text
        let words = text.split(whereSeparator: \.isWhitespace)
        guard let index = words.firstIndex(of: "packets"), let count = Int(words[index + 1]) else {
            throw LabError("no counter in: \(text)")
        }
        return count
    }

    /// Waits until a router has a group's addresses and is primary for it, and the other has none and is not.
    ///
    /// - Returns: the seconds since a moment, by default this one.
    @discardableResult
    public func waitUntilServed(
        _ group: StageGroup,
        by router: LabNode,
        within seconds: Double,
        since start: Double = Clock.seconds
    ) throws(LabError) -> Double {
        let other = router.otherRouter
        while true {
            let held = try keepalived.floatingAddresses(of: group, on: router)
            let role = try status(of: group, on: router).role
            var isOtherServing = false
            if lab.runningRouters.contains(other) {
                let hasAddress = try !keepalived.floatingAddresses(of: group, on: other).isEmpty
                let otherRole = try status(of: group, on: other).role
                isOtherServing = hasAddress || otherRole == .primary
            }
            if held.count == group.floating.count, role == .primary, !isOtherServing {
                return ((Clock.seconds - start) * 100).rounded() / 100
            }
            guard Clock.seconds < start + seconds else {
                throw LabError("\(router) holds \(held) of \(group) and is \(role); it has to serve it\n\(logs)")
            }
            Clock.sleep(seconds: 0.05)
        }
    }

    /// What all programs said, for messages.
    public var logs: String { keepalived.logs }
}

extension Lab {
    /// What a router's daemon says of a traffic group.
    public func groupStatus(named name: String, on router: LabNode) throws(LabError) -> GroupStatus {
        let status = try status(of: router)
        guard let group = status.groups?.first(where: { $0.name == name }) else {
            throw LabError("\(router) has no traffic group \(name): \(status)\n\(daemonLogs)")
        }
        return group
    }

    /// Gives the clients of mail to the client, with the group's gateways as theirs.
    fileprivate func addMailAddresses() throws(LabError) {
        let mail = StageGroup.mail
        try ip(
            on: .client,
            (mail.translatedClients + mail.plainClients).map { "addr add \($0)/16 dev lan" }
                + (mail.translatedClientsIPv6 + mail.plainClientsIPv6).map { "addr add \($0)/64 dev lan nodad" }
                + [
                    "rule add from \(mail.clientNetwork) lookup 102",
                    "route add 10.10.0.0/16 dev lan table 102", "route add default via \(mail.inside) table 102",
                    "route add fd10::/64 dev lan table 102",
                    "route add default via \(mail.insideIPv6) dev lan table 102",
                ]
        )
        // In a batch it takes IPv4 rules only.
        try check(on: .client, ["ip", "-6", "rule", "add", "from", mail.clientNetworkIPv6, "lookup", "102"])
        try ip(
            on: .server,
            [
                "route add \(mail.clientNetwork) via \(mail.outside)",
                "route add \(mail.clientNetworkIPv6) via \(mail.outsideIPv6) dev wan",
            ]
        )
    }
}
