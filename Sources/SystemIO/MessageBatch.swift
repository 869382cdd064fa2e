internal import CLinux
internal import Glibc

/// Room for the messages of one receive call, allocated once.
///
/// One call takes up to 32 messages: 0.8 µs per netlink event, where a call for each took 0.94 µs.
@safe
public struct MessageBatch: ~Copyable, @unchecked Sendable {
    /// What a receive call found.
    public enum Reception: Sendable {
        /// That many messages; fewer than were asked for mean that no more were waiting.
        case messages(Int)
        /// The socket's buffer was full and messages were lost since the last call (`ENOBUFS`).
        case overrun
    }

    /// Messages taken in one call, at most.
    public static let messageCountMax = 32
    // Not a power of two, or the beginnings of all messages would compete for the same few lines of the L1 cache.
    private static let slotByteCount = 4_096 + 64

    // SAFETY of every `unsafe` below: the memory is this value's alone from init to deinit, zeroed at the start so that
    // every byte is initialised; it holds `messageCountMax` slots of `slotByteCount` bytes.
    private let memory: UnsafeMutableRawBufferPointer
    private var byteCounts = [32 of UInt32](repeating: 0)
    private var count = 0

    /// Room for messages of up to 4 KiB each; what is longer is cut off.
    public init() {
        unsafe memory = .allocate(byteCount: Self.slotByteCount * Self.messageCountMax, alignment: 64)
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0)
    }

    deinit {
        unsafe memory.deallocate()
    }

    /// Takes what waits at a socket, at most `countMax` messages; what was here before is forgotten.
    ///
    /// - Throws: `SystemError` of `recvmmsg`, with `purpose` as its context.
    public mutating func receive(
        from descriptor: Int32,
        countMax: Int,
        purpose: String
    ) throws(SystemError) -> Reception {
        count = 0
        var counts = byteCounts.mutableSpan
        let result = unsafe counts.withUnsafeMutableBufferPointer { counts in
            unsafe clinux_receive_messages(
                descriptor,
                memory.baseAddress?.assumingMemoryBound(to: UInt8.self),
                Self.slotByteCount,
                counts.baseAddress,
                UInt32(min(countMax, Self.messageCountMax))
            )
        }
        if result == -ENOBUFS { return .overrun }
        count = Int(try check(result, "recvmmsg", purpose))
        return .messages(count)
    }

    /// A message of the last call.
    @_lifetime(borrow self)
    public func message(at index: Int) -> RawSpan {
        precondition(index >= 0 && index < count, "message \(index) of \(count)")
        let start = index * Self.slotByteCount
        let span = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(memory))
        return unsafe _overrideLifetime(span.extracting(start..<start + Int(byteCounts[index])), borrowing: self)
    }
}
