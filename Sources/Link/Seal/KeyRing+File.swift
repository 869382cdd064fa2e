internal import Crypto
internal import Glibc
internal import SystemIO

extension KeyRing {
    /// The longest key file that is read: two keys and room for remarks.
    private static let fileByteCountMax = 64 << 10

    /// Reads a key file that nobody but its owner can use: root, or the user this process runs as.
    public static func load(path: String) throws(KeyFileError) -> KeyRing {
        let bytes: [UInt8]
        do {
            // Without O_NONBLOCK, opening a pipe would wait for somebody to write into it.
            // SAFETY: the path is NUL-terminated for the call's duration.
            let descriptor = OwnedDescriptor(
                adopting: try checked("open", path) { unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) }
            )
            // The open file is checked, not the name: the name could mean another file a moment later.
            try check(descriptor.rawValue, path: path)
            bytes = try read(descriptor.rawValue, path: path)
        } catch .system(let error) where error.errno == ENOENT {
            throw .missing(path: path)
        }
        return try KeyRing(parsing: bytes, path: path)
    }

    /// Makes a new key file that only its owner can use; a file that is there already is left alone.
    ///
    /// Returns the ring that is in it.
    @discardableResult
    public static func create(at path: String) throws(KeyFileError) -> KeyRing {
        let text = Array(generate().utf8)
        let ring = try KeyRing(parsing: text, path: path)
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW
        let number: Int32
        do {
            // SAFETY: the path is NUL-terminated for the call's duration.
            number = try checked("open", path) { unsafe open(path, flags, 0o600) }
        } catch .system(let error) where error.errno == EEXIST {
            throw .exists(path: path)
        } catch .system(let error) where error.errno == ENOENT {
            throw .noFolder(path: path)
        }
        let descriptor = OwnedDescriptor(adopting: number)
        do {
            // The umask may have taken bits from the owner, too.
            try checked("fchmod", path) { fchmod(descriptor.rawValue, 0o600) }
            try write(text, to: descriptor.rawValue, path: path)
            try checked("fsync", path) { fsync(descriptor.rawValue) }
        } catch {
            // A file with half a key, or none, would only be in the way.
            _ = unsafe unlink(path)
            throw error
        }
        return ring
    }

    /// The text of a new key file, with one random key.
    public static func generate() -> String {
        let key = SymmetricKey(size: .bits256)
        // SAFETY: the bytes are only read while the key lives.
        let digits = unsafe key.withUnsafeBytes { bytes in
            unsafe bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        }
        return """
            # FlowSync key: the same file on all nodes, owned by root, mode 0600. Whoever has it can read and change
            # what the nodes tell each other. A second line may hold a second key: the first one seals, both open.
            \(digits)

            """
    }

    private static func check(_ descriptor: Int32, path: String) throws(KeyFileError) {
        var status = stat()
        // SAFETY: fstat fills the structure, which holds no pointers.
        try checked("fstat", path) { unsafe fstat(descriptor, &status) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .notRegular(path: path) }
        let userID = geteuid()
        guard status.st_uid == 0 || status.st_uid == userID else {
            throw .owner(path: path, userID: status.st_uid, readerID: userID)
        }
        guard status.st_mode & 0o077 == 0 else { throw .mode(path: path, mode: status.st_mode & 0o7777) }
    }

    private static func read(_ descriptor: Int32, path: String) throws(KeyFileError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: fileByteCountMax + 1)
        var count = 0
        while count < bytes.count {
            let got = try checked("read", path) {
                // SAFETY: the slice lies inside the array, which does not change during the call.
                unsafe bytes.withUnsafeMutableBytes { buffer in
                    let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[count...])
                    return unsafe Glibc.read(descriptor, rest.baseAddress, rest.count)
                }
            }
            if got == 0 { return Array(bytes.prefix(count)) }
            count += got
        }
        throw .system(SystemError(call: "read", errno: EFBIG, context: path))
    }

    private static func write(_ bytes: [UInt8], to descriptor: Int32, path: String) throws(KeyFileError) {
        var count = 0
        while count < bytes.count {
            count += try checked("write", path) {
                // SAFETY: the slice lies inside the array, which does not change during the call.
                unsafe bytes.withUnsafeBytes { buffer in
                    let rest = unsafe UnsafeRawBufferPointer(rebasing: buffer[count...])
                    return unsafe Glibc.write(descriptor, rest.baseAddress, rest.count)
                }
            }
        }
    }

    @discardableResult
    private static func checked<Result: SignedInteger>(
        _ call: String,
        _ path: String,
        _ body: () -> Result
    ) throws(KeyFileError) -> Result {
        do throws(SystemError) { return try checkErrno(call, path, body) } catch { throw .system(error) }
    }
}
