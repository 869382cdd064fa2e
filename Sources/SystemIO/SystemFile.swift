internal import Glibc

/// Small files, read and written whole.
public enum SystemFile {
    /// The file's bytes; a file longer than `byteCountMax` is refused with `EFBIG`.
    public static func read(_ path: String, byteCountMax: Int = 1 << 20) throws(SystemError) -> [UInt8] {
        // SAFETY: the path is NUL-terminated for the call's duration.
        let number = try checkErrno("open", path) { unsafe open(path, O_RDONLY | O_CLOEXEC) }
        let descriptor = OwnedDescriptor(adopting: number)
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = try checkErrno("read", path) {
                // SAFETY: the pointer covers exactly the bytes whose count is given.
                unsafe chunk.withUnsafeMutableBytes { unsafe Glibc.read(descriptor.rawValue, $0.baseAddress, $0.count) }
            }
            if count == 0 { return bytes }
            guard bytes.count + count <= byteCountMax else {
                throw SystemError(call: "read", errno: EFBIG, context: path)
            }
            bytes.append(contentsOf: chunk[..<count])
        }
    }

    /// Replaces the file in one step: readers see the old bytes or the new ones, also after a crash.
    ///
    /// The bytes go to a temporary file beside it, to disk, and then under the name. Mode bits are exact, whatever
    /// the umask.
    public static func writeAtomically(_ bytes: [UInt8], to path: String, mode: UInt32) throws(SystemError) {
        let temporary = "\(path).\(getpid()).new"
        do {
            try writeAndSync(bytes, to: temporary, mode: mode)
            // SAFETY: both paths are NUL-terminated for the call's duration.
            try checkErrno("rename", path) { unsafe rename(temporary, path) }
        } catch {
            _ = unsafe unlink(temporary)
            throw error
        }
    }

    private static func writeAndSync(_ bytes: [UInt8], to path: String, mode: UInt32) throws(SystemError) {
        let flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW
        // SAFETY: the path is NUL-terminated for the call's duration.
        let number = try checkErrno("open", path) { unsafe open(path, flags, mode_t(mode)) }
        let descriptor = OwnedDescriptor(adopting: number)
        try checkErrno("fchmod", path) { fchmod(descriptor.rawValue, mode_t(mode)) }
        var written = 0
        while written < bytes.count {
            written += try checkErrno("write", path) {
                // SAFETY: the slice lies inside the array, which does not change during the call.
                unsafe bytes.withUnsafeBytes { buffer in
                    let rest = unsafe UnsafeRawBufferPointer(rebasing: buffer[written...])
                    return unsafe write(descriptor.rawValue, rest.baseAddress, rest.count)
                }
            }
        }
        try checkErrno("fsync", path) { fsync(descriptor.rawValue) }
    }
}
