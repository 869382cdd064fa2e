extension TOMLParser {
    /// The value that comes next.
    mutating func value() throws(TOMLError) -> TOMLNode.Value {
        switch peek() {
        case UInt8(ascii: "\""), UInt8(ascii: "'"): .string(try string())
        case UInt8(ascii: "["): .list(try nested { parser throws(TOMLError) in try parser.list() })
        case UInt8(ascii: "{"): .table(try nested { parser throws(TOMLError) in try parser.inlineTable() })
        default: try scalar()
        }
    }

    private mutating func nested<Result>(
        _ body: (inout TOMLParser) throws(TOMLError) -> Result
    ) throws(TOMLError) -> Result {
        guard depth < Self.depthMax else { throw error("lists and tables are nested too deeply") }
        depth += 1
        defer { depth -= 1 }
        return try body(&self)
    }

    private mutating func list() throws(TOMLError) -> [TOMLNode] {
        let startLine = line
        position += 1
        var nodes: [TOMLNode] = []
        while true {
            try skipBlankLines()
            if take("]") { return nodes }
            let elementLine = line
            nodes.append(TOMLNode(value: try value(), line: elementLine))
            try skipBlankLines()
            if take("]") { return nodes }
            guard take(",") else {
                throw error("the list begun on line \(startLine) goes on with , or ends with ], not \(shown())")
            }
        }
    }

    /// TOML 1.0 keeps an inline table on one line, without a comma at its end.
    private mutating func inlineTable() throws(TOMLError) -> TOMLTable {
        let table = TOMLTable(line: line, origin: .inline)
        position += 1
        skipSpaces()
        if take("}") { return table }
        while true {
            try assignment(in: table)
            skipSpaces()
            if take("}") { return table }
            guard take(",") else { throw error("the inline table goes on with , or ends with }, not \(shown())") }
            skipSpaces()
        }
    }

    // MARK: Strings

    /// A string in double quotes (with escapes) or single quotes (without).
    mutating func string() throws(TOMLError) -> String {
        let quote = bytes[position]
        if peek(1) == quote, peek(2) == quote {
            throw error("strings over several lines are not read here: no setting needs one")
        }
        position += 1
        var text: [UInt8] = []
        while let byte = peek(), !isLineEnd() {
            guard !Self.isControl(byte) else {
                throw error("a string holds the control character \(shown()); it can be written as an escape")
            }
            position += 1
            if byte == quote { return String(decoding: text, as: UTF8.self) }
            if byte == UInt8(ascii: "\\"), quote == UInt8(ascii: "\"") {
                text.append(contentsOf: try escape().utf8)
            } else {
                text.append(byte)
            }
        }
        throw error("the string is not closed: its quote is missing at the end of the line")
    }

    /// What stands for the escape sequence whose backslash was just read.
    private mutating func escape() throws(TOMLError) -> String {
        guard let byte = peek(), !isLineEnd() else { throw error("the string ends in a backslash") }
        position += 1
        switch byte {
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "\""): return "\""
        case UInt8(ascii: "\\"): return "\\"
        case UInt8(ascii: "u"): return try unicodeEscape(digitCount: 4)
        case UInt8(ascii: "U"): return try unicodeEscape(digitCount: 8)
        default:
            throw error("a backslash must be written twice, or as one of \\b \\t \\n \\f \\r \\\" \\uXXXX \\UXXXXXXXX")
        }
    }

    private mutating func unicodeEscape(digitCount: Int) throws(TOMLError) -> String {
        let digits = bytes[position...].prefix(digitCount)
        guard
            digits.count == digitCount, digits.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }),
            let number = UInt32(String(decoding: digits, as: UTF8.self), radix: 16),
            let scalar = Unicode.Scalar(number)
        else {
            throw error("\\u and \\U need 4 and 8 hexadecimal digits of a Unicode character")
        }
        // Interfaces, paths and names end up in C strings, where it would cut them off.
        guard number != 0 else { throw error("a NUL character has no meaning in any key or value") }
        position += digitCount
        return String(scalar)
    }

    // MARK: Numbers and booleans

    private mutating func scalar() throws(TOMLError) -> TOMLNode.Value {
        let start = position
        while let byte = peek(), Self.isBareKeyByte(byte) || byte == UInt8(ascii: "+") || byte == UInt8(ascii: ".") {
            position += 1
        }
        let word = text(start..<position)
        switch word {
        case "true": return .boolean(true)
        case "false": return .boolean(false)
        default:
            if let number = Self.integer(word) { return .integer(number) }
            position = start
            throw error("a value was expected (\"text\", an integer, true, false, [list] or {table}), not \(shown())")
        }
    }

    /// A TOML integer: decimal with a sign, or 0x, 0o, 0b without, and `_` between digits.
    ///
    /// Nil if it is none or too large.
    private static func integer(_ word: String) -> Int? {
        let bytes = Array(word.utf8)
        let radices: [(prefix: String, radix: Int)] = [("0x", 16), ("0o", 8), ("0b", 2)]
        let prefixed = radices.first { word.hasPrefix($0.prefix) }
        let signLength = bytes.first == UInt8(ascii: "+") || bytes.first == UInt8(ascii: "-") ? 1 : 0
        let digits = bytes.dropFirst(prefixed == nil ? signLength : 2)
        let underscore = UInt8(ascii: "_")
        guard let first = digits.first, first != underscore, digits.last != underscore else { return nil }
        guard !zip(digits, digits.dropFirst()).contains(where: { $0 == underscore && $1 == underscore }) else {
            return nil
        }
        // Int(_:radix:) takes a sign of its own.
        guard first != UInt8(ascii: "+"), first != UInt8(ascii: "-") else { return nil }
        let hasLeadingZero = first == UInt8(ascii: "0") && digits.count > 1
        guard prefixed != nil || !hasLeadingZero else { return nil }
        let sign = prefixed == nil && signLength == 1 ? String(decoding: bytes.prefix(1), as: UTF8.self) : ""
        let text = String(decoding: digits.filter { $0 != underscore }, as: UTF8.self)
        return Int(sign + text, radix: prefixed?.radix ?? 10)
    }
}
