internal import CLinux

/// Signals as something to read (signalfd), instead of handlers that interrupt.
///
/// Opening it blocks the signals in the calling thread. Threads inherit that mask when they start, so it must be opened
/// before any other thread: a signal is delivered to any thread that does not block it.
public struct SignalDescriptor: ~Copyable {
    private let owned: OwnedDescriptor

    private init(adopting owned: consuming OwnedDescriptor) {
        self.owned = owned
    }

    /// Blocks the given signals in this thread and collects them from now on.
    public static func open(_ signals: [Int32]) throws(SystemError) -> SignalDescriptor {
        // SAFETY: the array's storage outlives the call, which only reads it.
        let result = unsafe signals.withUnsafeBufferPointer { buffer in
            unsafe clinux_signalfd_create(buffer.baseAddress, buffer.count)
        }
        return SignalDescriptor(adopting: OwnedDescriptor(adopting: try check(result, "signalfd")))
    }

    /// The descriptor to watch; readable while a signal is pending.
    public var descriptor: Int32 { owned.rawValue }

    /// The number of one pending signal, nil if there is none left.
    public func next() throws(SystemError) -> Int32? {
        let signal = try check(clinux_signalfd_read(owned.rawValue), "read", "signalfd")
        return signal == 0 ? nil : signal
    }
}
