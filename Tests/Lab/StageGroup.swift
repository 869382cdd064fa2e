/// The two traffic groups of `TrafficGroupStage`, each with addresses of its own on both sides of the routers.
public enum StageGroup: String, CaseIterable, Sendable {
    /// The lab's usual addresses; r1 serves it.
    case web
    /// Addresses beside them; r2 serves it.
    case mail

    /// The router that is to serve the group if it can.
    public var preferredRouter: LabNode { self == .web ? .r1 : .r2 }

    /// The outside address, which source NAT puts in.
    var outside: String { self == .web ? LabAddress.floatingWAN : "10.20.2.1" }
    /// The inside address: the clients' gateway, of which destination NAT replaces some ports.
    var inside: String { self == .web ? LabAddress.floatingLAN : "10.10.2.1" }
    var outsideIPv6: String { self == .web ? LabAddress.floatingWANIPv6 : "fd20::2:1" }
    var insideIPv6: String { self == .web ? LabAddress.floatingLANIPv6 : "fd10::2:1" }

    /// All four, with their interfaces and prefix lengths.
    var floating: [(dev: String, address: String)] {
        [
            ("wan", "\(outside)/32"), ("wan", "\(outsideIPv6)/128"), ("lan", "\(inside)/32"),
            ("lan", "\(insideIPv6)/128"),
        ]
    }

    /// The networks that all of the group's clients are in, and no others.
    var clientNetwork: String { self == .web ? "10.10.0.0/23" : "10.10.2.0/23" }
    var clientNetworkIPv6: String { self == .web ? "fd10::/112" : "fd10::2:0/112" }

    /// Clients that are source-translated.
    var translatedClients: [String] {
        self == .web ? LabAddress.translatedClients : (10...13).map { "10.10.2.\($0)" }
    }
    /// Clients that are routed as they are.
    var plainClients: [String] { self == .web ? LabAddress.plainClients : (10...13).map { "10.10.3.\($0)" } }
    var translatedClientsIPv6: [String] {
        self == .web ? LabAddress.translatedClientsIPv6 : ["fd10::2:a0", "fd10::2:a1"]
    }
    var plainClientsIPv6: [String] {
        self == .web ? LabAddress.plainClientsIPv6 : (10...13).map { "fd10::2:\($0)" }
    }

    /// The group of a flow in a list, by the address of its client; nil for none of theirs.
    public init?(flow identity: String) {
        guard let start = identity.ranges(of: "src=").first?.upperBound else { return nil }
        let source = String(identity[start...].prefix { $0 != " " })
        func isOf(_ group: Self) -> Bool {
            // The lab injects flows of more clients in web's first network.
            (group.translatedClients + group.plainClients + group.translatedClientsIPv6 + group.plainClientsIPv6)
                .contains(source) || (group == .web && source.hasPrefix("10.10.0."))
        }
        guard let group = Self.allCases.first(where: isOf) else { return nil }
        self = group
    }

    /// The section of the configuration file, as the shipped example for keepalived shows it.
    var section: String {
        """
        [[group]]
        name = "\(rawValue)"
        sources = ["\(clientNetwork)", "\(clientNetworkIPv6)"]
        destinations = ["\(clientNetworkIPv6)"]
        nat-addresses = ["\(outside)", "\(outsideIPv6)"]

        """
    }
}
