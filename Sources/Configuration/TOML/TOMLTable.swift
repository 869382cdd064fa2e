/// A value in a TOML document, and where it stands.
struct TOMLNode {
    enum Value {
        case string(String)
        case integer(Int)
        case boolean(Bool)
        case list([TOMLNode])
        case table(TOMLTable)
        /// An array of tables: one per `[[header]]`.
        case tables([TOMLTable])
    }

    var value: Value
    /// The line of the key, header or list element, counted from 1.
    let line: Int

    /// What the value is, in a sentence.
    var phrase: String {
        switch value {
        case .string: "a string"
        case .integer: "an integer"
        case .boolean: "a boolean"
        case .list: "a list"
        case .table: "a table"
        case .tables: "an array of tables"
        }
    }
}

/// A table in a TOML document.
///
/// A class, because headers go back to tables that were begun before.
final class TOMLTable {
    /// How the table came to be, which decides what may still add to it.
    enum Origin {
        /// `[a.b]` alone makes `a`; a later `[a]` may still define it.
        case implied
        /// `[a]`, `[[a]]` or the document itself.
        case header
        /// `a.b = 1` makes `a`; further dotted keys may add to it.
        case dottedKey
        /// `a = { … }`: complete as it stands.
        case inline
    }

    /// The line that made it.
    let line: Int
    var origin: Origin
    var nodes: [String: TOMLNode] = [:]

    init(line: Int, origin: Origin) {
        self.line = line
        self.origin = origin
    }
}

/// A text that is not TOML, or not the part of it that is read here.
struct TOMLError: Error {
    let line: Int
    let text: String
}
