import Control
import Glibc
import Logging
import SystemIO

@testable import Daemon

/// What came back for one request.
struct Answer: Sendable {
    var status: Int
    var body: [UInt8]

    var text: String { String(decoding: body, as: UTF8.self) }

    func decoded<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
        try APICoder.decode(type, from: body)
    }
}

/// A folder for one test's socket, removed at its end.
final class SocketFolder: Sendable {
    let path: String

    init() {
        var template = Array("/tmp/flowsync-control.XXXXXX".utf8CString)
        path = template.withUnsafeMutableBufferPointer { buffer in
            guard let start = buffer.baseAddress, let made = mkdtemp(start) else { return "" }
            return String(cString: made)
        }
    }

    var socket: String { path + "/control.sock" }

    deinit {
        for suffix in ["", ".lock", ".role", ".role-web"] { unlink(socket + suffix) }
        rmdir(path)
    }
}

/// Runs blocking work on a thread of its own: the server under test needs the pool's few threads.
func onThread<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        do {
            _ = try SystemThread.start(name: "client") {
                continuation.resume(with: Swift.Result { try body() })
            }
        } catch {
            continuation.resume(throwing: error)
        }
    }
}

/// Sends raw bytes and reads one response.
func exchange(_ request: String, at path: String) async throws -> Answer {
    try await onThread {
        let socket = try LocalSocket.connect(to: path, timeoutSeconds: 30)
        try socket.write(Array(request.utf8))
        return try readAnswer(socket)
    }
}

/// Reads one response to its end.
func readAnswer(_ socket: borrowing LocalSocket) throws -> Answer {
    var reader = ResponseReader()
    var body: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while !reader.isComplete {
        let count = try socket.read(into: &buffer)
        guard count > 0 else { break }
        try reader.receive(buffer[..<count], into: &body)
    }
    try reader.finish()
    return Answer(status: reader.statusCode ?? 0, body: body)
}

/// The request that curl would send.
func requestText(_ method: String, _ target: String) -> String {
    "\(method) \(target) HTTP/1.1\r\nHost: flowsync\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n"
}

/// Runs `body` against a server that listens on a socket of its own.
func withServer(
    _ engine: any EngineAccess,
    _ body: (_ path: String) async throws -> Void
) async throws {
    let folder = SocketFolder()
    let server = try ControlServer.open(
        path: folder.socket,
        logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    )
    try await server.start(engine: engine)
    do {
        try await body(folder.socket)
    } catch {
        await server.stop()
        throw error
    }
    await server.stop()
}
