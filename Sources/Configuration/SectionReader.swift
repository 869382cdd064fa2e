/// The problems found so far.
final class ProblemReport {
    private(set) var problems: [ConfigurationError.Problem] = []

    func add(line: Int?, _ text: String) {
        problems.append(.init(line: line, text: text))
    }
}

/// Reads the keys of one table and remembers which it was asked for, so that what is left over is unknown.
///
/// A value of the wrong type is reported and read as nil, as is a missing one; `isSet` tells the two apart.
final class SectionReader {
    /// How the table is written in the file: `[sync]`, `[[sync.link]]`; empty for the file itself.
    let title: String

    private let path: [String]
    /// Nil if the file has no such table; then every key is missing.
    private let table: TOMLTable?
    private let report: ProblemReport
    private var known: [String] = []

    /// The reader of a whole document.
    convenience init(document: TOMLTable, report: ProblemReport) {
        self.init(document, path: [], title: "", report: report)
    }

    private init(_ table: TOMLTable?, path: [String], title: String, report: ProblemReport) {
        self.table = table
        self.path = path
        self.title = title
        self.report = report
    }

    // MARK: Values

    func string(_ key: String, wanted: String = "a string") -> String? {
        value(key, wanted) { if case .string(let string) = $0.value { string } else { nil } }
    }

    func integer(_ key: String) -> Int? {
        value(key, "an integer") { if case .integer(let integer) = $0.value { integer } else { nil } }
    }

    func boolean(_ key: String) -> Bool? {
        value(key, "true or false") { if case .boolean(let boolean) = $0.value { boolean } else { nil } }
    }

    /// The strings of a list, each with its line.
    func strings(_ key: String) -> [(text: String, line: Int)]? {
        elements(key, "a list of strings") { if case .string(let string) = $0 { string } else { nil } }
            .map { $0.map { (text: $0.element, line: $0.line) } }
    }

    /// The integers of a list, each with its line.
    func integers(_ key: String) -> [(number: Int, line: Int)]? {
        elements(key, "a list of integers") { if case .integer(let integer) = $0 { integer } else { nil } }
            .map { $0.map { (number: $0.element, line: $0.line) } }
    }

    /// The elements of a list that `read` takes; the others are reported.
    private func elements<Element>(
        _ key: String,
        _ wanted: String,
        _ read: (TOMLNode.Value) -> Element?
    ) -> [(element: Element, line: Int)]? {
        let list = value(key, wanted) { if case .list(let list) = $0.value { list } else { nil } }
        return list?.enumerated().compactMap { index, node in
            if let element = read(node.value) { return (element, node.line) }
            report.add(line: node.line, "\(key) must be \(wanted); element \(index + 1) is \(node.phrase)")
            return nil
        }
    }

    /// The sub-table at `key`, empty if the file has none.
    func section(_ key: String) -> SectionReader {
        let table = value(key, "a table") { if case .table(let table) = $0.value { table } else { nil } }
        let path = path + [key]
        return SectionReader(table, path: path, title: "[\(path.joined(separator: "."))]", report: report)
    }

    /// The tables of an array of tables (`[[…]]`); nil if the key is missing or something else, which is reported.
    func sections(_ key: String) -> [SectionReader]? {
        let path = path + [key]
        let title = "[[\(path.joined(separator: "."))]]"
        let tables = value(key, "an array of tables, written as \(title) with two brackets on each side") { node in
            switch node.value {
            case .tables(let tables):
                return tables
            case .list(let list):
                let tables = list.compactMap { if case .table(let table) = $0.value { table } else { nil } }
                return tables.count == list.count && !list.isEmpty ? tables : nil
            default:
                return nil
            }
        }
        return tables?.map { SectionReader($0, path: path, title: title, report: report) }
    }

    // MARK: Problems

    /// Whether the file has the key, of whatever type.
    func isSet(_ key: String) -> Bool { table?.nodes[key] != nil }

    /// The line that begins the section; nil if the file has none.
    var line: Int? { table?.line }

    /// The line of the key; nil if it is not set.
    func line(of key: String) -> Int? { table?.nodes[key]?.line }

    /// Notes a problem with the section as a whole.
    func problem(_ text: String) {
        report.add(line: table?.line, text)
    }

    /// Notes a problem with the value of `key`; with the whole section if it has no such key.
    func problem(_ key: String, _ text: String) {
        report.add(line: line(of: key) ?? (path.isEmpty ? nil : table?.line), text)
    }

    /// Notes a problem with a line, such as a list's element.
    func problem(line: Int, _ text: String) {
        report.add(line: line, text)
    }

    /// Reports every key that was not asked for.
    func reportUnknownKeys() {
        for (key, node) in table?.nodes ?? [:] where !known.contains(key) {
            let place = path.isEmpty ? "at the top of the file" : "in \(title)"
            let guess = guess(key, among: known)
            report.add(line: node.line, "unknown key \"\(key.printable)\" \(place)\(guess)")
        }
    }

    /// The end of a sentence about an unknown name: the nearest known one, and all of them.
    func guess(_ name: String, among allowed: [String]) -> String {
        let nearest = nearestName(to: name, among: allowed).map { "; did you mean \"\($0)\"?" } ?? "."
        return "\(nearest) Allowed: \(allowed.joined(separator: ", "))."
    }

    private func value<Value>(_ key: String, _ wanted: String, _ read: (TOMLNode) -> Value?) -> Value? {
        if !known.contains(key) { known.append(key) }
        guard let node = table?.nodes[key] else { return nil }
        if let value = read(node) { return value }
        report.add(line: node.line, "\(key) must be \(wanted), not \(node.phrase)")
        return nil
    }
}

extension String {
    /// Whether an interface can have this name, by the kernel's own rule (`dev_valid_name`).
    ///
    /// IFNAMSIZ is 16 with its NUL.
    var isInterfaceName: Bool {
        (1...15).contains(utf8.count) && self != "." && self != ".."
            && utf8.allSatisfy { byte in byte > 0x20 && byte != UInt8(ascii: "/") && byte != UInt8(ascii: ":") }
    }

    /// The end of a sentence about a text for which `isInterfaceName` is false.
    static let interfaceNameRule = "cannot be an interface's name (1 to 15 bytes, no space, / or :)"

    /// The text for an error message: one line, no control characters, not endless.
    var printable: String {
        let characterCountMax = 60
        let shown = unicodeScalars.prefix(characterCountMax).map { scalar in
            scalar.properties.generalCategory == .control ? "\u{fffd}" : String(scalar)
        }
        return shown.joined() + (unicodeScalars.count > characterCountMax ? "…" : "")
    }
}
