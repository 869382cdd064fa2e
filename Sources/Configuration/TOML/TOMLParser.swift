/// Reads a TOML 1.0 document and keeps the line of every key.
///
/// Of TOML's values it takes those that a setting can have: strings on one line, integers, booleans, lists and tables.
/// Floating-point numbers, dates and strings over several lines are refused by name.
///
/// It stands here in place of a library for two reasons. An operator's error message needs the line of each key, which
/// the parsers for Swift do not keep. And a slip of the pen must not end a daemon that is told to reload: toml++ 3.4,
/// on which they are built, aborts on the four characters `[=]`.
struct TOMLParser {
    /// Keys, lists and tables may be nested that deep.
    ///
    /// It bounds the recursion here and when the tables are released.
    static let depthMax = 32

    let bytes: [UInt8]
    var position = 0
    var line = 1
    var depth = 0

    /// The tables of a document in UTF-8.
    static func parse(_ bytes: [UInt8]) throws(TOMLError) -> TOMLTable {
        var parser = TOMLParser(bytes: bytes)
        return try parser.document()
    }

    private init(bytes: [UInt8]) {
        self.bytes = bytes
        // Editors of another system put a byte order mark in front.
        if bytes.starts(with: [0xef, 0xbb, 0xbf]) { position = 3 }
    }

    // MARK: Lines

    private mutating func document() throws(TOMLError) -> TOMLTable {
        let root = TOMLTable(line: 1, origin: .header)
        var table = root
        while true {
            try skipBlankLines()
            guard let byte = peek() else { return root }
            if byte == UInt8(ascii: "[") {
                table = try header(in: root)
            } else {
                try assignment(in: table)
            }
            try endOfLine()
        }
    }

