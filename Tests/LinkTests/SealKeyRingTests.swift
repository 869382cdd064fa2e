import Testing

@testable import Link

@Suite("Key files' text")
struct SealKeyRingTests {
    private func ring(_ text: String) throws -> KeyRing {
        try KeyRing(parsing: Array(text.utf8), path: "sync.key")
    }

    private func error(_ text: String) -> String? {
        do {
            _ = try ring(text)
            return nil
        } catch {
            return "\(error)"
        }
    }

    @Test("Comments, blank lines, capitals and spaces change nothing")
    func spellings() throws {
        let key = TestKey.line(0xab)
        let plain = try ring(key)
        #expect(plain.keys.count == 1)
        let spellings = [
            key + "\n", "\n\n" + key, "# a remark\n\(key)\n# another", key.uppercased(), "  \(key)\t\r\n",
            "\(key) # old",
            "# Gr\u{fc}\u{df}e\n\(key)",
        ]
        for text in spellings { #expect(try ring(text) == plain, "\(text)") }
        #expect(try KeyRing(parsing: [0x23, 0xff, 0xfe, 0x0a] + Array(key.utf8), path: "k") == plain)
    }

    @Test("The first of two keys is the one that seals")
    func two() throws {
        let both = try ring("\(TestKey.line(1))\n\n\(TestKey.line(2))")
        #expect(both.keys == [try ring(TestKey.line(1)).keys[0], try ring(TestKey.line(2)).keys[0]])
        #expect(try both != ring("\(TestKey.line(2))\n\(TestKey.line(1))"))
        #expect(both.description.wholeMatch(of: /keys [0-9a-f]{8}, [0-9a-f]{8}/) != nil)
    }

    @Test(
        "What is no key file is refused with its line",
        arguments: [
            ("", "sync.key: there is no key in it. Remove it and make one with `flowsync keygen sync.key`"),
            (
                "# only a remark\n\n",
                "sync.key: there is no key in it. Remove it and make one with `flowsync keygen sync.key`"
            ),
            ("hello", "sync.key:1: a key is 64 hexadecimal digits alone on a line, but this line holds something else"),
            (
                "\n\(String(repeating: "a", count: 63))",
                "sync.key:2: a key is 64 hexadecimal digits alone on a line, but this line has 63"
            ),
            (
                "\(String(repeating: "a", count: 65))",
                "sync.key:1: a key is 64 hexadecimal digits alone on a line, but this line has 65"
            ),
            (
                "\(String(repeating: "a", count: 63))g",
                "sync.key:1: a key is 64 hexadecimal digits alone on a line, but this line holds something else"
            ),
            (
                "\(TestKey.line(1)) \(TestKey.line(2))",
                "sync.key:1: a key is 64 hexadecimal digits alone on a line, but this line holds something else"
            ),
            (
                "\(TestKey.line(1))\n#\n\(TestKey.line(1).uppercased())",
                "sync.key:3: this is the key of line 1 again: remove one of them"
            ),
            (
                "\(TestKey.line(1))\n\(TestKey.line(2))\n\(TestKey.line(3))",
                "sync.key:3: this is a third key: one seals, and one more may be valid beside it"
            ),
            (
                "\(TestKey.line(1))\nx",
                "sync.key:2: a key is 64 hexadecimal digits alone on a line, but this line holds something else"
            ),
        ]
    )
    func refused(text: String, wanted: String) {
        #expect(error(text) == wanted)
    }

    @Test("Neither a ring nor an error shows a key")
    func secrecy() throws {
        let key = TestKey.line(0xab)
        let ring = try ring(key)
        #expect(!"\(ring)".contains("abababab") && !String(reflecting: ring).contains("abababab"))
        for text in [key + "0", key + "\n" + key, "x" + key] { #expect(error(text)?.contains("ababab") == false) }
    }

    @Test("Each generated file has a key of its own, and is valid")
    func generated() throws {
        let first = try ring(KeyRing.generate())
        let second = try ring(KeyRing.generate())
        #expect(first.keys.count == 1)
        #expect(first != second)
        #expect(KeyRing.generate().split(separator: "\n").allSatisfy { $0.utf8.count <= 120 })
    }

    @Test("Random bytes get an answer")
    func randomBytes() {
        var random = SealGenerator(seed: 3)
        let pieces: [[UInt8]] = [
            Array(TestKey.line(1).utf8), Array(TestKey.line(2).utf8), [0x0a], [0x23], [0x20], [0x00], [0xff], [0x0d],
            [0x61],
        ]
        var acceptedCount = 0
        for _ in 0..<2_000 {
            let bytes = (0..<Int.random(in: 0...8, using: &random)).flatMap { _ in
                pieces[Int.random(in: 0..<pieces.count, using: &random)]
            }
            if (try? KeyRing(parsing: bytes, path: "k")) != nil { acceptedCount += 1 }
        }
        #expect((20..<1_980).contains(acceptedCount), "\(acceptedCount)")
    }
}
