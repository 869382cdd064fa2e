internal import CLinux

/// Wakes another thread's event loop (eventfd).
///
/// Signals that come before the wake-up merge into one.
public final class Wakeup: Sendable {
    private let owned: OwnedDescriptor

    /// A wake-up that has not been signalled.
    public init() throws(SystemError) {
        owned = OwnedDescriptor(adopting: try check(clinux_eventfd_create(), "eventfd"))
    }

    /// The descriptor to watch; readable once signalled.
    public var descriptor: Int32 { owned.rawValue }

    /// Makes the descriptor readable.
    ///
    /// May be called from any thread, never blocks.
    public func signal() {
        let result = clinux_eventfd_signal(owned.rawValue)
        precondition(result == 0, "eventfd_write: \(SystemError.name(of: -result))")
    }

    /// Makes the descriptor quiet again.
    ///
    /// Call it before looking at what the signal was about, never after.
    public func drain() {
        let result = clinux_eventfd_drain(owned.rawValue)
        precondition(result == 0, "eventfd_read: \(SystemError.name(of: -result))")
    }
}
