internal import Configuration
internal import Flow
internal import FlowTable
internal import Link
internal import Logging
internal import Policy
internal import Replication
internal import SystemIO

extension Engine {
    /// Datagram batches received or sent per turn.
    static let batchCountMaxPerTurn = 32
    /// After the router's own addresses change, the cache follows the new policy this much later: a failover moves
    /// addresses, and has better things to do than read the whole table.
    static let addressChangeDelayMilliseconds: UInt64 = 30_000

    static let insecureWarning =
        "the sync links are neither encrypted nor authenticated (insecure = true): whoever reaches them can read and "
        + "plant flows; see `flowsync keygen`"

    static func linkSettings(_ settings: SyncLinkSettings) throws(LinkError) -> LinkSettings {
        func address(_ host: HostAddress) throws(LinkError) -> IPAddress {
            guard let address = IPAddress(host.description) else { throw .interfaceName(host.description) }
            return address
        }
        func addresses(_ hosts: [HostAddress]) throws(LinkError) -> [IPAddress] {
            var list: [IPAddress] = []
            for host in hosts { list.append(try address(host)) }
            return list
        }
        let transport: LinkSettings.Transport =
            switch settings.transport {
            case .multicast(let group):
                .multicast(group: try address(group), port: settings.port)
            case .udp(let local, let peers):
                .udp(local: try address(local), peers: try addresses(peers), port: settings.port)
            case .tcp(let local, let peers):
                .tcp(local: try address(local), peers: try addresses(peers), port: settings.port)
            }
        return try LinkSettings(transport: transport, interface: settings.interface)
    }

    /// Digests of what all nodes must have set alike; the router's own addresses are no part of it.
    static func sharedSettings(_ configuration: Configuration) -> SharedSettings {
        let protocols = configuration.replicate.protocols.numbers.map { "\($0)" }.sorted()
        let networks = configuration.replicate.ignoredNetworks.map { "\($0)" }.sorted()
        return SharedSettings(
            mode: SharedSettings.digest(configuration.sync.mode.rawValue),
            protocols: SharedSettings.digest(protocols.joined(separator: " ")),
            ignoredAddresses: SharedSettings.digest(networks.joined(separator: " ")),
            groups: SharedSettings.digest(configuration.groups.canonicalText)
        )
    }

    static func ownAddresses(_ interfaces: [Interface]) -> [HostAddress] {
        interfaces.flatMap(\.addresses).map { address in
            HostAddress(
                address: Address(high: address.high, low: address.low),
                family: address.family == .v4 ? .ipv4 : .ipv6
            )
        }
    }

    /// Looks at the interfaces: opens, closes or reopens the links, and takes over the router's own addresses.
    func refreshLinks() {
        let snapshot: [Interface]
        do {
            snapshot = try interfaces.snapshot()
        } catch {
            logLimited("interfaces", "the interfaces cannot be listed: \(error)")
            return
        }
        for (index, change) in links.refresh(with: snapshot, now: now.nanoseconds) {
            switch change {
            case .opened(let descriptor, let text):
                logger.info("\(text)")
                do {
                    try loop.add(descriptor, token: Token.link + UInt64(index), interest: .readable)
                } catch {
                    logger.error("a sync link cannot be watched: \(error)")
                }
            case .closed(let text), .waiting(let text):
                logger.warning("\(text)")
            case .resized(let text):
                logger.info("\(text)")
            }
        }
        updateGateAddresses(snapshot)
        var policy = intake.policy
        if policy.setOwnAddresses(Self.ownAddresses(snapshot)), isReady {
            applyPolicy(policy, reconcileAt: now.advanced(byMilliseconds: Self.addressChangeDelayMilliseconds))
        } else {
            intake.policy = policy
        }
    }

    /// Takes in what waits at a link, up to a limit.
    func receive(fromLink link: Int) {
        // A reload in this very turn may have left fewer links than epoll has reported.
        guard link < links.count else { return }
        let now = now
        for _ in 0..<Self.batchCountMaxPerTurn {
            do {
                let count = try links.receive(link, into: &receiveBatch)
                for index in 0..<count {
                    receiveBatch.withDatagram(at: index) { bytes in
                        guard let byteCount = security.open(&bytes) else { return }
                        let datagram = bytes.bytes.extracting(0..<byteCount)
                        // The default group's node counts what is for no group that there is.
                        let index = ReplicationNode.group(of: datagram).map(Int.init) ?? 0
                        groups[index < groups.count ? index : 0].core.receive(datagram, now: now)
                    }
                }
            } catch {
                logLimited("receive", "receiving on a sync link failed: \(error)")
                return
            }
            if !receiveBatch.isFull { return }
        }
    }

    /// Sends what the protocol has to send of a group, up to a limit.
    func transmit(_ group: GroupState, _ now: Instant) {
        let liveMask = links.liveMask
        guard liveMask != 0, isReady else { return }
        let active = group.core.node.activeLink(liveMask: liveMask, now: now)
        let byteCountMax = links.payloadByteCountMax
        for _ in 0..<Self.batchCountMaxPerTurn {
            sendBatch.clear()
            while !sendBatch.isFull {
                var heartbeatByteCount = 0
                let hasWritten = sendBatch.withNextDatagram(byteCountMax: byteCountMax) { bytes in
                    build(&bytes, of: group, for: active, heartbeatByteCount: &heartbeatByteCount, now: now)
                }
                if heartbeatByteCount > 0 {
                    sendHeartbeat(heartbeatByteCount, liveMask: liveMask, byteCountMax: byteCountMax)
                } else if !hasWritten {
                    break
                }
            }
            links.send(sendBatch, over: active)
            if !sendBatch.isFull { return }
        }
    }

