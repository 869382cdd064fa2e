internal import Glibc

/// A lock that one process at a time holds, named by a path (flock).
///
/// The kernel releases it when its holder ends, however it ends. The file itself stays: deleting it would let two
/// processes each lock a file of that name.
public struct FileLock: ~Copyable, Sendable {
    private let descriptor: OwnedDescriptor

    private init(adopting descriptor: consuming OwnedDescriptor) {
        self.descriptor = descriptor
    }

    /// Takes the lock, or returns nil at once if another process holds it.
    ///
    /// The file is made if it does not exist.
    public static func acquire(_ path: String) throws(SystemError) -> FileLock? {
        let flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW
        // SAFETY: the path is NUL-terminated for the call's duration.
        let number = try checkErrno("open", path) { unsafe open(path, flags, 0o600) }
        let descriptor = OwnedDescriptor(adopting: number)
        do {
            try checkErrno("flock", path) { flock(descriptor.rawValue, LOCK_EX | LOCK_NB) }
        } catch {
            if error.errno == EWOULDBLOCK { return nil }
            throw error
        }
        return FileLock(adopting: descriptor)
    }
}
