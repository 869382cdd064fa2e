internal import CLinux
internal import SystemIO

/// The open sockets of a live multicast or udp link.
///
/// They belong to one interface index and are never moved to another.
///
/// Multicast: one socket, bound to the group's address, that sends too (the kernel then takes the interface's own
/// address as source). It is not bound to the device: the arrival interface in IP_PKTINFO is compared instead, so that
/// a datagram for a group that some other program joined elsewhere is counted and not just gone.
///
/// Unicast: a socket bound to address and device. Linux answers for its addresses on every interface, so the sync port
/// could be flooded from the client side; bound to the device, such datagrams never reach its buffer. A second socket,
/// bound to the address alone, gets exactly those: the kernel prefers the socket bound to the device where both match.
/// Its filter refuses everything before it is queued, and the kernel counts the refusals.
struct LinkSocket: ~Copyable {
    let descriptor: OwnedDescriptor
    let interfaceIndex: UInt32
    let receiveBufferByteCount: Int
    let sendBufferByteCount: Int
    /// Where every datagram goes: the group, or each peer.
    let destinations: [clinux_endpoint]
    private let strays: OwnedDescriptor?

    static func open(_ settings: LinkSettings, _ plan: OpenPlan) throws(OpenFailure) -> LinkSocket {
        switch settings.transport {
        case .multicast(let group, let port):
            try openMulticast(settings, plan, group.endpoint(port: port, interfaceIndex: plan.interfaceIndex))
        case .udp(let local, let peers, let port):
            try openUnicast(
                settings,
                plan,
                local,
                local.endpoint(port: port, interfaceIndex: plan.interfaceIndex),
                destinations: peers.map { $0.endpoint(port: port, interfaceIndex: plan.interfaceIndex) }
            )
        case .tcp:
            preconditionFailure("\(settings): a tcp link's sockets are a TCPLink's")
        }
    }

    private init(
        _ descriptor: consuming OwnedDescriptor,
        strays: consuming OwnedDescriptor?,
        _ settings: LinkSettings,
        _ plan: OpenPlan,
        destinations: [clinux_endpoint]
    ) {
        let wish = Int32(clamping: settings.socketBufferByteCount)
        // A smaller buffer than asked for is no reason to stay silent towards the peers; the size is reported.
        receiveBufferByteCount = max(Int(clinux_set_receive_buffer(descriptor.rawValue, wish)), 0)
        sendBufferByteCount = max(Int(clinux_set_send_buffer(descriptor.rawValue, wish)), 0)
        self.descriptor = descriptor
        self.strays = strays
        self.destinations = destinations
        interfaceIndex = plan.interfaceIndex
    }

    private static func openMulticast(
        _ settings: LinkSettings,
        _ plan: OpenPlan,
        _ group: clinux_endpoint
    ) throws(OpenFailure) -> LinkSocket {
        try probe(settings, plan)
        let socket = try openSocket(settings)
        try bind(socket, to: group, settings)
        try OpenFailure.check(
            clinux_join_group(socket.rawValue, group, plan.interfaceIndex),
            "joining the group",
            settings
        )
        return LinkSocket(socket, strays: nil, settings, plan, destinations: [group])
    }

    private static func openUnicast(
        _ settings: LinkSettings,
        _ plan: OpenPlan,
        _ local: IPAddress,
        _ endpoint: clinux_endpoint,
        destinations: [clinux_endpoint]
    ) throws(OpenFailure) -> LinkSocket {
        let socket = try openSocket(settings)
        let name = settings.interface
        // SAFETY: the name is NUL-terminated for the call's duration.
        try OpenFailure.check(unsafe clinux_bind_to_device(socket.rawValue, name), "binding to the interface", settings)
        // No SO_REUSEADDR: UDP has no waiting time to get around, and a second daemon must not share the port.
        try bind(socket, to: endpoint, settings)
        // An address of link scope belongs to its interface: there are no strays to count.
        guard !local.isLinkLocal else {
            return LinkSocket(socket, strays: nil, settings, plan, destinations: destinations)
        }
        let strays = try openSocket(settings)
        try OpenFailure.check(clinux_discard_everything(strays.rawValue), "attaching a filter", settings)
        // The two sockets overlap. They may for the moment of this bind; afterwards the port is closed to others again.
        try OpenFailure.check(clinux_set_reuse_address(socket.rawValue, 1), "setting SO_REUSEADDR", settings)
        try OpenFailure.check(clinux_set_reuse_address(strays.rawValue, 1), "setting SO_REUSEADDR", settings)
        try bind(strays, to: endpoint, settings)
        try OpenFailure.check(clinux_set_reuse_address(socket.rawValue, 0), "setting SO_REUSEADDR", settings)
        try OpenFailure.check(clinux_set_reuse_address(strays.rawValue, 0), "setting SO_REUSEADDR", settings)
        return LinkSocket(socket, strays: strays, settings, plan, destinations: destinations)
    }

    /// Datagrams that came in by another interface and were refused by the kernel.
    var strayCount: UInt64 {
        switch strays {
        case .some(let strays): UInt64(max(clinux_drop_count(strays.rawValue), 0))
        case .none: 0
        }
    }

    /// Datagrams lost at the receive buffer.
    var dropCount: UInt64 {
        UInt64(max(clinux_drop_count(descriptor.rawValue), 0))
    }

    // -- Opening, step by step

    /// Binds a throw-away socket to the interface's addresses: one of them must be usable as a source.
    private static func probe(_ settings: LinkSettings, _ plan: OpenPlan) throws(OpenFailure) {
        guard !plan.probeAddresses.isEmpty else { return }
        for address in plan.probeAddresses {
            let socket = try openSocket(settings)
            let endpoint = address.endpoint(port: 0, interfaceIndex: plan.interfaceIndex)
            if clinux_bind(socket.rawValue, endpoint) == 0 { return }
        }
        throw OpenFailure.tentative(plan.probeAddresses, settings)
    }

    private static func openSocket(_ settings: LinkSettings) throws(OpenFailure) -> OwnedDescriptor {
        let result = clinux_udp_open(Int32(settings.family.rawValue))
        try OpenFailure.check(result, "opening a socket", settings)
        return OwnedDescriptor(adopting: result)
    }

    private static func bind(
        _ socket: borrowing OwnedDescriptor,
        to endpoint: clinux_endpoint,
        _ settings: LinkSettings
    ) throws(OpenFailure) {
        try OpenFailure.checkBind(clinux_bind(socket.rawValue, endpoint), endpoint, settings)
    }
}
