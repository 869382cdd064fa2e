public import Flow

/// Which flows are replicated: those of the listed protocols that pass through the router.
///
/// A flow that starts or ends in an ignored network is left out. "Starts" is the original tuple's source and "ends" the
/// reply tuple's source: those two are the real client and the real server whatever NAT does between them. So a flow
/// that is source-translated to the router's own address is replicated, and an ssh session to the router is not.
///
/// The kernel-side event filter is made from the same three lists; it may let more through, never less.
public struct ReplicationPolicy: Sendable {
    /// The protocols whose flows are replicated.
    public let protocols: ProtocolSet
    /// Networks whose flows are left out, as the operator listed them.
    public let ignoredNetworks: [Network]
    /// The router's own addresses, whose flows are left out too.
    public private(set) var ownAddresses: [HostAddress] = []

    private var ignored: NetworkSet

    /// A policy of the operator's lists; the router's own addresses are added by `setOwnAddresses(_:)`.
    public init(protocols: ProtocolSet, ignoredNetworks: [Network]) {
        self.protocols = protocols
        self.ignoredNetworks = ignoredNetworks
        ignored = NetworkSet(ignoredNetworks)
    }

    /// Replaces the router's own addresses.
    ///
    /// To be called whenever they change: a failover moves some of them.
    ///
    /// - Returns: Whether they differ from those known before, in any order.
    @discardableResult
    public mutating func setOwnAddresses(_ addresses: [HostAddress]) -> Bool {
        guard Set(addresses) != Set(ownAddresses) else { return false }
        ownAddresses = addresses
        ignored = NetworkSet(ignoredNetworks + addresses.map { Network($0) })
        return true
    }

    /// Whether the flow is replicated.
    public func admits(_ flow: borrowing Flow) -> Bool {
        admits(original: flow.original, reply: flow.reply)
    }

    /// Whether a flow of these two tuples is replicated.
    public func admits(original: Tuple, reply: Tuple) -> Bool {
        protocols.contains(original.protocolNumber)
            && !ignored.contains(original.source, original.family)
            && !ignored.contains(reply.source, reply.family)
    }
}
