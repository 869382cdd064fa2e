internal import Glibc
internal import SystemIO

/// Reads a text file whole.
public func readTextFile(_ path: String) throws(LabError) -> String {
    do {
        return String(decoding: try SystemFile.read(path, byteCountMax: 256 << 20), as: UTF8.self)
    } catch {
        throw LabError("\(error)")
    }
}

/// Writes a text file.
public func writeTextFile(_ path: String, _ text: String, mode: UInt32 = 0o600) throws(LabError) {
    do {
        try SystemFile.writeAtomically(Array(text.utf8), to: path, mode: mode)
    } catch {
        throw LabError("\(error)")
    }
}

/// The folder of the running program: products of one build lie side by side.
public func programDirectory() -> String {
    var buffer = [CChar](repeating: 0, count: 4_096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
    let path = String(decoding: buffer[..<max(0, count)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
}
