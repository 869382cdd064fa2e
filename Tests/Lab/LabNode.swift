/// The machines of the lab, each a network namespace.
public enum LabNode: String, CaseIterable, Sendable {
    /// Where connections are opened; its gateway is the floating LAN address.
    case client
    /// The first router; it holds the floating addresses when the lab opens.
    case r1
    /// The second router.
    case r2
    /// A router on the sync networks only, like the two after it; its kernel has a table of its own.
    case r3
    /// The fourth router.
    case r4
    /// The fifth router.
    case r5
    /// Where connections end; its gateway is the floating WAN address.
    case server
    /// A stranger on the first sync network; `Lab.addIntruder` brings it in.
    case intruder
    /// The switches (bridges): `lan`, `wan`, `sync`, `sync2` …
    case fabric

    /// All routers that a lab can have, in order.
    public static let routers: [LabNode] = [.r1, .r2, .r3, .r4, .r5]

    /// The other router of the pair.
    public var otherRouter: LabNode { self == .r1 ? .r2 : .r1 }

    /// Whether it is one of the two routers between client and server.
    var isOfPair: Bool { self == .r1 || self == .r2 }

    /// The host part of the machine's own addresses in `lan` and `wan`.
    var hostNumber: Int { self == .client || self == .server ? 10 : 1 + syncNumber }

    /// The host part of the machine's addresses in the sync networks.
    var syncNumber: Int { Self.routers.firstIndex(of: self).map { $0 + 1 } ?? 66 }
}

/// The addresses of the lab.
///
/// Each network exists in IPv4 and IPv6.
///
/// ```
///          lan 10.10.0.0/16, fd10::/64           wan 10.20.0.0/16, fd20::/64
///                        ┌──── r1 (.2) ────┐
///   client (.10…) ───────┤   sync │ .1/.2  ├─────── server (.10)
///                        └──── r2 (.3) ────┘
///      gateway: floating 10.10.0.1, fd10::1      gateway: floating 10.20.0.1, fd20::1
///
///   sync 192.168.100.0/24, fd99::/64, sync2 192.168.101.0/24, fd9a::/64, …: r1 .1, r2 .2, … r5 .5, intruder .66
/// ```
public enum LabAddress {
    /// Client addresses whose connections to the server are source-translated to `floatingWAN`.
    public static let translatedClients = ["10.10.0.10", "10.10.0.11", "10.10.0.12", "10.10.0.13"]
    /// Client addresses that are routed as they are.
    public static let plainClients = ["10.10.1.10", "10.10.1.11", "10.10.1.12", "10.10.1.13"]
    /// IPv6 client addresses that are routed as they are.
    public static let plainClientsIPv6 = ["fd10::10", "fd10::11", "fd10::12", "fd10::13"]
    /// IPv6 client addresses whose connections are source-translated to `floatingWANIPv6`.
    public static let translatedClientsIPv6 = ["fd10::a0", "fd10::a1"]
    /// The server.
    public static let server = "10.20.0.10"
    /// The server's IPv6 address.
    public static let serverIPv6 = "fd20::10"
    /// The clients' gateway; ports 8000…8099 of it are destination-translated to the server.
    public static let floatingLAN = "10.10.0.1"
    /// The clients' IPv6 gateway; translated like `floatingLAN`.
    public static let floatingLANIPv6 = "fd10::1"
    /// The server's gateway, and what translated clients look like to the server.
    public static let floatingWAN = "10.20.0.1"
    /// The server's IPv6 gateway.
    public static let floatingWANIPv6 = "fd20::1"
    /// The port on which the traffic server listens, TCP and UDP.
    public static let serverPort = 7000
    /// A port of `floatingLAN` that leads to the traffic server.
    public static let translatedPort = 8000
    /// The port of the sync links.
    public static let syncPort = 3780

    /// A machine's address in a sync network.
    public static func sync(_ node: LabNode, on network: SyncNetwork = .sync) -> String {
        "192.168.\(100 + network.index).\(node.syncNumber)"
    }

    /// A machine's IPv6 address in a sync network.
    public static func syncIPv6(_ node: LabNode, on network: SyncNetwork = .sync) -> String {
        "fd9\(["9", "a", "b", "c"][network.index])::\(node.syncNumber)"
    }
}

/// The sync networks; a router's interface is called like the network.
public enum SyncNetwork: String, CaseIterable, Sendable {
    /// The first one, which every lab has.
    case sync
    /// The second one.
    case sync2
    /// The third one.
    case sync3
    /// The fourth one.
    case sync4

    /// Its position, from 0.
    var index: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}
