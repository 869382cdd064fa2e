/// What a sync link is made of, checked.
public struct LinkSettings: Equatable, Sendable, CustomStringConvertible {
    /// How datagrams travel.
    public enum Transport: Equatable, Sendable {
        /// To every node that joined the group on this network.
        case multicast(group: IPAddress, port: UInt16)
        /// From one address to each listed peer, one by one; same port on all nodes.
        case udp(local: IPAddress, peers: [IPAddress], port: UInt16)
        /// Over a connection to each listed peer, which connects back; same port on all nodes.
        case tcp(local: IPAddress, peers: [IPAddress], port: UInt16)
    }

    /// Where the datagrams go.
    public let transport: Transport
    /// The interface that carries them, and no other.
    public let interface: String
    /// The size asked for each of the two socket buffers.
    public let socketBufferByteCount: Int

    /// Checks that the parts fit together.
    public init(
        transport: Transport,
        interface: String,
        socketBufferByteCount: Int = 8 << 20
    ) throws(LinkError) {
        // IFNAMSIZ is 16, with the NUL; the kernel refuses these characters and names.
        let isName =
            (1...15).contains(interface.utf8.count) && interface != "." && interface != ".."
            && !interface.contains { $0 == "/" || $0 == ":" || $0.isWhitespace }
        guard isName else { throw .interfaceName(interface) }
        switch transport {
        case .multicast(let group, let port):
            guard group.isMulticast else { throw .notMulticast(group) }
            guard port != 0 else { throw .port }
        case .udp(let local, let peers, let port), .tcp(let local, let peers, let port):
            try LinkSettings.check(local: local, peers: peers)
            guard port != 0 else { throw .port }
        }
        self.transport = transport
        self.interface = interface
        self.socketBufferByteCount = socketBufferByteCount
    }

    private static func check(local: IPAddress, peers: [IPAddress]) throws(LinkError) {
        guard !peers.isEmpty else { throw .noPeers }
        for address in [local] + peers where address.isMulticast || address.isUnspecified {
            throw .notHost(address)
        }
        for (index, peer) in peers.enumerated() {
            guard !peers[..<index].contains(peer) else { throw .peerTwice(peer) }
            guard peer != local else { throw .peerIsLocal(peer) }
            guard peer.family == local.family else { throw .mixedFamilies(local: local, peer: peer) }
            guard !peer.isLinkLocal || local.isLinkLocal else { throw .mixedFamilies(local: local, peer: peer) }
        }
    }

    /// The family of all addresses of the link.
    public var family: IPAddress.Family {
        switch transport {
        case .multicast(let group, _): group.family
        case .udp(let local, _, _), .tcp(let local, _, _): local.family
        }
    }

    /// The link in one line, such as `multicast 225.0.0.50 port 3780 on eth2`.
    public var description: String {
        switch transport {
        case .multicast(let group, let port):
            "multicast \(group) port \(port) on \(interface)"
        case .udp(let local, let peers, let port):
            "udp \(LinkSettings.text(local, peers)) port \(port) on \(interface)"
        case .tcp(let local, let peers, let port):
            "tcp \(LinkSettings.text(local, peers)) port \(port) on \(interface)"
        }
    }

    private static func text(_ local: IPAddress, _ peers: [IPAddress]) -> String {
        "\(local) to \(peers.map(\.description).joined(separator: ", "))"
    }
}

/// Settings of a link that cannot work.
public enum LinkError: Error, Equatable, CustomStringConvertible {
    /// No interface can have this name.
    case interfaceName(String)
    /// A group was wanted, this is a host's address.
    case notMulticast(IPAddress)
    /// A host's address was wanted.
    case notHost(IPAddress)
    /// There is nobody to send to.
    case noPeers
    /// The node would talk to itself.
    case peerIsLocal(IPAddress)
    /// A peer would get every datagram twice.
    case peerTwice(IPAddress)
    /// The two addresses cannot reach each other from one socket.
    case mixedFamilies(local: IPAddress, peer: IPAddress)
    /// Port 0 means "any", but peers must know it.
    case port

    /// What is wrong, and what would be right.
    public var description: String {
        switch self {
        case .interfaceName(let name):
            "\"\(name)\" is no interface name: 1 to 15 characters without '/', ':' and spaces, such as eth2"
        case .notMulticast(let address):
            "\(address) is no multicast group: use one of 224.0.0.0/4 or ff00::/8, such as 225.0.0.50 or ff02::50"
        case .notHost(let address):
            "\(address) is no address of a single host"
        case .noPeers:
            "a udp or tcp link needs the address of at least one peer"
        case .peerIsLocal(let address):
            "peer \(address) is this node's own address"
        case .peerTwice(let address):
            "peer \(address) is listed twice"
        case .mixedFamilies(let local, let peer):
            "peer \(peer) cannot be reached from local address \(local): both must be IPv4, both IPv6, and both or "
                + "neither link-local"
        case .port:
            "port 0 is no port: use 1 to 65535, the same on all nodes"
        }
    }
}
