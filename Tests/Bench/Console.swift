internal import Glibc

/// Lines that are out at once, also into a pipe.
public enum Console {
    /// To standard output.
    public static func say(_ line: String) { put(line, 1) }

    /// To standard error.
    public static func note(_ line: String) { put(line, 2) }

    private static func put(_ line: String, _ descriptor: Int32) {
        var bytes = Array((line + "\n").utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count <= 0 { return }
            bytes = bytes.dropFirst(count)
        }
    }
}