    /// Builds the next datagram; a heartbeat is put aside, since it goes over every link.
    private func build(
        _ bytes: inout MutableRawSpan,
        of group: GroupState,
        for active: Int,
        heartbeatByteCount: inout Int,
        now: Instant
    ) -> Int {
        let byteCountMax = bytes.byteCount
        var plain = bytes._mutatingExtracting(0..<byteCountMax - security.overheadByteCount)
        let transmission = group.core.nextTransmit(into: &plain, now: now)
        guard transmission.byteCount > 0 else { return 0 }
        if transmission.isForAllLinks {
            if heartbeat.count < transmission.byteCount { heartbeat = Array(repeating: 0, count: byteCountMax) }
            for index in 0..<transmission.byteCount { heartbeat[index] = plain.bytes.word(at: index, as: UInt8.self) }
            heartbeatByteCount = transmission.byteCount
            return 0
        }
        ReplicationNode.stamp(link: active, into: &plain)
        return security.seal(&bytes, byteCount: transmission.byteCount)
    }

    private func sendHeartbeat(_ byteCount: Int, liveMask: UInt8, byteCountMax: Int) {
        for link in 0..<links.count where liveMask & 1 << UInt8(link) != 0 {
            heartbeatBatch.clear()
            _ = heartbeatBatch.withNextDatagram(byteCountMax: byteCountMax) { bytes in
                for index in 0..<byteCount { bytes.storeWord(heartbeat[index], at: index) }
                ReplicationNode.stamp(link: link, into: &bytes)
                return security.seal(&bytes, byteCount: byteCount)
            }
            links.send(heartbeatBatch, over: link)
        }
    }

    /// Writes what happened in a group's protocol into the log, and does what follows from it.
    ///
    /// Peers, settings and links are the same for every group: the default one speaks of them.
    func logProtocolEvents(_ group: GroupState) {
        for event in group.core.node.takeEvents() {
            if group.index == 0 { logForAll(event) }
            log(event, of: group)
        }
    }

    private func logForAll(_ event: ReplicationEvent) {
        switch event {
        case .peerUp(let name):
            logger.info("peer \(name) is up")
        case .peerDown(let name):
            logger.warning(
                "peer \(name) is down: nothing heard for \(ReplicationNode.peerTimeoutMilliseconds / 1000) s"
            )
        case .peerRestarted(let name):
            peerRestartCount += 1
            logLimited("restart \(name)", level: .info, "peer \(name) has restarted; asking for its flows")
        case .settingsDiffer(let name, let settings):
            if settings.isEmpty {
                logger.info("\(name) and this node are configured alike now")
            } else {
                logger.warning("\(name) is configured differently: \(settings.joined(separator: ", "))")
            }
        case .linkChanged(let link) where link < links.count:
            logger.notice("the load goes over another sync link now: \(links.settings(link))")
        case .duplicateNodeID:
            logLimited("node id", duplicateText)
        default: break
        }
    }

    private func log(_ event: ReplicationEvent, of group: GroupState) {
        let label = label(group)
        switch event {
        case .synchronised(let name, let flowCount, let removedCount, let milliseconds):
            synchronisedTransferCount += 1
            logger.info(
                """
                \(label)the flows of \(name) are here: \(flowCount) in \(milliseconds) ms, \
                \(removedCount) stale removed
                """
            )
        case .transferRequested(let name):
            resyncRequestCount += 1
            logLimited(
                "\(label)transfer \(name)",
                level: .info,
                "\(label)\(name) asked for all flows; sending \(group.core.internalCache.count)"
            )
        case .outranked(let name, let number):
            logger.warning(
                """
                \(label)\(name) has taken over (takeover number \(number), here \(group.core.node.takeoverNumber)), \
                but this node is still primary: tell it `flowsync role backup`, or look for a split brain
                """
            )
            stepBack(group)
        case .claimedAnew(let number):
            logLimited(
                "\(label)claim",
                level: .notice,
                "\(label)a peer has stepped back; this node claims its flows anew, takeover number \(number)"
            )
            takeIn(group)
        case .differs(let name, let flowCount):
            logLimited(
                "\(label)differs \(name)",
                "\(label)the copy of \(name)'s flows differs in \(flowCount) or more; repairing it"
            )
        case .repaired(let name, let flowCount, let byteCount, let milliseconds):
            logLimited(
                "\(label)repaired \(name)",
                level: .notice,
                """
                \(label)the copy of \(name)'s flows is repaired: \(flowCount) flows, \(byteCount) bytes, \
                \(milliseconds) ms
                """
            )
        default: break
        }
    }

    /// What a log line begins with where there are several groups: "web: ".
    func label(_ group: GroupState) -> String { groups.count > 1 ? "\(group.name): " : "" }
}
