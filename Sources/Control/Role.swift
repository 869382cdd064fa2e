/// What a node does with the flows of the group, as its operator or its failover software last said.
public enum Role: String, Codable, Sendable, CaseIterable {
    /// Nobody has given this node a role since it started.
    case unset
    /// This node forwards, and owns the flows it handles.
    case primary
    /// This node stands by and holds its peers' flows.
    case backup
    /// The failover software declared this node broken.
    case fault
}

/// One of the two caches.
public enum CacheSelection: String, Codable, Sendable, CaseIterable {
    /// Flows this node handles.
    case `internal`
    /// Flows its peers handle.
    case external
}
