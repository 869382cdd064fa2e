internal import Glibc

/// A connected stream socket of the Unix family, used by one thread that may wait.
///
/// For the daemon's command and for asking whether a daemon answers; the daemon's own side is served by its HTTP
/// library.
public struct LocalSocket: ~Copyable, Sendable {
    /// The longest path such a socket can have: `sun_path` has 108 bytes and ends in a NUL.
    public static let pathByteCountMax = 107

    private let descriptor: OwnedDescriptor

    private init(adopting descriptor: consuming OwnedDescriptor) {
        self.descriptor = descriptor
    }

    /// Connects to the socket at `path`.
    ///
    /// - Parameter timeoutSeconds: how long connecting, each write and each read may wait; nil for as long as it takes.
    /// - Throws: `ENOENT` or `ECONNREFUSED` if nobody listens, `EACCES` without the right to, `ENAMETOOLONG` for a path
    ///   longer than `pathByteCountMax`, `EAGAIN` when time is up (also from `read` and `write`).
    public static func connect(to path: String, timeoutSeconds: Int? = nil) throws(SystemError) -> LocalSocket {
        let bytes = Array(path.utf8)
        guard bytes.count <= pathByteCountMax else {
            throw SystemError(call: "connect", errno: ENAMETOOLONG, context: path)
        }
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = OwnedDescriptor(adopting: try checkErrno("socket", path) { socket(AF_UNIX, type, 0) })
        if let timeoutSeconds {
            for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
                var time = timeval(tv_sec: timeoutSeconds, tv_usec: 0)
                let size = socklen_t(MemoryLayout<timeval>.size)
                try checkErrno("setsockopt", path) {
                    // SAFETY: the kernel copies the structure, whose size is given, during the call.
                    unsafe setsockopt(descriptor.rawValue, SOL_SOCKET, option, &time, size)
                }
            }
        }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // SAFETY: the path fits with its NUL (checked above), and the structure starts out zeroed.
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
        try checkErrno("connect", path) {
            // SAFETY: the pointer covers the whole structure whose size is given, for the call's duration.
            unsafe withUnsafeBytes(of: &address) { buffer in
                guard let start = buffer.baseAddress else { return Int32(-1) }
                let pointer = unsafe start.assumingMemoryBound(to: sockaddr.self)
                return unsafe Glibc.connect(descriptor.rawValue, pointer, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        return LocalSocket(adopting: descriptor)
    }

    /// Sends all bytes; a peer that went away is the error `EPIPE`, never a signal.
    public func write(_ bytes: [UInt8]) throws(SystemError) {
        var written = 0
        while written < bytes.count {
            written += try checkErrno("send") {
                // SAFETY: the slice lies inside the array, which does not change during the call.
                unsafe bytes.withUnsafeBytes { buffer in
                    let rest = unsafe UnsafeRawBufferPointer(rebasing: buffer[written...])
                    return unsafe send(descriptor.rawValue, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
                }
            }
        }
    }

    /// Waits for bytes, puts them at the start of `buffer` and returns how many; 0 once the peer has closed.
    public func read(into buffer: inout [UInt8]) throws(SystemError) -> Int {
        try checkErrno("recv") {
            // SAFETY: the pointer covers exactly the bytes whose count is given.
            unsafe buffer.withUnsafeMutableBytes { unsafe recv(descriptor.rawValue, $0.baseAddress, $0.count, 0) }
        }
    }
}

/// The path at which a daemon is about to listen.
public enum LocalSocketPath {
    /// What stands at a path.
    public enum Occupant: Sendable {
        /// Nothing.
        case nothing
        /// A socket at which somebody answers.
        case listener
        /// A socket that a killed process left behind.
        case staleSocket
        /// Something that is no socket.
        case otherFile
    }

    /// Finds out what stands at `path`, a socket by connecting to it.
    public static func occupant(of path: String) throws(SystemError) -> Occupant {
        var status = stat()
        do {
            // SAFETY: the path is NUL-terminated for the call's duration, the structure is ours.
            try checkErrno("lstat", path) { unsafe lstat(path, &status) }
        } catch {
            if error.errno == ENOENT { return .nothing }
            throw error
        }
        guard status.st_mode & S_IFMT == S_IFSOCK else { return .otherFile }
        do {
            _ = try LocalSocket.connect(to: path, timeoutSeconds: 1)
            return .listener
        } catch {
            if error.errno == ECONNREFUSED { return .staleSocket }
            // Its queue of connections is full: a listener that is busy or hangs.
            if error.errno == EAGAIN { return .listener }
            throw error
        }
    }

    /// Removes a socket's name; it is no error if it is gone already.
    public static func remove(_ path: String) throws(SystemError) {
        do {
            // SAFETY: the path is NUL-terminated for the call's duration.
            try checkErrno("unlink", path) { unsafe unlink(path) }
        } catch {
            if error.errno != ENOENT { throw error }
        }
    }

    /// Makes the folder that holds `path`, mode 0755, if it does not exist; its own parent must.
    public static func makeParentFolder(of path: String) throws(SystemError) {
        guard let slash = path.lastIndex(of: "/"), slash > path.startIndex else { return }
        let folder = String(path[..<slash])
        do {
            // SAFETY: the path is NUL-terminated for the call's duration.
            try checkErrno("mkdir", folder) { unsafe mkdir(folder, 0o755) }
        } catch {
            if error.errno != EEXIST { throw error }
        }
    }

    /// Runs `body` with a umask that leaves new files to their owner alone, and restores it.
    ///
    /// The umask belongs to the whole process: a file that another thread makes meanwhile gets fewer rights, never
    /// more. A `chmod` after `bind` would leave a moment in which everybody may connect.
    public static func withOwnerOnlyMask<Result, Failure: Error>(
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let previous = umask(0o177)
        defer { umask(previous) }
        return try body()
    }
}
