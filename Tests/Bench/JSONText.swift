internal import Foundation
public import Lab

/// JSON to and from text.
public enum JSONText {
    /// One line.
    public static func encode(_ value: some Encodable, isPretty: Bool = false) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = isPretty ? [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes] : [.sortedKeys]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    /// The value that a text holds.
    public static func decode<Value: Decodable>(_ text: String) throws(LabError) -> Value {
        do {
            return try JSONDecoder().decode(Value.self, from: Data(text.utf8))
        } catch {
            throw LabError("unreadable JSON: \(error): \(text.prefix(200))")
        }
    }
}
