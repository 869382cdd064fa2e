/// What a connection did with datagrams that were to be sent.
struct StreamProgress: Equatable {
    /// Datagrams whose last byte was taken.
    var sentCount = 0
    /// The payload bytes of these.
    var sentByteCount = 0
    /// Datagrams of which no byte was taken.
    var droppedCount = 0
    /// Why the connection is of no use any more.
    var failure: Int32?
}

/// The sending end of one stream: takes whole datagrams or none, and keeps the rest of the one it has begun.
///
/// A connection that has no room drops datagrams as a network would: the protocol above sends again what matters, by
/// then as it is by then. But half a datagram in the stream must be followed by its other half.
///
/// Pure: `write` is given bytes and returns how many were taken, or -errno.
struct StreamOutbox: ~Copyable {
    private var rest: [UInt8] = []
    private var restStart = 0
    /// The payload bytes of the datagram that the rest belongs to.
    private var begunByteCount = 0

    init() {
        rest.reserveCapacity(StreamFormat.frameByteCountMax)
    }

    /// Whether a datagram has been begun and not finished.
    var isInMidst: Bool { restStart < rest.count }

    /// Goes on with the datagram that was begun.
    mutating func flush(_ write: (RawSpan) -> Int) -> StreamProgress {
        var progress = StreamProgress()
        guard isInMidst else { return progress }
        // SAFETY: the elements are bytes already: there is no padding that a raw view could show.
        let taken = write(unsafe rest.span.bytes.extracting(restStart..<rest.count))
        guard taken >= 0 else {
            progress.failure = Int32(-taken)
            return progress
        }
        restStart += taken
        if !isInMidst {
            progress.sentCount = 1
            progress.sentByteCount = begunByteCount
        }
        return progress
    }

    /// Sends as many of the datagrams as there is room for, after what was begun earlier.
    mutating func send(_ frames: borrowing StreamFrames, _ write: (RawSpan) -> Int) -> StreamProgress {
        var progress = flush(write)
        guard progress.failure == nil, !isInMidst else {
            progress.droppedCount = frames.count
            return progress
        }
        let taken = write(frames.extracting(0..<frames.byteCount))
        guard taken >= 0 else {
            progress.failure = Int32(-taken)
            progress.droppedCount = frames.count
            return progress
        }
        let whole = frames.wholeCount(in: taken)
        let wholeEnd = whole == 0 ? 0 : frames.end(of: whole - 1)
        progress.sentCount += whole
        progress.sentByteCount += wholeEnd - whole * StreamFormat.headerByteCount
        progress.droppedCount = frames.count - whole
        if taken > wholeEnd {
            keep(frames.extracting(taken..<frames.end(of: whole)))
            begunByteCount = frames.end(of: whole) - wholeEnd - StreamFormat.headerByteCount
            progress.droppedCount -= 1
        }
        return progress
    }

    private mutating func keep(_ bytes: RawSpan) {
        rest.removeAll(keepingCapacity: true)
        restStart = 0
        // SAFETY: the bytes are copied while the span is valid.
        unsafe bytes.withUnsafeBytes { unsafe rest.append(contentsOf: $0) }
    }
}
