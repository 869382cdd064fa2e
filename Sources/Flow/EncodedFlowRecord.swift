/// A flow's record in a value of fixed size, for the moment between a flow and its place in a cache or message.
public struct EncodedFlowRecord: Sendable {
    private var storage: [224 of UInt8] = .init(repeating: 0)
    /// Bytes of the record.
    public private(set) var byteCount = 0

    /// Encodes a flow.
    public init(_ flow: Flow) {
        var span = storage.mutableSpan
        // Bytes hold any pattern, so writing them as raw memory breaks no type's invariant.
        var bytes = unsafe span.mutableBytes
        byteCount = FlowRecord.encode(flow, into: &bytes)
    }

    /// The record's bytes.
    public var bytes: RawSpan {
        @_lifetime(borrow self)
        borrowing get { unsafe storage.span.bytes.extracting(0..<byteCount) }
    }

    /// Overwrites the seconds left.
    public mutating func setTimeout(_ seconds: UInt32) {
        var span = storage.mutableSpan
        var bytes = unsafe span.mutableBytes
        FlowRecord.setTimeout(seconds, in: &bytes)
    }

    /// Says whether the flow talks; see `FlowRecord.setTalking`.
    public mutating func setTalking(_ isTalking: Bool) {
        var span = storage.mutableSpan
        var bytes = unsafe span.mutableBytes
        FlowRecord.setTalking(isTalking, in: &bytes)
    }
}
