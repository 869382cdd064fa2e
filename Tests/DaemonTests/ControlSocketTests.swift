import Control
import Glibc
import Logging
import SystemIO
import Testing

@testable import Daemon

/// Suites that must not run at the same time.
///
/// A process that is started between `fork` and `exec` holds a copy of every lock of this one, so that a lock that has
/// just been given back may still be taken.
@Suite(.serialized) enum OneAtATime {}

extension OneAtATime {
    /// Who owns the socket's path.
    @Suite struct ControlSocketTests {
        private func open(_ path: String) throws -> ControlServer {
            try ControlServer.open(path: path, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        }

        private func failure(_ path: String) -> ControlServerError? {
            do {
                _ = try open(path)
                return nil
            } catch { return error as? ControlServerError }
        }

        @Test func onlyTheOwnerMayConnect() async throws {
            let folder = SocketFolder()
            let before = umask(0o022)
            defer { umask(before) }
            let server = try open(folder.socket)
            try await server.start(engine: FakeEngine())
            var status = stat()
            #expect(lstat(folder.socket, &status) == 0)
            #expect(status.st_mode & 0o7777 == 0o600)
            #expect(umask(0o022) == 0o022)
            await server.stop()
            #expect(access(folder.socket, F_OK) != 0)
        }

        @Test func aSecondServerIsRefusedWhileTheFirstLives() async throws {
            let folder = SocketFolder()
            let first = try open(folder.socket)
            #expect(failure(folder.socket) == .inUse(path: folder.socket))
            try await first.start(engine: FakeEngine())
            #expect(failure(folder.socket) == .inUse(path: folder.socket))
            #expect(
                ControlServerError.inUse(path: "/run/flowsync/control.sock").description
                    == "another flowsyncd answers at /run/flowsync/control.sock: stop it, or give this one its own "
                    + "[control] socket"
            )
            let answer = try await exchange(requestText("GET", "/v1/ready"), at: folder.socket)
            #expect(answer.status == 200)
            await first.stop()
        }

        @Test func aListenerWithoutItsLockFileIsNotPushedAside() async throws {
            let folder = SocketFolder()
            let first = try open(folder.socket)
            try await first.start(engine: FakeEngine())
            unlink(folder.socket + ".lock")
            #expect(failure(folder.socket) == .inUse(path: folder.socket))
            await first.stop()
        }

        /// What `kill -9` leaves: the socket file, bound by nobody, and a lock file that nobody holds.
        @Test func aStaleSocketIsReplaced() async throws {
            let folder = SocketFolder()
            let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(folder.socket.utf8)) }
            let bound = withUnsafeBytes(of: &address) { buffer in
                buffer.withMemoryRebound(to: sockaddr.self) {
                    bind(descriptor, $0.baseAddress, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
            #expect(bound == 0 && listen(descriptor, 1) == 0)
            close(descriptor)
            close(Glibc.open(folder.socket + ".lock", O_CREAT | O_WRONLY, 0o600))
            #expect(access(folder.socket, F_OK) == 0)

            let server = try open(folder.socket)
            try await server.start(engine: FakeEngine())
            let answer = try await exchange(requestText("GET", "/v1/ready"), at: folder.socket)
            #expect(answer.status == 200)
            await server.stop()
        }

        @Test func afterAStopThePathIsFree() async throws {
            let folder = SocketFolder()
            for _ in 0..<3 {
                let server = try open(folder.socket)
                try await server.start(engine: FakeEngine())
                let answer = try await exchange(requestText("GET", "/v1/ready"), at: folder.socket)
                #expect(answer.status == 200)
                await server.stop()
            }
        }

        @Test func anEngineThatNeverAnswersDoesNotStopTheStop() async throws {
            let folder = SocketFolder()
            let (asked, signal) = AsyncStream.makeStream(of: Void.self)
            let (release, releaseSignal) = AsyncStream.makeStream(of: Void.self)
            let server = try open(folder.socket)
            try await server.start(
                engine: FakeEngine { request in
                    signal.yield()
                    // Not a cancellable wait: cancelling an iteration would end it.
                    await Task.detached { for await _ in release { break } }.value
                    return FakeEngine.plainAnswer(to: request)
                }
            )
            let client = Task { try await exchange(requestText("POST", "/v1/commit"), at: folder.socket) }
            for await _ in asked { break }
            await server.stop()
            #expect(access(folder.socket, F_OK) != 0)
            releaseSignal.finish()
            _ = await client.result
        }

        @Test func otherFilesAreLeftAlone() throws {
            let folder = SocketFolder()
            close(Glibc.open(folder.socket, O_CREAT | O_WRONLY, 0o600))
            #expect(failure(folder.socket) == .notASocket(path: folder.socket))
            #expect(access(folder.socket, F_OK) == 0)
        }

        @Test func pathsThatCannotBeAreNamed() {
            let long = "/tmp/" + String(repeating: "x", count: 103)
            #expect(failure(long) == .pathTooLong(path: long))
            let error = failure("/nonexistent/deeper/control.sock")
            #expect(
                error?.description == "cannot make the [control] socket: mkdir /nonexistent/deeper: "
                    + "No such file or directory (ENOENT)"
            )
        }

        @Test func theLongestPathWorks() async throws {
            let folder = SocketFolder()
            let path = folder.path + "/" + String(repeating: "x", count: 106 - folder.path.utf8.count)
            #expect(path.utf8.count == LocalSocket.pathByteCountMax)
            let server = try open(path)
            try await server.start(engine: FakeEngine())
            let answer = try await exchange(requestText("GET", "/v1/ready"), at: path)
            #expect(answer.status == 200)
            await server.stop()
            unlink(path + ".lock")
        }
    }
}
