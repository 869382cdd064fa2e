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

    fileprivate func lines(_ router: LabNode) -> String {
        func unicast(_ addresses: [LabNode: String]) -> String {
            """
            transport = "udp"
            local = "\(addresses[router, default: ""])"
            peers = ["\(addresses[router.otherRouter, default: ""])"]
            """
        }
        return switch self {
        case .multicastIPv4: "transport = \"multicast\"\ngroup = \"225.0.0.50\""
        case .multicastIPv6: "transport = \"multicast\"\ngroup = \"ff12::3780\""
        case .unicastIPv4: unicast(LabAddress.sync)
        case .unicastIPv6: unicast(LabAddress.syncIPv6)
        }
    }
}

/// What differs between the daemons of the lab.
public struct DaemonSettings: Sendable {
    /// The sync link.
    public var transport: SyncTransport
    /// The event buffer at start.
    public var eventBuffer = "8 MiB"
    /// The event buffer's limit.
    public var eventBufferMax = "64 MiB"
    /// Lines appended to the configuration file, for what a single test needs.
    public var extraLines = ""

    /// Settings that differ by the transport alone.
    public init(transport: SyncTransport = .multicastIPv4) {
        self.transport = transport
    }

    /// The configuration file of a router's daemon.
    public func configuration(for router: LabNode, socketPath: String) -> String {
        """
        [node]
        name = "\(router.rawValue)"

        [sync]
        insecure = true

        [[sync.link]]
        interface = "sync"
        port = 3780
        \(transport.lines(router))

        [kernel]
        event-buffer = "\(eventBuffer)"
        event-buffer-max = "\(eventBufferMax)"

        [replicate]
        protocols = ["tcp", "udp", "icmp", "icmpv6", "sctp", "gre", "dccp", "udplite"]
        ignore-addresses = ["127.0.0.0/8", "::1/128"]

        [control]
        socket = "\(socketPath)"
        \(extraLines)
        """ + "\n"
    }
}
