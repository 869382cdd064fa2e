/// Swift source with comments and the text of strings blanked out, so that braces and words in it are code.
///
/// Line ends stay where they are. Regex literals are not known: one that holds a quote or a brace misleads it.
struct SwiftCode {
    let lines: [String]

    init(_ source: String) {
        var blanker = Blanker(characters: Array(source.utf8))
        blanker.run()
        let text = String(decoding: blanker.output, as: UTF8.self)
        lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }

    /// A function, initialiser or accessor block, from its first line to its closing brace.
    struct Function: Equatable {
        let line: Int
        let lineCount: Int
    }

    /// Every `func`, `init`, `deinit` and `subscript` that has a body, nested ones too.
    var functions: [Function] {
        var found: [Function] = []
        for (index, line) in lines.enumerated() where Self.startsFunction(line) {
            if let end = end(ofBodyFrom: index) { found.append(Function(line: index + 1, lineCount: end - index + 1)) }
        }
        return found
    }

    private static func startsFunction(_ line: String) -> Bool {
        // Cheap, and true for few lines; the pattern then decides.
        guard ["func ", "init", "subscript"].contains(where: { line.contains($0) }) else { return false }
        return line.contains(
            /^\s*(@\w+(\([^)]*\))? |[a-z]+(\(\w+\))? )*(func [\w<+=~!&|^%*\/-]+|init[?(<]|deinit\b|subscript[(<])/
        )
    }

    /// The line of the brace that closes the first body opened at or below `start`; nil if none is opened.
    private func end(ofBodyFrom start: Int) -> Int? {
        var parentheses = 0
        var braces = 0
        var isInBody = false
        for index in start..<lines.count {
            for character in lines[index].utf8 {
                switch character {
                case UInt8(ascii: "("), UInt8(ascii: "["): parentheses += 1
                case UInt8(ascii: ")"), UInt8(ascii: "]"): parentheses -= 1
                case UInt8(ascii: "{") where isInBody || parentheses == 0:
                    isInBody = true
                    braces += 1
                case UInt8(ascii: "}") where isInBody:
                    braces -= 1
                    if braces == 0 { return index }
                // The type around a requirement without body ends.
                case UInt8(ascii: "}") where parentheses == 0: return nil
                default: break
                }
            }
            // A requirement of a protocol: the next declaration begins before any body did.
            if !isInBody, parentheses == 0, index + 1 < lines.count, Self.startsFunction(lines[index + 1]) {
                return nil
            }
        }
        return nil
    }
}

private struct Blanker {
    /// What surrounds the current character.
    private enum Context {
        /// Code, and the parentheses open in it: an interpolation ends with the one that closes it.
        case code(parenthesisCount: Int)
        case string(isLong: Bool, poundCount: Int)
    }

    let characters: [UInt8]
    var output: [UInt8] = []
    private var position = 0
    private var contexts: [Context] = [.code(parenthesisCount: 0)]

    init(characters: [UInt8]) { self.characters = characters }

    mutating func run() {
        while position < characters.count {
            switch contexts[contexts.count - 1] {
            case .code(let parenthesisCount): code(parenthesisCount)
            case .string(let isLong, let poundCount): string(isLong, poundCount)
            }
        }
    }

    private mutating func code(_ parenthesisCount: Int) {
        // Most bytes are plain: looking for literals at each of them would take a minute in a debug build.
        guard Self.isSpecial(characters[position]) else { return copy() }
        if starts(with: "//") {
            while position < characters.count, characters[position] != UInt8(ascii: "\n") { blank(1) }
            return
        }
        if starts(with: "/*") { return blockComment() }
        let poundCount = characters[position...].prefix { $0 == UInt8(ascii: "#") }.count
        if starts(with: "\"", at: poundCount) {
            let isLong = starts(with: "\"\"\"", at: poundCount)
            contexts.append(.string(isLong: isLong, poundCount: poundCount))
            return blank(poundCount + (isLong ? 3 : 1))
        }
        switch characters[position] {
        case UInt8(ascii: "("):
            contexts[contexts.count - 1] = .code(parenthesisCount: parenthesisCount + 1)
        case UInt8(ascii: ")") where parenthesisCount == 1 && contexts.count > 1:
            contexts.removeLast()
            return blank(1)
        case UInt8(ascii: ")"):
            contexts[contexts.count - 1] = .code(parenthesisCount: parenthesisCount - 1)
        default:
            break
        }
        copy()
    }

    private static func isSpecial(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "/"), UInt8(ascii: "#"), UInt8(ascii: "\""), UInt8(ascii: "("), UInt8(ascii: ")"): true
        default: false
        }
    }

    private mutating func string(_ isLong: Bool, _ poundCount: Int) {
        let byte = characters[position]
        guard byte == UInt8(ascii: "\\") || byte == UInt8(ascii: "\"") else { return blank(1) }
        let pounds = String(repeating: "#", count: poundCount)
        if starts(with: "\\\(pounds)(") {
            contexts.append(.code(parenthesisCount: 1))
            return blank(2 + poundCount)
        }
        if starts(with: "\\\(pounds)") { return blank(2 + poundCount) }
        let end = (isLong ? "\"\"\"" : "\"") + pounds
        if starts(with: end) {
            contexts.removeLast()
            return blank(end.utf8.count)
        }
        blank(1)
    }

    private mutating func blockComment() {
        var depth = 0
        repeat {
            if starts(with: "/*") {
                depth += 1
                blank(2)
            } else if starts(with: "*/") {
                depth -= 1
                blank(2)
            } else {
                blank(1)
            }
        } while depth > 0 && position < characters.count
    }

    private mutating func copy() {
        output.append(characters[position])
        position += 1
    }

    private func starts(with text: String, at distance: Int = 0) -> Bool {
        characters[min(position + distance, characters.count)...].starts(with: text.utf8)
    }

    private mutating func blank(_ count: Int) {
        for _ in 0..<min(count, characters.count - position) {
            output.append(characters[position] == UInt8(ascii: "\n") ? UInt8(ascii: "\n") : UInt8(ascii: " "))
            position += 1
        }
    }
}
