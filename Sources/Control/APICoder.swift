public import FoundationEssentials

/// The JSON of the local API: keys sorted, so that two answers can be compared line by line.
public enum APICoder {
    /// Why a value and its JSON do not fit together.
    public struct CodingFailure: Error, CustomStringConvertible {
        /// What JSONEncoder or JSONDecoder said.
        public let description: String
    }

    /// The JSON of an answer, with a newline at its end.
    ///
    /// - Throws: `CodingFailure`, for a number that JSON cannot hold (not a number, infinite).
    public static func encode(_ value: some Encodable) throws(CodingFailure) -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            var data = try encoder.encode(value)
            data.append(UInt8(ascii: "\n"))
            return data
        } catch {
            throw CodingFailure(description: "\(error)")
        }
    }

    /// The value of an answer's JSON.
    ///
    /// - Throws: `CodingFailure`, if the bytes are not the JSON of such a value.
    public static func decode<Value: Decodable>(
        _ type: Value.Type,
        from bytes: [UInt8]
    ) throws(CodingFailure) -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch {
            throw CodingFailure(description: "\(error)")
        }
    }
}
