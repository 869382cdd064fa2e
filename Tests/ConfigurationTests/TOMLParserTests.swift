import Testing

@testable import Configuration

@Suite("The TOML reader")
struct TOMLParserTests {
    /// A document in one line: `key=value@line`, tables in braces, keys sorted.
    private func outline(_ text: String) throws -> String {
        try outline(TOMLParser.parse(Array(text.utf8)))
    }

    private func outline(_ table: TOMLTable) -> String {
        let entries = table.nodes.sorted { $0.key < $1.key }.map { "\($0.key)=\(outline($0.value))" }
        return "{" + entries.joined(separator: " ") + "}"
    }

    private func outline(_ node: TOMLNode) -> String {
        let value =
            switch node.value {
            case .string(let string): string.debugDescription
            case .integer(let integer): "\(integer)"
            case .boolean(let boolean): "\(boolean)"
            case .list(let list): "[" + list.map(outline).joined(separator: " ") + "]"
            case .table(let table): outline(table)
            case .tables(let tables): "[[" + tables.map(outline).joined(separator: " ") + "]]"
            }
        return "\(value)@\(node.line)"
    }

    @Test(
        "Values, keys and tables are read with their lines",
        arguments: [
            ("", "{}"),
            ("\u{feff}a = 1", "{a=1@1}"),
            ("# only a comment", "{}"),
            ("a = 1\r\nb = 2\r\n", "{a=1@1 b=2@2}"),
            ("\n\na = \"x\" # comment", "{a=\"x\"@3}"),
            ("a='C:\\new # not a comment'", "{a=\"C:\\\\new # not a comment\"@1}"),
            (#"a="\t\"\\\u00e9\U0001F600""#, "{a=\"\\t\\\"\\\\é😀\"@1}"),
            (
                "a=0\nb=-17\nc=+9\nd=1_000\ne=0xff\nf=0o17\ng=0b1_1",
                "{a=0@1 b=-17@2 c=9@3 d=1000@4 e=255@5 f=15@6 g=3@7}"
            ),
            ("a=-9223372036854775808\nb=9223372036854775807", "{a=-9223372036854775808@1 b=9223372036854775807@2}"),
            ("a=true\nb=false", "{a=true@1 b=false@2}"),
            ("a=[]\nb=[1,\n # two\n 2,\n]\nc=[[1],[\"x\"]]", "{a=[]@1 b=[1@2 2@4]@2 c=[[1@6]@6 [\"x\"@6]@6]@6}"),
            ("a.b = 1\na . 'c d' = 2\na.\"é\" = 3", "{a={b=1@1 c d=2@2 é=3@3}@1}"),
            ("1234 = 1\n-_- = 2\n'' = 3", "{=3@3 -_-=2@2 1234=1@1}"),
            ("a = {}\nb = { c.d = 1, e = [ {} ] }", "{a={}@1 b={c={d=1@2}@2 e=[{}@2]@2}@2}"),
            ("[a]\nx=1\n[ a . b ]\ny=2\n[c.d]\n[c]\nz=3", "{a={b={y=2@4}@3 x=1@2}@1 c={d={}@5 z=3@7}@5}"),
            ("[[a]]\nx=1\n[a.b]\n[[a]]\n[a.b]\n[[a.c]]\n[[a.c]]", "{a=[[{b={}@3 x=1@2} {b={}@5 c=[[{} {}]]@6}]]@1}"),
            ("a.b.c=1\na.b.d=2\n[a.b.e]\n[f]\na.b=1", "{a={b={c=1@1 d=2@2 e={}@3}@1}@1 f={a={b=1@5}@5}@4}"),
        ]
    )
    func valid(text: String, expected: String) throws {
        #expect(try outline(text) == expected)
    }

    @Test(
        "What is no TOML is refused",
        arguments: [
            "a", "a =", "= 1", "a = b", "a b = 1", "a. = 1", ".a = 1", "a..b = 1", "a = 1 b = 2", "é = 1",
            "a = 1\rb = 2",
            "[", "[]", "[=]", "[a", "[a]]", "[[a]", "[[]]", "[a] b", "[a.]", "[.a]", "[ [a]]", "[[a] ]", "[a\n]",
            "[a]\n[a]", "a = 1\n[a]", "[a]\n[[a]]", "[[a]]\n[a]", "a = []\n[[a]]", "a = {}\n[a.b]", "a = {}\n[a]",
            "a = 1\na = 2", "a = 1\na.b = 2", "a.b = 1\na = 2", "a = {}\na.b = 1", "a.b = 1\n[a]",
            "[a.b]\n[a]\nb.c = 1",
            "a = {b = 1,}", "a = {b = 1\n}", "a = {,}", "a = {b}", "a = {b = 1 c = 2}", "a = {b = 1, b = 2}", "a = {",
            "a = [", "a = [,]", "a = [1 2]", "a = [1,,2]", "a = ]", "a = \"", "a = '", "a = \"b\nc\"", "a = \"\\q\"",
            "a = \"\\u12\"", "a = \"\\ud800\"", "a = \"\\U00110000\"", "a = \"\\u+123\"", "a = \"\\", "a = \"\u{1}\"",
            "# \u{1}", "a = \"\u{7f}\"", "a = 01", "a = +-1", "a = 1_", "a = _1", "a = 1__0", "a = 0x", "a = 0x_1",
            "a = +0x1", "a = 0x-1", "a = 0b2", "a = 9223372036854775808", "a = 1.", "a = TRUE", "\u{0}",
        ]
    )
    func invalid(text: String) {
        #expect(throws: TOMLError.self) { try TOMLParser.parse(Array(text.utf8)) }
    }

    @Test(
        "TOML that no setting needs is refused by name or as a value",
        arguments: ["a = 1.5", "a = 1e3", "a = nan", "a = 1979-05-27T07:32:00Z", "a = \"\"\"x\"\"\"", "a = '''x'''"]
    )
    func unused(text: String) {
        #expect(throws: TOMLError.self) { try TOMLParser.parse(Array(text.utf8)) }
    }

    @Test("Nesting ends at its limit")
    func depth() throws {
        func nested(_ count: Int) -> [UInt8] {
            Array("a = \(String(repeating: "[", count: count))\(String(repeating: "]", count: count))".utf8)
        }
        _ = try TOMLParser.parse(nested(TOMLParser.depthMax))
        #expect(throws: TOMLError.self) { try TOMLParser.parse(nested(TOMLParser.depthMax + 1)) }
        for text in ["a.", "[a.", "a = {a.", "a = [", "a = {a ="] {
            let deep = Array(String(repeating: text, count: 100_000).utf8)
            #expect(throws: TOMLError.self) { try TOMLParser.parse(deep) }
        }
    }
}
