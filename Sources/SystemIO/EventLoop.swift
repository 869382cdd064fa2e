internal import CLinux

/// What a descriptor is watched for, or is ready for.
public struct Interest: OptionSet, Sendable {
    /// The bits, as CLinux names them.
    public let rawValue: UInt32

    /// A set of these bits.
    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// Something can be read, or an error waits to be fetched.
    public static let readable = Interest(rawValue: UInt32(CLINUX_READABLE))
    /// Something can be written, or an error waits to be fetched.
    public static let writable = Interest(rawValue: UInt32(CLINUX_WRITABLE))
}

/// Waits for many descriptors at once (epoll, level-triggered).
///
/// The caller owns the descriptors and keeps them open while they are added; one that is closed leaves by itself. A
/// descriptor with an empty interest is parked: data wakes nobody, only a new error does, once (a netlink overrun,
/// which nobody wants to miss).
public struct EventLoop: ~Copyable {
    private let epoll: OwnedDescriptor
    /// Filled by `wait`.
    ///
    /// 64 descriptors are more than the daemon has, so none starves.
    private var ready = [clinux_ready](repeating: clinux_ready(), count: 64)
    private var readyCount = 0

    private init(adopting epoll: consuming OwnedDescriptor) {
        self.epoll = epoll
    }

    /// Opens an empty loop.
    public static func open() throws(SystemError) -> EventLoop {
        let descriptor = try check(clinux_epoll_create(), "epoll_create1")
        return EventLoop(adopting: OwnedDescriptor(adopting: descriptor))
    }

    /// The loop itself as something to watch: readable while a descriptor in it is ready.
    public var descriptor: Int32 { epoll.rawValue }

    /// Starts watching a descriptor; `token` is what `ready(at:)` will call it.
    public func add(_ descriptor: Int32, token: UInt64, interest: Interest) throws(SystemError) {
        try check(
            clinux_epoll_add(epoll.rawValue, descriptor, token, interest.rawValue),
            "epoll_ctl",
            "add descriptor \(descriptor)"
        )
    }

    /// Changes token and interest of a watched descriptor.
    public func modify(_ descriptor: Int32, token: UInt64, interest: Interest) throws(SystemError) {
        try check(
            clinux_epoll_modify(epoll.rawValue, descriptor, token, interest.rawValue),
            "epoll_ctl",
            "modify descriptor \(descriptor)"
        )
    }

    /// Stops watching a descriptor.
    public func remove(_ descriptor: Int32) throws(SystemError) {
        try check(clinux_epoll_remove(epoll.rawValue, descriptor), "epoll_ctl", "remove descriptor \(descriptor)")
    }

    /// Sleeps until a descriptor is ready or the time is over, and returns how many are ready.
    ///
    /// A negative timeout sleeps without limit, 0 does not sleep. A signal that interrupts the sleep counts as nothing
    /// ready. What was reported before is forgotten.
    public mutating func wait(timeoutMilliseconds: Int) throws(SystemError) -> Int {
        readyCount = 0
        let timeout = Int32(clamping: max(timeoutMilliseconds, -1))
        // SAFETY: the array's storage outlives the call, which writes at most `count` elements.
        let result = unsafe ready.withUnsafeMutableBufferPointer { buffer in
            unsafe clinux_epoll_wait(epoll.rawValue, buffer.baseAddress, Int32(buffer.count), timeout)
        }
        readyCount = Int(try check(result, "epoll_wait"))
        return readyCount
    }

    /// The descriptor at `index` of the last `wait`: its token, and what it is ready for.
    ///
    /// An error on the descriptor counts as ready for both: the next call on it says what is wrong.
    public func ready(at index: Int) -> (token: UInt64, interest: Interest) {
        precondition(index >= 0 && index < readyCount, "ready descriptor \(index) of \(readyCount)")
        return (ready[index].token, Interest(rawValue: ready[index].interest))
    }
}
