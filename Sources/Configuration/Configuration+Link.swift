internal import Flow
internal import Policy

extension SectionReader {
    /// The settings of one `[[sync.link]]`; nil if something in it is wrong, which is reported.
    func link() -> SyncLinkSettings? {
        // Every key is read whatever the transport, so that a key of the other transport gets its own message.
        let transportName = string("transport")
        let interface = interfaceName()
        let group = address("group")
        let local = address("local")
        let peers = addresses("peers")
        let port = portNumber()
        reportUnknownKeys()

        let allowed = ["multicast", "udp", "tcp"]
        let transport: SyncLinkSettings.Transport?
        switch transportName {
        case "multicast":
            transport = multicast(group)
        case "udp":
            transport = unicast("udp", local, peers).map { .udp(local: $0.local, peers: $0.peers) }
        case "tcp":
            transport = unicast("tcp", local, peers).map { .tcp(local: $0.local, peers: $0.peers) }
        case nil:
            if !isSet("transport") {
                problem("transport", "\(title) needs transport. Allowed: \(allowed.joined(separator: ", ")).")
            }
            transport = nil
        case .some(let name):
            let guess = guess(name, among: allowed)
            problem("transport", "unknown transport \"\(name.printable)\"\(guess)")
            transport = nil
        }
        guard let transport, let interface, let port else { return nil }
        return SyncLinkSettings(transport: transport, interface: interface, port: port)
    }

    private func multicast(_ group: HostAddress?) -> SyncLinkSettings.Transport? {
        for key in ["local", "peers"] where isSet(key) {
            problem(key, "\(key) belongs to transport = \"udp\" or \"tcp\"; a multicast link has group only")
        }
        guard let group else {
            if !isSet("group") {
                problem("group", "a multicast link needs group, such as \"225.0.0.50\" or \"ff02::50\"")
            }
            return nil
        }
        guard group.isMulticast else {
            problem("group", "group must be a multicast address (224.0.0.0/4 or ff00::/8), not \(group)")
            return nil
        }
        return .multicast(group: group)
    }

    /// This node's address and the peers' on a link of the transport `name`.
    private func unicast(
        _ name: String,
        _ local: HostAddress?,
        _ peers: [(address: HostAddress, line: Int)]
    ) -> (local: HostAddress, peers: [HostAddress])? {
        if isSet("group") {
            problem("group", "group belongs to transport = \"multicast\"; a \(name) link has local and peers")
        }
        for (key, meaning) in [("local", "this node's address on it"), ("peers", "the other nodes' addresses")]
        where !isSet(key) {
            problem(key, "a \(name) link needs \(key): \(meaning)")
        }
        guard let local else { return nil }
        if local.namesNoHost { problem("local", "local: \(local) is not the address of a host") }
        for (index, (peer, line)) in peers.enumerated() {
            if peer.namesNoHost {
                problem(line: line, "peers: \(peer) is not the address of a host")
            } else if peer == local {
                problem(line: line, "peers holds \(peer), which is local: list the other nodes only")
            } else if peer.family != local.family {
                problem(line: line, "peer \(peer) and local \(local) must be of the same address family")
            } else if peers[..<index].contains(where: { $0.address == peer }) {
                problem(line: line, "peers lists \(peer) twice")
            }
        }
        return (local, peers.map(\.address))
    }

    private func interfaceName() -> String? {
        guard let name = string("interface") else {
            if !isSet("interface") { problem("interface", "\(title) needs interface: the link is bound to it") }
            return nil
        }
        guard name.isInterfaceName else {
            problem("interface", "\"\(name.printable)\" \(String.interfaceNameRule)")
            return nil
        }
        return name
    }

    private func portNumber() -> UInt16? {
        guard let number = integer("port") else { return isSet("port") ? nil : SyncLinkSettings.standardPort }
        guard let port = UInt16(exactly: number), port > 0 else {
            problem("port", "port must be from 1 to 65535, not \(number)")
            return nil
        }
        return port
    }

    private func address(_ key: String) -> HostAddress? {
        guard let text = string(key) else { return nil }
        do {
            return try HostAddress(parsing: text.printable)
        } catch {
            problem(key, "\(key): \(error)\(Self.hint(text))")
            return nil
        }
    }

    private func addresses(_ key: String) -> [(address: HostAddress, line: Int)] {
        guard let texts = strings(key) else { return [] }
        if texts.isEmpty { problem(key, "\(key) is empty: name at least one") }
        return texts.compactMap { text, line in
            do {
                return (try HostAddress(parsing: text.printable), line)
            } catch {
                problem(line: line, "\(key): \(error)\(Self.hint(text))")
                return nil
            }
        }
    }

    private static func hint(_ address: String) -> String {
        address.contains("%") ? "; the interface is given by interface, not after a %" : ""
    }
}

extension HostAddress {
    fileprivate var namesNoHost: Bool { isMulticast || isUnspecified }
}
