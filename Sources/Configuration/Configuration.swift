public import Policy
internal import SystemIO

/// The settings of one daemon, read from its TOML file and checked: every value in it can be used as it stands.
///
/// Only what this version does can be set. A key it does not know is an error that names the nearest one it knows,
/// because a setting that is silently ignored is found out during a failover.
public struct Configuration: Equatable, Sendable {
    /// This node's name in the peers' status (`[node] name`); the host name if not set.
    public var nodeName: String
    /// The links to the peers and what protects them (`[sync]`).
    public var sync: SyncSettings
    /// How the kernel's events are received (`[kernel]`).
    public var kernel: KernelSettings
    /// What happens around a takeover (`[takeover]`).
    public var takeover: TakeoverSettings
    /// Which flows are replicated (`[replicate]`).
    public var replicate: ReplicateSettings
    /// The groups that flows are sorted into (`[[group]]`).
    public var groups: TrafficGroups
    /// Where the local API listens (`[control] socket`).
    public var controlSocketPath: String

    /// Where the daemon and the command look for the file when they are told no other.
    public static let standardPath = "/etc/flowsync/flowsyncd.toml"
    /// Where the local API listens when nothing else is set.
    public static let standardControlSocketPath = "/run/flowsync/control.sock"

    /// Reads and checks a configuration file.
    ///
    /// - Throws: `ConfigurationError` with every problem found, or with the one reason why the file cannot be read.
    public static func load(path: String) throws(ConfigurationError) -> Configuration {
        let bytes: [UInt8]
        do {
            bytes = try SystemFile.read(path)
        } catch {
            throw ConfigurationError(path: path, problems: [.init(line: nil, text: "cannot be read: \(error)")])
        }
        return try Configuration(parsing: bytes, path: path, hostName: hostName)
    }

    /// The name the kernel gives this host; nil if it has none.
    private static var hostName: String? {
        guard let bytes = try? SystemFile.read("/proc/sys/kernel/hostname") else { return nil }
        return String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    }
}

/// How the kernel's events are received.
public struct KernelSettings: Equatable, Sendable {
    /// Bytes of the event socket's buffer at start.
    public var eventBufferByteCount: Int
    /// Bytes up to which the buffer grows after an overrun; never below `eventBufferByteCount`.
    public var eventBufferByteCountMax: Int
}

/// Which flows are replicated.
public struct ReplicateSettings: Equatable, Sendable {
    /// The protocols whose flows are replicated.
    public var protocols: ProtocolSet
    /// Networks whose flows are left out.
    public var ignoredNetworks: [Network]

    /// The policy of these settings, still without the router's own addresses.
    public var policy: ReplicationPolicy {
        ReplicationPolicy(protocols: protocols, ignoredNetworks: ignoredNetworks)
    }
}
