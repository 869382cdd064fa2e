/// Reads one HTTP/1.1 response of the local API from the bytes of its connection, as they come.
///
/// It knows what the daemon sends, and no more: a status line, headers, and a body whose length is given or which comes
/// in chunks. It opens nothing; the caller reads the socket and says when it ended.
public struct ResponseReader: Sendable {
    /// Why the bytes are no whole response.
    public enum Defect: Error, Equatable, CustomStringConvertible {
        /// Somebody else answers at the socket.
        case notHTTP
        /// The head is longer than any of ours.
        case headTooLong
        /// The body's framing is wrong.
        case malformedBody
        /// The connection ended before the response did.
        case cutOff

        /// What is wrong, one line.
        public var description: String {
            switch self {
            case .notHTTP: "the answer is not HTTP: is this the socket of flowsyncd?"
            case .headTooLong: "the answer's head is longer than \(ResponseReader.headByteCountMax) bytes"
            case .malformedBody: "the answer's body is malformed"
            case .cutOff: "the daemon closed the connection before its answer was complete"
            }
        }
    }

    /// The longest head that is accepted.
    public static let headByteCountMax = 16_384

    private enum Expectation {
        case head
        /// The rest of a body of known length.
        case body(remainingByteCount: Int)
        /// The line that says how long the next chunk is.
        case chunkSize
        case chunk(remainingByteCount: Int)
        /// The line end after a chunk.
        case chunkEnd
        /// The empty line after the last chunk.
        case trailer
        case nothing
    }

    private var expectation = Expectation.head
    /// The current line or head, as far as it has come.
    private var pending: [UInt8] = []

    /// The response's status; nil until the head has come.
    public private(set) var statusCode: Int?

    /// A reader at the start of a response.
    public init() {}

    /// Whether the whole response has come.
    public var isComplete: Bool {
        if case .nothing = expectation { true } else { false }
    }

    /// Takes what the connection gave, and appends what of it belongs to the body.
    public mutating func receive(_ bytes: ArraySlice<UInt8>, into body: inout [UInt8]) throws(Defect) {
        var rest = bytes
        while !rest.isEmpty {
            switch expectation {
            case .head:
                guard try collect(until: Array("\r\n\r\n".utf8), from: &rest) else { return }
                try readHead()
            case .body(let remaining):
                let left = take(remaining, from: &rest, into: &body)
                expectation = left == 0 ? .nothing : .body(remainingByteCount: left)
            case .chunkSize:
                guard try collect(until: Array("\r\n".utf8), from: &rest) else { return }
                try readChunkSize()
            case .chunk(let remaining):
                let left = take(remaining, from: &rest, into: &body)
                expectation = left == 0 ? .chunkEnd : .chunk(remainingByteCount: left)
            case .chunkEnd, .trailer:
                guard try collect(until: Array("\r\n".utf8), from: &rest) else { return }
                guard pending.count == 2 else { throw .malformedBody }
                pending = []
                if case .trailer = expectation { expectation = .nothing } else { expectation = .chunkSize }
            case .nothing:
                throw .malformedBody
            }
        }
    }

    /// Says that the connection has ended.
    public func finish() throws(Defect) {
        guard isComplete else { throw .cutOff }
    }

    /// Moves bytes to `pending` until they end in `mark`; false if they do not yet.
    private mutating func collect(until mark: [UInt8], from rest: inout ArraySlice<UInt8>) throws(Defect) -> Bool {
        while let byte = rest.popFirst() {
            guard pending.count < Self.headByteCountMax else { throw .headTooLong }
            pending.append(byte)
            if byte == UInt8(ascii: "\n"), pending.suffix(mark.count).elementsEqual(mark) { return true }
        }
        return false
    }

    private func take(_ count: Int, from rest: inout ArraySlice<UInt8>, into body: inout [UInt8]) -> Int {
        let taken = rest.prefix(count)
        body.append(contentsOf: taken)
        rest = rest.dropFirst(taken.count)
        return count - taken.count
    }

    private mutating func readHead() throws(Defect) {
        let lines = String(decoding: pending, as: UTF8.self).split(separator: "\r\n")
        pending = []
        let status = lines.first?.split(separator: " ", maxSplits: 2) ?? []
        guard status.count >= 2, status[0].hasPrefix("HTTP/1."), let code = Int(status[1]), 100...599 ~= code else {
            throw .notHTTP
        }
        statusCode = code
        var byteCount: Int?
        var isChunked = false
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { throw .notHTTP }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            switch line[..<colon].lowercased() {
            case "content-length":
                guard let count = Int(value), count >= 0 else { throw .malformedBody }
                byteCount = count
            case "transfer-encoding":
                guard value.lowercased() == "chunked" else { throw .malformedBody }
                isChunked = true
            default:
                break
            }
        }
        if isChunked {
            expectation = .chunkSize
        } else {
            guard let byteCount else { throw .malformedBody }
            expectation = byteCount == 0 ? .nothing : .body(remainingByteCount: byteCount)
        }
    }

    private mutating func readChunkSize() throws(Defect) {
        let text = String(decoding: pending.dropLast(2), as: UTF8.self)
        pending = []
        guard let count = Int(text, radix: 16), count >= 0 else { throw .malformedBody }
        expectation = count == 0 ? .trailer : .chunk(remainingByteCount: count)
    }
}
