internal import Crypto

/// One or two keys: the first seals, each of them opens.
///
/// Two are there while keys rotate: the new one is put behind the old one on all nodes, then before it, and then the
/// old one is removed; at each step every node opens what every other one seals.
public struct KeyRing: Sendable, Equatable, CustomStringConvertible {
    /// A key and the name it has in datagrams.
    struct Key: Sendable, Equatable {
        static let byteCount = 32

        let secret: SymmetricKey
        /// The first four bytes of a hash of the key, so that a receiver need not try all keys.
        let id: UInt32

        /// The key of 32 bytes.
        init(_ bytes: [UInt8]) {
            precondition(bytes.count == Self.byteCount, "key of \(bytes.count) bytes")
            secret = SymmetricKey(data: bytes)
            let digest = SHA256.hash(data: Array("flowsync key id".utf8) + bytes)
            id = digest.prefix(4).reversed().reduce(0) { $0 << 8 | UInt32($1) }
        }

        /// The key that seals one session's datagrams.
        func sessionKey(_ session: UInt64) -> SessionKey {
            let salt = (0..<8).map { UInt8(truncatingIfNeeded: session >> ($0 * 8)) }
            let derived = HKDF<SHA256>.deriveKey(
                inputKeyMaterial: secret,
                salt: salt,
                info: Array("flowsync seal v1".utf8),
                outputByteCount: Key.byteCount
            )
            return SessionKey(derived)
        }

        /// The id as the bytes follow each other in a datagram.
        var idText: String {
            let digits = String(id.byteSwapped, radix: 16)
            return String(repeating: "0", count: 8 - digits.count) + digits
        }
    }

    /// The most keys that may be valid at once.
    public static let keyCountMax = 2

    let keys: [Key]

    /// Reads the text of a key file: one key per line as 64 hexadecimal digits, `#` comments and blank lines.
    ///
    /// - Parameter path: The file's path, for the error's text.
    public init(parsing bytes: [UInt8], path: String) throws(KeyFileError) {
        var found: [(key: Key, line: Int)] = []
        for (index, line) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            let text = Self.trimmed(line.prefix { $0 != UInt8(ascii: "#") })
            if text.isEmpty { continue }
            let number = index + 1
            let key = try Self.key(of: text, path: path, line: number)
            // The id is compared, not the key: two keys of one id could not be told apart in a datagram.
            if let earlier = found.first(where: { $0.key.id == key.id }) {
                throw .duplicate(path: path, line: number, earlierLine: earlier.line)
            }
            guard found.count < Self.keyCountMax else { throw .tooManyKeys(path: path, line: number) }
            found.append((key, number))
        }
        guard !found.isEmpty else { throw .noKey(path: path) }
        keys = found.map(\.key)
    }

    /// The ids of the keys, the sealing one first; never the keys themselves.
    public var description: String {
        let ids = keys.map(\.idText)
        return ids.count == 1 ? "key \(ids[0])" : "keys \(ids.joined(separator: ", "))"
    }

    private static func trimmed(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        func isBlank(_ byte: UInt8) -> Bool { [0x09, 0x0d, 0x20].contains(byte) }
        let start = text.drop(while: isBlank)
        return start.prefix((start.lastIndex { !isBlank($0) } ?? start.startIndex - 1) - start.startIndex + 1)
    }

    private static func key(of text: ArraySlice<UInt8>, path: String, line: Int) throws(KeyFileError) -> Key {
        let digits = text.compactMap { digit($0) }
        guard digits.count == text.count else {
            throw .notKey(path: path, line: line, reason: "this line holds something else")
        }
        guard digits.count == Key.byteCount * 2 else {
            throw .notKey(path: path, line: line, reason: "this line has \(digits.count)")
        }
        return Key((0..<Key.byteCount).map { digits[$0 * 2] << 4 | digits[$0 * 2 + 1] })
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
