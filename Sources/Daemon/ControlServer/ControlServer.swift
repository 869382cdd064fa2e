import FlyingFox
import FlyingSocks
import Glibc
import Logging
import Synchronization
import SystemIO

/// Why the local API cannot be offered.
enum ControlServerError: Error, Equatable, CustomStringConvertible {
    /// Another daemon holds the path.
    case inUse(path: String)
    /// Something that is no socket stands at the path.
    case notASocket(path: String)
    /// The path is longer than the address of a Unix socket can be.
    case pathTooLong(path: String)
    /// A system call failed.
    case system(SystemError)
    /// The HTTP library could not listen; the text is its own.
    case cannotListen(path: String, reason: String)

    /// What is wrong, where, and what to do.
    var description: String {
        switch self {
        case .inUse(let path):
            "another flowsyncd answers at \(path): stop it, or give this one its own [control] socket"
        case .notASocket(let path):
            "\(path) exists and is not a socket: move it away, or set [control] socket to another path"
        case .pathTooLong(let path):
            "the [control] socket path has \(path.utf8.count) bytes, a Unix socket's at most "
                + "\(LocalSocket.pathByteCountMax): \(path)"
        case .system(let error):
            "cannot make the [control] socket: \(error)"
        case .cannotListen(let path, let reason):
            "cannot listen at the [control] socket \(path): \(reason)"
        }
    }
}

/// The local API: HTTP on a Unix socket that only its owner may open.
///
/// Made in two steps. `open` takes the path, and fails at once if it is somebody else's; it needs no engine, so the
/// daemon does it before it touches the kernel. `start` begins to answer. One lock file beside the socket decides who
/// owns the path: the kernel releases it when its holder dies, so a socket file that a killed daemon left behind is
/// known to be stale.
final class ControlServer: Sendable {
    private struct State {
        var server: HTTPServer?
        var supervisor: Task<Void, Never>?
        var isStopping = false
    }

    /// How long an answer may take: as long as the engine needs.
    ///
    /// A commit of a million flows takes many seconds, and an answer that is cut off would tell the failover script
    /// that it failed. FlyingFox needs some limit; its own is 15 s.
    private static let actionSecondsMax: Double = 24 * 3_600

    private let path: String
    private let logger: Logger
    private let lock: Mutex<FileLock?>
    private let state = Mutex(State())

    private init(path: String, logger: Logger, lock: consuming FileLock) {
        self.path = path
        self.logger = logger
        self.lock = Mutex(lock)
    }

    /// Takes the path for this process: lock, and no socket left behind.
    ///
    /// The socket's folder is made if only that is missing.
    static func open(path: String, logger: Logger) throws(ControlServerError) -> ControlServer {
        guard path.utf8.count <= LocalSocket.pathByteCountMax else { throw .pathTooLong(path: path) }
        do {
            try LocalSocketPath.makeParentFolder(of: path)
            guard let lock = try FileLock.acquire(path + ".lock") else { throw ControlServerError.inUse(path: path) }
            let server = ControlServer(path: path, logger: logger, lock: lock)
            try server.clearPath()
            return server
        } catch let error as SystemError {
            throw .system(error)
        } catch let error as ControlServerError {
            throw error
        } catch {
            throw .cannotListen(path: path, reason: "\(error)")
        }
    }

    /// Begins to answer requests with what `engine` says, and returns once the socket listens.
    func start(engine: any EngineAccess) async throws(ControlServerError) {
        let handler = ControlHandler(engine: engine)
        let running = try await listen(handler)
        let supervisor = Task { await self.supervise(running, handler) }
        state.withLock { $0.supervisor = supervisor }
    }

    /// Stops listening, gives answers that are under way a moment to get out, and gives the path back.
    ///
    /// The engine should have answered every request before. If one is still without its answer after a second, the
    /// connection is left to the end of the process.
    func stop() async {
        let (server, supervisor) = state.withLock { state in
            state.isStopping = true
            return (state.server, state.supervisor)
        }
        supervisor?.cancel()
        let (done, signal) = AsyncStream.makeStream(of: Void.self)
        Task {
            // FlyingFox always waits for the whole of this time; what is written by then has left.
            await server?.stop(timeout: 0.05)
            await supervisor?.value
            signal.finish()
        }
        let timer = Task {
            try? await Task.sleep(for: .seconds(1))
            signal.finish()
        }
        for await _ in done {}
        timer.cancel()
        try? LocalSocketPath.remove(path)
        lock.withLock { $0 = nil }
    }

