internal import Glibc

/// What went wrong in the lab, with the command and its output: the reader has only this line to go by.
public struct LabError: Error, CustomStringConvertible, Sendable {
    /// The whole message.
    public let description: String

    /// An error of a message.
    public init(_ message: String) {
        description = message
    }

    /// An error of a system call that set `errno`.
    public init(call: String, errno code: Int32, _ context: String = "") {
        self.init("\(call) \(context): \(String(cString: strerror(code))) (\(code))")
    }
}
