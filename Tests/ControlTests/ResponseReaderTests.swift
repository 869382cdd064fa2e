import Control
import Testing

@Suite struct ResponseReaderTests {
    private static let sized = "HTTP/1.1 200 OK\r\ncontent-LENGTH: 5\r\nContent-Type: text/plain\r\n\r\nhello"
    private static let chunked =
        "HTTP/1.1 409 Conflict\r\nTransfer-Encoding: chunked\r\n\r\n03\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"

    /// The whole answer in pieces of `pieceByteCount`.
    private func read(_ text: String, pieceByteCount: Int) throws(ResponseReader.Defect) -> (Int?, String) {
        var reader = ResponseReader()
        var body: [UInt8] = []
        var rest = ArraySlice(text.utf8)
        while !rest.isEmpty {
            try reader.receive(rest.prefix(pieceByteCount), into: &body)
            rest = rest.dropFirst(pieceByteCount)
        }
        try reader.finish()
        return (reader.statusCode, String(decoding: body, as: UTF8.self))
    }

    @Test(arguments: [1, 2, 3, 7, 1_000])
    func anyPiecesGiveTheSameAnswer(pieceByteCount: Int) throws {
        let sized = try read(Self.sized, pieceByteCount: pieceByteCount)
        #expect(sized == (200, "hello"))
        let chunked = try read(Self.chunked, pieceByteCount: pieceByteCount)
        #expect(chunked == (409, "hello"))
    }

    @Test func anAnswerWithoutBodyIsComplete() throws {
        let empty = try read("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", pieceByteCount: 9)
        #expect(empty == (204, ""))
    }

    /// Every shorter prefix of a response is known to be incomplete, so that a dump that broke off is never taken for
    /// a whole one.
    @Test(arguments: [sized, chunked])
    func everyCutIsNoticed(text: String) {
        for count in 0..<text.utf8.count {
            let prefix = String(decoding: text.utf8.prefix(count), as: UTF8.self)
            #expect(throws: ResponseReader.Defect.cutOff) { try read(prefix, pieceByteCount: 1_000) }
        }
    }

    @Test(arguments: [
        ("SSH-2.0-OpenSSH\r\n\r\n", ResponseReader.Defect.notHTTP), ("HTTP/1.1 abc OK\r\n\r\n", .notHTTP),
        ("HTTP/1.1 999 OK\r\n\r\n", .notHTTP), ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", .notHTTP),
        ("HTTP/1.1 200 OK\r\n\r\n", .malformedBody), ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", .malformedBody),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", .malformedBody),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", .malformedBody),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", .malformedBody),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", .malformedBody),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", .malformedBody),
    ])
    func malformedAnswersAreRefused(text: String, defect: ResponseReader.Defect) {
        #expect(throws: defect) { try read(text, pieceByteCount: 1) }
    }

    @Test func anEndlessHeadIsRefused() {
        let text = "HTTP/1.1 200 OK\r\nX: " + String(repeating: "x", count: ResponseReader.headByteCountMax)
        #expect(throws: ResponseReader.Defect.headTooLong) { try read(text, pieceByteCount: 1_000) }
    }
}