    /// Removes what a killed daemon left at the path.
    ///
    /// The lock says that no flowsyncd of this path lives; asking the socket as well guards against a lock file that
    /// somebody deleted, and against another program's socket.
    private func clearPath() throws(ControlServerError) {
        do {
            switch try LocalSocketPath.occupant(of: path) {
            case .nothing: return
            case .staleSocket: try LocalSocketPath.remove(path)
            case .listener: throw ControlServerError.inUse(path: path)
            case .otherFile: throw ControlServerError.notASocket(path: path)
            }
        } catch let error as SystemError {
            throw .system(error)
        } catch let error as ControlServerError {
            throw error
        } catch {
            throw .cannotListen(path: path, reason: "\(error)")
        }
    }

    /// Starts an HTTP server, and returns the task that ends when it does.
    private func listen(_ handler: ControlHandler) async throws(ControlServerError) -> Task<Void, any Error> {
        let configuration = HTTPServer.Configuration(
            address: OwnerOnlySocketAddress(path: path),
            timeout: Self.actionSecondsMax,
            // No request of ours has a body worth keeping; what is longer is not held in memory.
            sharedRequestReplaySize: 65_536,
            logger: ServerLog(logger: logger, handler: handler)
        )
        let server = HTTPServer(config: configuration, handler: handler)
        let listening = Task { try await server.waitUntilListening(timeout: 10) }
        let running = Task {
            defer { listening.cancel() }
            try await server.run()
        }
        if case .failure(let error) = await listening.result {
            running.cancel()
            guard case .failure(let cause) = await running.result else {
                throw .cannotListen(path: path, reason: "\(error)")
            }
            throw .cannotListen(path: path, reason: (cause as? SocketError)?.errorDescription ?? "\(cause)")
        }
        state.withLock { $0.server = server }
        return running
    }

    /// Listens again when the server ends by itself.
    ///
    /// That happens when `accept` fails, above all when clients that never close have used up the descriptors. Its end
    /// closes them all; staying down would take the takeover command with it.
    private func supervise(_ first: Task<Void, any Error>, _ handler: ControlHandler) async {
        var running: Task<Void, any Error>? = first
        while true {
            if let task = running, case .failure(let error) = await task.result {
                guard !state.withLock(\.isStopping) else { return }
                logger.error("control socket \(path) failed: \(error); listening again in 1 s")
            }
            do {
                try await Task.sleep(for: .seconds(1))
            } catch { return }
            do {
                try LocalSocketPath.remove(path)
                running = try await listen(handler)
            } catch {
                running = nil
                logger.error("\(error)")
            }
            // A stop that came meanwhile found the server that had failed, not this one.
            if state.withLock(\.isStopping) {
                running?.cancel()
                return
            }
        }
    }
}

/// The address of a Unix socket that only its owner may open, from the moment it exists.
///
/// FlyingFox binds inside `withSockAddr`, so the umask holds for that call and no longer.
private struct OwnerOnlySocketAddress: SocketAddress {
    static let family = sa_family_t(AF_UNIX)

    let path: String

    func withSockAddr<R, E: Error>(_ body: (UnsafePointer<sockaddr>, socklen_t) throws(E) -> R) throws(E) -> R {
        try LocalSocketPath.withOwnerOnlyMask { () throws(E) -> R in
            // SAFETY: the pointer is only handed on; it is valid for as long as FlyingSocks says.
            try unsafe sockaddr_un.unix(path: path).withSockAddr(body)
        }
    }
}

/// FlyingFox's log.
///
/// It reports every connection, and as an error every client that goes away before its answer: nothing an operator
/// has to see. What ends the server itself is reported by whoever runs it.
private struct ServerLog: FlyingSocks.Logging {
    let logger: Logger
    let handler: ControlHandler

    func logDebug(_ debug: @autoclosure () -> String) {}

    func logInfo(_ info: @autoclosure () -> String) {}

    func logWarning(_ warning: @autoclosure () -> String) {
        let text = warning()
        logger.debug("control socket: \(text)")
    }

    func logError(_ error: @autoclosure () -> String) {
        handler.countBrokenConnection()
        let text = error()
        logger.debug("control socket: \(text)")
    }

    func logCritical(_ critical: @autoclosure () -> String) {
        let text = critical()
        logger.debug("control socket: \(text)")
    }
}
