/// Key files of the daemons.
extension Lab {
    /// A new key, as a line of a key file: 64 hexadecimal digits.
    public static func makeKey() -> String {
        (0..<4).map { _ in
            let text = String(UInt64.random(in: .min ... .max), radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }.joined()
    }

    /// The key file of a router.
    public func keyFilePath(of router: LabNode) -> String { "\(directory)/\(router).key" }

    /// Writes a router's key file: the first key seals, both open.
    ///
    /// A running daemon uses them after `reload`.
    public func setKeys(_ keys: [String], of router: LabNode) throws(LabError) {
        try writeTextFile(keyFilePath(of: router), keys.joined(separator: "\n") + "\n", mode: 0o600)
    }
}
