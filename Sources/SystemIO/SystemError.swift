internal import CLinux
internal import Glibc

/// A system call that failed: which, with what errno, and on what object.
///
/// Its text is made for operators: `open /run/flowsync/control.sock.lock: Permission denied (EACCES)`.
public struct SystemError: Error, Equatable, CustomStringConvertible {
    /// The call's name, as in its manual page.
    public let call: String
    /// The error's number.
    public let errno: Int32
    /// The path, address or interface the call was about; may be empty.
    public let context: String

    /// A failure of `call` with the given errno.
    public init(call: String, errno: Int32, context: String = "") {
        self.call = call
        self.errno = errno
        self.context = context
    }

    /// The whole sentence: call, object, errno's text and errno's name.
    public var description: String {
        let subject = context.isEmpty ? call : "\(call) \(context)"
        return "\(subject): \(SystemError.text(of: errno)) (\(SystemError.name(of: errno)))"
    }

    /// The constant's name of an errno, such as `ENOBUFS`; `errno 4711` for a number that is none.
    public static func name(of errno: Int32) -> String {
        // SAFETY: glibc returns NULL or a string that lives as long as the process.
        guard let name = unsafe clinux_errno_name(errno) else { return "errno \(errno)" }
        return unsafe String(cString: name)
    }

    /// The text of an errno, such as `No buffer space available`.
    public static func text(of errno: Int32) -> String {
        // SAFETY: as above.
        guard let text = unsafe clinux_errno_text(errno) else { return "unknown error" }
        return unsafe String(cString: text)
    }
}

/// Turns CLinux's convention (below zero: -errno) into a thrown error.
///
/// The context is only built when it is needed.
@discardableResult
func check(
    _ result: Int32,
    _ call: String,
    _ context: @autoclosure () -> String = ""
) throws(SystemError) -> Int32 {
    guard result < 0 else { return result }
    throw SystemError(call: call, errno: -result, context: context())
}

/// Turns the C library's convention (-1 and errno) into a thrown error, and retries what a signal interrupted.
///
/// The context is only built when it is needed.
@discardableResult
public func checkErrno<Result: SignedInteger>(
    _ call: String,
    _ context: @autoclosure () -> String = "",
    _ body: () -> Result
) throws(SystemError) -> Result {
    while true {
        let result = body()
        let number = errno
        if result >= 0 { return result }
        if number != EINTR { throw SystemError(call: call, errno: number, context: context()) }
    }
}
