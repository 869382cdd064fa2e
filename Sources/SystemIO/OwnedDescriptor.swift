internal import Glibc

/// A file descriptor with one owner; it is closed when that owner goes.
public struct OwnedDescriptor: ~Copyable, Sendable {
    /// The descriptor's number.
    ///
    /// Valid as long as this value lives.
    public let rawValue: Int32

    /// Takes over an open descriptor; nobody else may close it from now on.
    public init(adopting rawValue: Int32) {
        precondition(rawValue >= 0, "no descriptor: \(rawValue)")
        self.rawValue = rawValue
    }

    deinit {
        // Linux frees the number even if close reports EINTR: a second close could hit a stranger's descriptor.
        _ = close(rawValue)
    }
}
