public import SystemIO

/// Why a key file cannot be used, or not be made.
///
/// Nothing of a key ever stands in its text.
public enum KeyFileError: Error, Equatable, CustomStringConvertible {
    /// There is no such file.
    case missing(path: String)
    /// A call on the file failed.
    case system(SystemError)
    /// It is a directory, a pipe or something else that is no file.
    case notRegular(path: String)
    /// It belongs to neither root nor the user who reads it.
    case owner(path: String, userID: UInt32, readerID: UInt32)
    /// Others than its owner may read, write or execute it.
    case mode(path: String, mode: UInt32)
    /// A line is neither empty, a comment nor a key.
    case notKey(path: String, line: Int, reason: String)
    /// A line repeats an earlier line's key.
    case duplicate(path: String, line: Int, earlierLine: Int)
    /// A line holds a third key.
    case tooManyKeys(path: String, line: Int)
    /// It holds no key.
    case noKey(path: String)
    /// A key file is to be made where there is a file already.
    case exists(path: String)
    /// A key file is to be made in a folder that does not exist.
    case noFolder(path: String)

    /// What is wrong, where, and what to do.
    public var description: String {
        switch self {
        case .missing(let path):
            "\(path): there is no such key file. Make it with `flowsync keygen \(path)` on one node and copy it to all"
        case .system(let error):
            "\(error)"
        case .notRegular(let path):
            "\(path): a key file must be a regular file"
        case .owner(let path, let userID, let readerID):
            "\(path): the key file belongs to user \(userID), who could change it. Give it to its reader: "
                + "chown \(readerID == 0 ? "root" : "\(readerID)") \(path)"
        case .mode(let path, let mode):
            "\(path): others may use the key file (mode \(String(mode, radix: 8))). Keep them out: chmod 600 \(path)"
        case .notKey(let path, let line, let reason):
            "\(path):\(line): a key is 64 hexadecimal digits alone on a line, but \(reason)"
        case .duplicate(let path, let line, let earlierLine):
            "\(path):\(line): this is the key of line \(earlierLine) again: remove one of them"
        case .tooManyKeys(let path, let line):
            "\(path):\(line): this is a third key: one seals, and one more may be valid beside it"
        case .noKey(let path):
            "\(path): there is no key in it. Remove it and make one with `flowsync keygen \(path)`"
        case .exists(let path):
            "\(path): there is such a file already, and it may hold a key in use. Remove it, or give another path"
        case .noFolder(let path):
            "\(path): there is no such folder to put the key file in. Make it first, or give another path"
        }
    }
}
