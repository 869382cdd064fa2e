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

    static func linkSettings(_ settings: SyncLinkSettings) throws -> LinkSettings {
        func address(_ host: HostAddress) throws(LinkError) -> IPAddress {
            guard let address = IPAddress(host.description) else { throw .interfaceName(host.description) }
            return address
        }
        switch settings.transport {
        case .multicast(let group):
            return try LinkSettings(
                transport: .multicast(group: address(group), port: settings.port),
                interface: settings.interface
            )
        case .udp(let local, let peers):
            return try LinkSettings(
                transport: .udp(local: address(local), peers: peers.map(address), port: settings.port),
                interface: settings.interface
            )
        }
    }

    static func ownAddresses(_ interfaces: [Interface]) -> [HostAddress] {
        interfaces.flatMap(\.addresses).map { address in
            HostAddress(
                address: Address(high: address.high, low: address.low),
                family: address.family == .v4 ? .ipv4 : .ipv6
            )
        }
    }

    /// Looks at the interfaces: opens, closes or reopens the link, and takes over the router's own addresses.
    func refreshLink() {
        let snapshot: [Interface]
        do {
            snapshot = try interfaces.snapshot()
        } catch {
            logLimited("interfaces", "the interfaces cannot be listed: \(error)")
            return
        }
        switch link.refresh(with: snapshot) {
        case .opened(let descriptor, let text):
            logger.info("\(text)")
            do {
                try loop.add(descriptor, token: Token.link, interest: .readable)
            } catch {
                logger.error("the sync link cannot be watched: \(error)")
            }
        case .closed(let text), .waiting(let text):
            logger.warning("\(text)")
        case .resized(let text):
            logger.info("\(text)")
        case nil:
            break
        }
        var policy = core.policy
        if policy.setOwnAddresses(Self.ownAddresses(snapshot)), isReady {
            applyPolicy(policy, reconcileAt: now.advanced(byMilliseconds: Self.addressChangeDelayMilliseconds))
        } else {
            core.policy = policy
        }
    }

    /// Takes in what waits at the link, up to a limit.
    func receiveFromLink() {
        let now = now
        for _ in 0..<Self.batchCountMaxPerTurn {
            do {
                let count = try link.receive(into: &receiveBatch)
                for index in 0..<count { core.receive(receiveBatch.datagram(at: index), now: now) }
            } catch {
                logLimited("receive", "receiving on the sync link failed: \(error)")
                return
            }
            if !receiveBatch.isFull { return }
        }
    }

    /// Sends what the protocol has to send, up to a limit.
    func transmit(_ now: Instant) {
        guard link.isLive, isReady else { return }
        let byteCountMax = link.payloadByteCountMax
        for _ in 0..<Self.batchCountMaxPerTurn {
            sendBatch.clear()
            while !sendBatch.isFull {
                let hasWritten = sendBatch.withNextDatagram(byteCountMax: byteCountMax) { bytes in
                    core.nextTransmit(into: &bytes, now: now).byteCount
                }
                if !hasWritten { break }
            }
            link.send(sendBatch)
            if !sendBatch.isFull { return }
        }
    }

    /// Writes what happened in the protocol into the log.
    func logProtocolEvents() {
        for event in core.node.takeEvents() {
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
            case .synchronised(let name, let flowCount, let removedCount, let milliseconds):
                synchronisedTransferCount += 1
                logger.info(
                    "the flows of \(name) are here: \(flowCount) in \(milliseconds) ms, \(removedCount) stale removed"
                )
            case .transferRequested(let name):
                resyncRequestCount += 1
                logLimited(
                    "transfer \(name)",
                    level: .info,
                    "\(name) asked for all flows; sending \(core.internalCache.count)"
                )
            case .outranked(let name, let number):
                logger.warning(
                    """
                    \(name) has taken over (takeover number \(number), here \(core.node.takeoverNumber)), but this \
                    node is still primary: tell it `flowsync role backup`, or look for a split brain
                    """
                )
            case .claimedAnew(let number):
                logLimited(
                    "claim",
                    level: .notice,
                    "a peer has stepped back; this node claims its flows anew, takeover number \(number)"
                )
            case .differs(let name, let flowCount):
                logLimited("differs \(name)", "the copy of \(name)'s flows differs in \(flowCount) or more; repairing it")
            case .repaired(let name, let flowCount, let byteCount, let milliseconds):
                logLimited(
                    "repaired \(name)",
                    level: .notice,
                    """
                    the copy of \(name)'s flows is repaired: \(flowCount) flows, \(byteCount) bytes, \(milliseconds) ms
                    """
                )
            case .settingsDiffer(let name, let settings):
                if settings.isEmpty {
                    logger.info("\(name) and this node are configured alike now")
                } else {
                    logger.warning("\(name) is configured differently: \(settings.joined(separator: ", "))")
                }
            case .linkChanged(let link):
                logger.notice("sync link \(link + 1) carries the load now")
            case .duplicateNodeID:
                logLimited(
                    "node id",
                    "another node on the sync link is called \(configuration.nodeName) too: "
                        + "give each its own [node] name"
                )
            }
        }
    }
}
