/// What to do with a link, given how the interfaces stand: pure, so that every case can be tried without a network.
enum LinkPlan: Equatable {
    /// The interface can carry the link.
    case open(OpenPlan)
    /// It cannot yet; the text says why.
    case wait(String)
}

/// The facts a socket is opened with.
struct OpenPlan: Equatable {
    let interfaceIndex: UInt32
    /// Bytes of one datagram's payload that fit the MTU.
    let payloadByteCountMax: Int
    /// Addresses of which one must be usable, which shows only when it is bound: duplicate address detection keeps an
    /// IPv6 address back at first.
    ///
    /// Empty where the link's own bind shows it.
    let probeAddresses: [IPAddress]
}

extension LinkPlan {
    /// No larger datagram is built, whatever the MTU: receive buffers are made for jumbo frames, not for loopback's.
    static let payloadByteCountLimit = 8_900
    /// Below this a datagram no longer holds every message of the protocol, sealed.
    static let payloadByteCountMin = 640

    init(_ settings: LinkSettings, _ interfaces: [Interface]) {
        let name = settings.interface
        guard let interface = interfaces.first(where: { $0.name == name }) else {
            self = .wait("interface \(name) does not exist")
            return
        }
        guard interface.isUp else {
            self = .wait("interface \(name) is down (ip link set \(name) up)")
            return
        }
        guard interface.isRunning else {
            self = .wait("interface \(name) has no carrier")
            return
        }
        guard let payload = LinkPlan.payloadByteCount(settings, mtu: interface.mtu) else {
            let needed = LinkPlan.payloadByteCountMin + LinkPlan.headerByteCount(settings)
            self = .wait("interface \(name) has an MTU of \(interface.mtu), which is too small: \(needed) are needed")
            return
        }
        switch settings.transport {
        case .udp(let local, _, _), .tcp(let local, _, _):
            guard interface.addresses.contains(local) else {
                self = .wait("interface \(name) has no address \(local) yet")
                return
            }
            self = .open(OpenPlan(interfaceIndex: interface.index, payloadByteCountMax: payload, probeAddresses: []))
        case .multicast(let group, _):
            // Without an address of its own the kernel would send from another interface's, or from 0.0.0.0.
            let own = interface.addresses.filter { $0.family == group.family }
            guard !own.isEmpty else {
                self = .wait("interface \(name) has no \(group.family.name) address yet")
                return
            }
            let probes = group.family == .v6 ? own : []
            self = .open(
                OpenPlan(interfaceIndex: interface.index, payloadByteCountMax: payload, probeAddresses: probes)
            )
        }
    }

    /// Bytes of payload per datagram; nil if that is too little.
    private static func payloadByteCount(_ settings: LinkSettings, mtu: Int) -> Int? {
        // TCP cuts its stream into packets by itself.
        if case .tcp = settings.transport { return payloadByteCountLimit }
        let payload = min(mtu - headerByteCount(settings), payloadByteCountLimit)
        return payload >= payloadByteCountMin ? payload : nil
    }

    /// The bytes of IP and UDP headers.
    private static func headerByteCount(_ settings: LinkSettings) -> Int { settings.family == .v4 ? 28 : 48 }
}
