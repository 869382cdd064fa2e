import Glibc
import SystemIO

/// The command's standard streams, unbuffered: what is written has left when the call returns.
enum Output {
    /// Writes to standard output.
    ///
    /// - Throws: a failure with status 0 and no text if the reader has gone, one with the cause otherwise.
    static func write(_ bytes: [UInt8]) throws(CommandFailure) {
        let errorNumber = write(bytes, to: STDOUT_FILENO)
        switch errorNumber {
        case 0: return
        case EPIPE: throw CommandFailure(status: .done, text: "")
        default: throw CommandFailure(text: "cannot write to standard output: \(SystemError.text(of: errorNumber))")
        }
    }

    /// Writes to standard output.
    static func write(_ text: String) throws(CommandFailure) {
        try write(Array(text.utf8))
    }

    /// Writes to standard error; if that fails there is nobody left to be told.
    static func writeError(_ text: String) {
        _ = write(Array(text.utf8), to: STDERR_FILENO)
    }

    /// Writes all bytes and returns 0, or the errno of the call that failed.
    private static func write(_ bytes: [UInt8], to descriptor: Int32) -> Int32 {
        var written = 0
        while written < bytes.count {
            // SAFETY: the slice lies inside the array, which does not change during the call.
            let count = unsafe bytes.withUnsafeBytes { buffer in
                let rest = unsafe UnsafeRawBufferPointer(rebasing: buffer[written...])
                return unsafe Glibc.write(descriptor, rest.baseAddress, rest.count)
            }
            let errorNumber = errno
            if count >= 0 { written += count } else if errorNumber != EINTR { return errorNumber }
        }
        return 0
    }
}
