internal import Glibc

/// The kinds of sync link that the daemons can use.
public enum SyncTransport: String, CaseIterable, Sendable {
    /// An IPv4 multicast group.
    case multicastIPv4 = "multicast over IPv4"
    /// An IPv6 multicast group.
    case multicastIPv6 = "multicast over IPv6"
    /// UDP from IPv4 address to IPv4 address.
    case unicastIPv4 = "UDP over IPv4"
    /// UDP from IPv6 address to IPv6 address.
    case unicastIPv6 = "UDP over IPv6"
    /// TCP connections between IPv4 addresses.
    case tcpIPv4 = "TCP over IPv4"
    /// TCP connections between IPv6 addresses.
    case tcpIPv6 = "TCP over IPv6"
}

/// One sync link of a daemon: a transport over one of the lab's sync networks.
public struct LabLink: Sendable, CustomStringConvertible {
    /// How it carries datagrams.
    public var transport: SyncTransport
    /// Over which network.
    public var network: SyncNetwork

    /// A link of its parts.
    public init(_ transport: SyncTransport, over network: SyncNetwork = .sync) {
        self.transport = transport
        self.network = network
    }

    /// "UDP over IPv4 in sync2".
    public var description: String { "\(transport.rawValue) in \(network)" }

    /// The section of the configuration file.
    fileprivate func section(of router: LabNode, among routers: [LabNode]) -> String {
        func addressed(_ transport: String, _ address: (LabNode) -> String) -> String {
            let peers = routers.filter { $0 != router }.map { "\"\(address($0))\"" }.joined(separator: ", ")
            return "transport = \"\(transport)\"\nlocal = \"\(address(router))\"\npeers = [\(peers)]"
        }
        func version4(_ node: LabNode) -> String { LabAddress.sync(node, on: network) }
        func version6(_ node: LabNode) -> String { LabAddress.syncIPv6(node, on: network) }
        let lines =
            switch transport {
            case .multicastIPv4: "transport = \"multicast\"\ngroup = \"225.0.0.50\""
            case .multicastIPv6: "transport = \"multicast\"\ngroup = \"ff12::3780\""
            case .unicastIPv4: addressed("udp", version4)
            case .unicastIPv6: addressed("udp", version6)
            case .tcpIPv4: addressed("tcp", version4)
            case .tcpIPv6: addressed("tcp", version6)
            }
        return "[[sync.link]]\ninterface = \"\(network)\"\nport = \(LabAddress.syncPort)\n\(lines)\n"
    }
}

/// What differs between the daemons of the lab.
public struct DaemonSettings: Sendable {
    /// What protects the sync links.
    public enum Security: String, CaseIterable, Sendable {
        /// Nothing.
        case insecure
        /// A key file that the lab writes.
        case sealed
    }

    /// The sync links.
    public var links: [LabLink]
    /// What protects them; `FLOWSYNC_LAB_INSECURE` set in the lab's environment makes the sealed ones insecure, which
    /// tells a fault of the seal from one of the protocol.
    public var security = getenv("FLOWSYNC_LAB_INSECURE") == nil ? Security.sealed : .insecure
    /// Whether nothing is acknowledged.
    public var isBestEffort = false
    /// The node's name; nil is the router's.
    public var nodeName: String?
    /// The replicated protocols.
    public var protocols = ["tcp", "udp", "icmp", "icmpv6", "sctp", "gre", "dccp", "udplite"]
    /// Whether the daemon has the hidden `debug` commands (`FLOWSYNC_DEBUG=1`).
    public var hasDebugHooks = false
    /// The event buffer at start.
    public var eventBuffer = "8 MiB"
    /// The event buffer's limit.
    public var eventBufferMax = "64 MiB"
    /// Whether a standby keeps the peers' flows in its kernel (`commit = "preload"`).
    public var isPreloading = false
    /// Where the gate closes; none is the daemon's default.
    public var gateInterfaces: [String] = []
    /// Lines appended to the configuration file, for what a single test needs.
    public var extraLines = ""

    /// Settings with one link over the first sync network.
    public init(transport: SyncTransport = .multicastIPv4) {
        links = [LabLink(transport)]
    }

    /// Settings with these links; the first one carries the load while it is healthy.
    public init(links: [LabLink]) {
        self.links = links
    }

    /// The configuration file of a router's daemon.
    public func configuration(
        for router: LabNode,
        socketPath: String,
        keyFilePath: String = "/etc/flowsync/sync.key",
        among routers: [LabNode] = [.r1, .r2]
    ) -> String {
        """
        [node]
        name = "\(nodeName ?? router.rawValue)"

        [sync]
        \(security == .sealed ? "key-file = \"\(keyFilePath)\"" : "insecure = true")
        \(isBestEffort ? "mode = \"best-effort\"" : "")

        \(links.map { $0.section(of: router, among: routers) }.joined(separator: "\n"))
        [kernel]
        event-buffer = "\(eventBuffer)"
        event-buffer-max = "\(eventBufferMax)"

        [replicate]
        protocols = [\(protocols.map { "\"\($0)\"" }.joined(separator: ", "))]
        ignore-addresses = ["127.0.0.0/8", "::1/128"]

        \(takeoverSection)
        [control]
        socket = "\(socketPath)"
        \(extraLines)
        """ + "\n"
    }

    private var takeoverSection: String {
        let lines =
            (isPreloading ? ["commit = \"preload\""] : [])
            + (gateInterfaces.isEmpty
                ? [] : ["gate-interfaces = [\(gateInterfaces.map { "\"\($0)\"" }.joined(separator: ", "))]"])
        return lines.isEmpty ? "" : "[takeover]\n\(lines.joined(separator: "\n"))\n"
    }
}
