/// The addresses that belong to this router itself, as opposed to floating addresses that move with the role.
///
/// A floating address comes and goes; the router's own ones were there when the daemon started. So an address that
/// appears later counts as floating, and one that was taken away is no longer the router's own: it may have been a
/// floating one of a role held before the start. Two kinds come and go by themselves and stay the router's own:
/// link-local addresses, and IPv6 addresses while their interface is down, since the kernel takes them away then.
public struct OwnAddresses<Address: Hashable & Sendable>: Sendable {
    /// One interface and what it has.
    public struct Interface: Sendable {
        /// Its name.
        public var name: String
        /// Whether it is up.
        public var isUp: Bool
        /// Its addresses, but for link-local ones.
        public var addresses: [Address]
        /// Its link-local addresses.
        public var linkLocal: [Address]

        /// An interface of its parts.
        public init(name: String, isUp: Bool, addresses: [Address], linkLocal: [Address]) {
            self.name = name
            self.isUp = isUp
            self.addresses = addresses
            self.linkLocal = linkLocal
        }
    }

    private var byInterface: [String: Set<Address>] = [:]
    private var linkLocal: Set<Address> = []
    private let keepsWhileDown: @Sendable (Address) -> Bool

    /// The addresses of a router as its daemon starts.
    ///
    /// - Parameter keepsWhileDown: whether the kernel takes such an address away when its interface goes down.
    public init(_ interfaces: [Interface], keepsWhileDown: @escaping @Sendable (Address) -> Bool) {
        self.keepsWhileDown = keepsWhileDown
        for interface in interfaces { byInterface[interface.name] = Set(interface.addresses) }
        linkLocal = Set(interfaces.flatMap(\.linkLocal))
    }

    /// Takes in how the interfaces are now; whether the router's own addresses have changed.
    public mutating func update(_ interfaces: [Interface]) -> Bool {
        let before = all
        var current: [String: Interface] = [:]
        for interface in interfaces { current[interface.name] = interface }
        for (name, own) in byInterface {
            guard let interface = current[name] else { continue }
            let present = Set(interface.addresses)
            byInterface[name] = own.filter { present.contains($0) || (!interface.isUp && keepsWhileDown($0)) }
        }
        linkLocal = Set(interfaces.flatMap(\.linkLocal))
        return all != before
    }

    /// All of them.
    public var all: Set<Address> {
        byInterface.values.reduce(into: linkLocal) { $0.formUnion($1) }
    }
}