    /// `[a.b]` or `[[a.b]]`: gives the table that the lines below it belong to.
    private mutating func header(in root: TOMLTable) throws(TOMLError) -> TOMLTable {
        position += 1
        let isArray = take("[")
        let names = try key()
        guard take("]"), !isArray || take("]") else {
            throw error("the header must end in \(isArray ? "]]" : "]"), with nothing but the name before it")
        }
        var table = root
        for name in names.dropLast() {
            table = try parent(name, in: table)
        }
        let name = names[names.count - 1]
        return isArray ? try addElement(name, to: table) : try define(name, in: table)
    }

    /// The table `name` in `table` on the way to a deeper header.
    private func parent(_ name: String, in table: TOMLTable) throws(TOMLError) -> TOMLTable {
        guard let node = table.nodes[name] else {
            let new = TOMLTable(line: line, origin: .implied)
            table.nodes[name] = TOMLNode(value: .table(new), line: line)
            return new
        }
        switch node.value {
        case .table(let found) where found.origin != .inline: return found
        // What stands below `[[a]]` belongs to its last element.
        case .tables(let elements): return elements[elements.count - 1]
        default: throw error("\"\(name.printable)\" is \(node.phrase) since line \(node.line): nothing can be added")
        }
    }

    private func define(_ name: String, in table: TOMLTable) throws(TOMLError) -> TOMLTable {
        guard let node = table.nodes[name] else {
            let new = TOMLTable(line: line, origin: .header)
            table.nodes[name] = TOMLNode(value: .table(new), line: line)
            return new
        }
        guard case .table(let found) = node.value, found.origin == .implied else {
            throw error("\"\(name.printable)\" is \(node.phrase) since line \(node.line): it cannot be defined again")
        }
        found.origin = .header
        return found
    }

    private func addElement(_ name: String, to table: TOMLTable) throws(TOMLError) -> TOMLTable {
        let new = TOMLTable(line: line, origin: .header)
        switch table.nodes[name]?.value {
        case nil:
            table.nodes[name] = TOMLNode(value: .tables([new]), line: line)
        case .tables(let elements):
            table.nodes[name]?.value = .tables(elements + [new])
        case .some:
            let node = table.nodes[name].map { "\($0.phrase) since line \($0.line)" } ?? ""
            throw error("\"\(name.printable)\" is \(node): it cannot be an array of tables, too")
        }
        return new
    }

    /// `a.b = value`.
    mutating func assignment(in table: TOMLTable) throws(TOMLError) {
        let startLine = line
        let names = try key()
        guard take("=") else { throw error("\"\(names.joined(separator: ".").printable)\" must be followed by =") }
        skipSpaces()

        var table = table
        for name in names.dropLast() {
            guard let node = table.nodes[name] else {
                let new = TOMLTable(line: startLine, origin: .dottedKey)
                table.nodes[name] = TOMLNode(value: .table(new), line: startLine)
                table = new
                continue
            }
            guard case .table(let found) = node.value, found.origin == .dottedKey else {
                throw error("\"\(name.printable)\" is \(node.phrase) since line \(node.line): nothing can be added")
            }
            table = found
        }
        let name = names[names.count - 1]
        if let node = table.nodes[name] {
            throw error("\"\(name.printable)\" is set on line \(node.line) already")
        }
        table.nodes[name] = TOMLNode(value: try value(), line: startLine)
    }

    /// A key, dotted or not, with the spaces around it.
    private mutating func key() throws(TOMLError) -> [String] {
        var names: [String] = []
        repeat {
            skipSpaces()
            names.append(try keyName())
            skipSpaces()
            guard depth + names.count <= Self.depthMax else { throw error("the key has too many parts") }
        } while take(".")
        return names
    }

    private mutating func keyName() throws(TOMLError) -> String {
        if let byte = peek(), byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") { return try string() }
        let start = position
        while let byte = peek(), Self.isBareKeyByte(byte) { position += 1 }
        guard position > start else {
            throw error("a key was expected (letters, digits, - and _), not \(shown())")
        }
        return text(start..<position)
    }

    /// Nothing but a comment may follow on a line.
    private mutating func endOfLine() throws(TOMLError) {
        skipSpaces()
        guard let byte = peek(), byte != UInt8(ascii: "#"), !isLineEnd() else { return }
        throw error("nothing may follow here on the line, but there is \(shown())")
    }

    // MARK: Bytes

    func error(_ text: String) -> TOMLError { TOMLError(line: line, text: text) }

    func peek(_ distance: Int = 0) -> UInt8? {
        position + distance < bytes.count ? bytes[position + distance] : nil
    }

    /// Steps over `character` if it comes next.
    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard peek() == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    mutating func skipSpaces() {
        while let byte = peek(), byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") { position += 1 }
    }

    /// Spaces, line ends and comments.
    mutating func skipBlankLines() throws(TOMLError) {
        while let byte = peek() {
            if byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") {
                position += 1
            } else if isLineEnd() {
                position += byte == UInt8(ascii: "\r") ? 2 : 1
                line += 1
            } else if byte == UInt8(ascii: "#") {
                while let byte = peek(), !isLineEnd() {
                    guard !Self.isControl(byte) else { throw error("a comment holds the control character \(shown())") }
                    position += 1
                }
            } else {
                return
            }
        }
    }

    /// Whether a line ends here: in `\n` or `\r\n`.
    func isLineEnd() -> Bool {
        peek() == UInt8(ascii: "\n") || (peek() == UInt8(ascii: "\r") && peek(1) == UInt8(ascii: "\n"))
    }

    /// What comes next, for an error's text.
    func shown() -> String {
        guard let byte = peek() else { return "the end of the file" }
        if isLineEnd() { return "the end of the line" }
        if Self.isControl(byte) { return "0x" + String(byte, radix: 16) }
        let rest = bytes[position...].prefix { $0 > 0x20 && $0 != 0x7f }.prefix(24)
        return "\"\(String(decoding: rest, as: UTF8.self).printable)\""
    }

    func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }

    static func isControl(_ byte: UInt8) -> Bool { (byte < 0x20 && byte != UInt8(ascii: "\t")) || byte == 0x7f }

    static func isBareKeyByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default:
            false
        }
    }
}
