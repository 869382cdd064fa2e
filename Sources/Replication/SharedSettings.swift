/// Digests of the settings that all nodes must share; 0 stands for "not said".
///
/// Nodes that differ replicate all the same, each by its own settings; status names the difference.
public struct SharedSettings: Sendable, Equatable {
    /// `[sync] mode`.
    public var mode: UInt32
    /// `[replicate] protocols`.
    public var protocols: UInt32
    /// `[replicate] ignore-addresses`.
    public var ignoredAddresses: UInt32
    /// All `[[group]]` sections in their order.
    public var groups: UInt32

    /// Digests of the four settings.
    public init(mode: UInt32 = 0, protocols: UInt32 = 0, ignoredAddresses: UInt32 = 0, groups: UInt32 = 0) {
        self.mode = mode
        self.protocols = protocols
        self.ignoredAddresses = ignoredAddresses
        self.groups = groups
    }

    /// What the configuration calls the traffic groups.
    public static let groupsName = "[[group]]"

    /// A digest of a setting's canonical text (FNV-1a), never 0.
    public static func digest(_ text: String) -> UInt32 {
        var hash: UInt32 = 2_166_136_261
        for byte in text.utf8 { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
        return hash == 0 ? 1 : hash
    }

    /// The settings in which another node differs, as they are called in the configuration.
    func differences(from other: SharedSettings) -> [String] {
        var names: [String] = []
        if mode != other.mode { names.append("[sync] mode") }
        if protocols != other.protocols { names.append("[replicate] protocols") }
        if ignoredAddresses != other.ignoredAddresses { names.append("[replicate] ignore-addresses") }
        if groups != other.groups { names.append(Self.groupsName) }
        return names
    }
}
