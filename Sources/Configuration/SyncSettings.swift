public import Policy

/// How the nodes are kept equal: over which links, how protected, how thorough.
public struct SyncSettings: Equatable, Sendable {
    /// What keeps strangers out of the links.
    public enum Security: Equatable, Sendable {
        /// Nothing: whoever can send to a link can write into the connection table.
        case insecure
        /// Each datagram is encrypted and authenticated with a key of this file.
        ///
        /// The path is absolute; whether the file is there, and good, is not the configuration's to know.
        case sealed(keyFile: String)
    }

    /// What happens to a datagram that was lost.
    public enum Mode: String, Equatable, Sendable {
        /// Peers acknowledge, and what they lack is sent again.
        case reliable
        /// Nobody acknowledges; comparing digests finds what is missing.
        case bestEffort = "best-effort"
    }

    /// What protects the links (`key-file` or `insecure`).
    public var security: Security
    /// What happens to what was lost (`mode`).
    public var mode: Mode
    /// One to four links (`[[sync.link]]`), in the order of the file: the first healthy one carries the load.
    public var links: [SyncLinkSettings]

    /// The most links that can be set.
    public static let linkCountMax = 4
    /// Where the key file is when `flowsync keygen` is told no other place.
    public static let standardKeyFilePath = "/etc/flowsync/sync.key"
}

/// How one sync link reaches the peers.
public struct SyncLinkSettings: Equatable, Sendable {
    /// The ways to send to the peers.
    public enum Transport: Equatable, Sendable {
        /// UDP to a group that all nodes join.
        case multicast(group: HostAddress)
        /// UDP from an address of this node to each peer.
        case udp(local: HostAddress, peers: [HostAddress])
        /// TCP connections between an address of this node and each peer.
        case tcp(local: HostAddress, peers: [HostAddress])
    }

    /// How the peers are reached.
    public var transport: Transport
    /// The interface the link is bound to.
    public var interface: String
    /// The UDP or TCP port, the same on all nodes.
    public var port: UInt16

    /// A link of its parts.
    public init(transport: Transport, interface: String, port: UInt16) {
        self.transport = transport
        self.interface = interface
        self.port = port
    }

    /// The port when none is set: the one conntrackd's examples use, so that firewalls know it already.
    public static let standardPort: UInt16 = 3780

    /// Whether one node could not have both: the two want the same address and port of the same interface.
    func clashes(with other: SyncLinkSettings) -> Bool {
        guard interface == other.interface, port == other.port else { return false }
        switch (transport, other.transport) {
        case (.multicast(let group), .multicast(let otherGroup)): return group == otherGroup
        case (.udp(let local, _), .udp(let otherLocal, _)): return local == otherLocal
        case (.tcp(let local, _), .tcp(let otherLocal, _)): return local == otherLocal
        default: return false
        }
    }
}
