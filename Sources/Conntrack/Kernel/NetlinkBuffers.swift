/// Memory for the messages of one receive call.
@safe struct ReceiveBuffer: ~Copyable, @unchecked Sendable {
    // SAFETY: this value's alone from init to deinit; zeroed at the start, so that every byte is initialised.
    private let memory: UnsafeMutableRawBufferPointer

    init(byteCount: Int) {
        unsafe memory = .allocate(byteCount: byteCount, alignment: 16)
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0)
    }

    deinit {
        unsafe memory.deallocate()
    }

    /// Lets `body` fill the memory.
    func withMemory<Result>(_ body: (UnsafeMutableRawBufferPointer) -> Result) -> Result {
        unsafe body(memory)
    }

    /// The bytes from `start` up to `end`, valid until the next receive.
    @_lifetime(borrow self)
    func bytes(from start: Int, to end: Int) -> RawSpan {
        // SAFETY: the span lives no longer than the borrow of this value, which owns the memory.
        let span = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(memory))
        return unsafe _overrideLifetime(span.extracting(start..<end), borrowing: self)
    }
}

/// Memory for the requests of one batch.
@safe struct SendBuffer: ~Copyable, @unchecked Sendable {
    // SAFETY: this value's alone from init to deinit; zeroed at the start, so that every byte is initialised.
    private let memory: UnsafeMutableRawBufferPointer

    init(byteCount: Int) {
        unsafe memory = .allocate(byteCount: byteCount, alignment: 16)
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0)
    }

    deinit {
        unsafe memory.deallocate()
    }

    /// Lets `body` append from the start on, and returns how many bytes it wrote.
    func write(_ body: (inout OutputRawSpan) -> Void) -> Int {
        // SAFETY: nobody else reads or writes the memory while `body` runs; the output checks its capacity.
        var output = unsafe OutputRawSpan(buffer: memory, initializedCount: 0)
        body(&output)
        return unsafe output.finalize(for: memory)
    }

    /// The first `end` bytes.
    @_lifetime(borrow self)
    func bytes(to end: Int) -> RawSpan {
        // SAFETY: the span lives no longer than the borrow of this value, which owns the memory.
        let span = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(memory))
        return unsafe _overrideLifetime(span.extracting(0..<end), borrowing: self)
    }
}
