/// What happens around a takeover.
public struct TakeoverSettings: Equatable, Sendable {
    /// When the peers' flows are put into this node's kernel (`commit`).
    public var commit: CommitMode
    /// Where packets of unknown flows are dropped while this node is not primary (`gate-interfaces`).
    ///
    /// By name, each once; an interface may appear later. Empty: there is no gate.
    public var gateInterfaces: [String]

    /// The most interfaces that a gate can have.
    public static let gateInterfaceCountMax = 64
}

/// When the peers' flows are put into this node's kernel.
public enum CommitMode: String, Equatable, Sendable, CaseIterable {
    /// When the node becomes primary.
    case onTakeover = "on-takeover"
    /// All along, while the node stands by.
    case preload
}
