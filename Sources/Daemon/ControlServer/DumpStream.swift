import Control
import Flow
import FlyingSocks

/// The forms in which a cache can be dumped.
enum DumpFormat: String, Sendable, CaseIterable {
    /// Lines in conntrackd's layout.
    case text
    /// One JSON object per line.
    case json
    /// Packed records back to back, with the seconds left.
    case records

    /// The response's media type.
    var contentType: String {
        switch self {
        case .text: "text/plain; charset=utf-8"
        case .json: "application/x-ndjson"
        case .records: "application/octet-stream"
        }
    }
}

/// The body of a dump: fetched chunk by chunk from the engine, each only when the reader has taken the one before.
///
/// So a dump holds some hundred records at a time, however large the cache and however slow the reader, and the engine
/// copies no more than that between two of its own turns. The price is that a dump is no snapshot: a flow that changes
/// while it runs is shown as it was when its turn came.
struct DumpStream: AsyncBufferedSequence {
    /// Why a dump did not start or did not reach its end.
    struct Interruption: Error, CustomStringConvertible {
        let description: String
    }

    typealias Element = UInt8
    typealias AsyncIterator = Iterator

    private let engine: any EngineAccess
    private let cache: CacheSelection
    private let format: DumpFormat
    private let first: DumpChunk

    /// Fetches the first chunk.
    ///
    /// - Throws: the engine's refusal.
    static func open(
        _ cache: CacheSelection,
        format: DumpFormat,
        engine: any EngineAccess
    ) async throws(Interruption) -> DumpStream {
        let first = try await chunk(of: cache, at: nil, engine: engine)
        return DumpStream(engine: engine, cache: cache, format: format, first: first)
    }

    func makeAsyncIterator() -> Iterator {
        Iterator(engine: engine, cache: cache, writer: DumpWriter(format), pending: first)
    }

    /// Records asked for at once: about 100 KiB of text, and some 50 µs of the engine's time.
    static let recordCountPerChunk = 512

    private static func chunk(
        of cache: CacheSelection,
        at cursor: UInt64?,
        engine: any EngineAccess
    ) async throws(Interruption) -> DumpChunk {
        let request = EngineRequest.dumpChunk(cache: cache, cursor: cursor, limit: recordCountPerChunk)
        switch await engine.perform(request) {
        case .dumpChunk(let chunk): return chunk
        case .refused(let reason): throw Interruption(description: reason)
        default: throw Interruption(description: "internal error: the engine did not answer a dump with records")
        }
    }

    struct Iterator: AsyncBufferedIteratorProtocol {
        fileprivate let engine: any EngineAccess
        fileprivate let cache: CacheSelection
        fileprivate let writer: DumpWriter
        /// A chunk that was fetched and not yet written; nil at the end.
        fileprivate var pending: DumpChunk?
        private var cursor: UInt64?

        fileprivate init(engine: any EngineAccess, cache: CacheSelection, writer: DumpWriter, pending: DumpChunk) {
            self.engine = engine
            self.cache = cache
            self.writer = writer
            self.pending = pending
        }

        mutating func next() async throws -> UInt8? {
            // The HTTP library asks for buffers only; a byte at a time would be an engine request per byte.
            preconditionFailure("a dump is read in buffers")
        }

        /// The text of the next records, at least one; nil at the end.
        ///
        /// An empty buffer must not be returned: in chunked transfer encoding it would mean the end.
        mutating func nextBuffer(suggested count: Int) async throws -> [UInt8]? {
            while true {
                if let chunk = pending {
                    cursor = chunk.nextCursor
                    pending = nil
                    let bytes = try writer.text(of: chunk)
                    if !bytes.isEmpty { return bytes }
                }
                guard let next = cursor else { return nil }
                pending = try await DumpStream.chunk(of: cache, at: next, engine: engine)
            }
        }
    }
}
