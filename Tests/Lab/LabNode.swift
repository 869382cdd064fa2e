/// The machines of the lab, each a network namespace.
public enum LabNode: String, CaseIterable, Sendable {
    /// Where connections are opened; its gateway is the floating LAN address.
    case client
    /// The first router; it holds the floating addresses when the lab opens.
    case r1
    /// The second router.
    case r2
    /// Where connections end; its gateway is the floating WAN address.
    case server
    /// The three switches (bridges): `lan`, `wan` and `sync`.
    case fabric

    /// The other router.
    public var otherRouter: LabNode { self == .r1 ? .r2 : .r1 }

    /// The host part of the machine's own addresses.
    var hostNumber: Int {
        switch self {
        case .client, .server: 10
        case .r1: 2
        case .r2: 3
        case .fabric: 0
        }
    }
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
    /// The sync addresses of r1 and r2.
    public static let sync = [LabNode.r1: "192.168.100.1", .r2: "192.168.100.2"]
    /// The IPv6 sync addresses of r1 and r2.
    public static let syncIPv6 = [LabNode.r1: "fd99::1", .r2: "fd99::2"]
}
