/// Which conntrack marks are meant: those whose bits under a mask equal a value, written `VALUE` or `VALUE/MASK`.
public struct MarkMatch: Hashable, Sendable, CustomStringConvertible {
    /// The bits wanted; those outside the mask are zero.
    public let value: UInt32
    /// The bits that are compared; never zero, which would be every mark.
    public let mask: UInt32

    /// The match of its text form, each number decimal or, after `0x`, hexadecimal.
    ///
    /// Without a mask all 32 bits are compared.
    public init(parsing text: String) throws(MarkMatchError) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let value = Self.number(parts[0]) else { throw .malformed(text) }
        guard parts.count == 2 else {
            self.value = value
            mask = .max
            return
        }
        guard let mask = Self.number(parts[1]) else { throw .malformed(text) }
        guard mask != 0 else { throw .emptyMask(text) }
        guard value & ~mask == 0 else {
            throw .bitsOutsideMask(text, meant: Self.text(value & mask, mask))
        }
        self.value = value
        self.mask = mask
    }

    /// Whether a flow with this mark is meant.
    public func matches(_ mark: UInt32) -> Bool { mark & mask == value }

    /// The text form in hexadecimal; without the mask if it is all of the mark.
    public var description: String { Self.text(value, mask) }

    private static func text(_ value: UInt32, _ mask: UInt32) -> String {
        let value = "0x" + String(value, radix: 16)
        return mask == .max ? value : "\(value)/0x\(String(mask, radix: 16))"
    }

    private static func number(_ text: Substring) -> UInt32? {
        let isHexadecimal = text.hasPrefix("0x")
        let digits = isHexadecimal ? text.dropFirst(2) : text
        // UInt32 itself would take a sign, too.
        guard let first = digits.utf8.first, first != UInt8(ascii: "+"), first != UInt8(ascii: "-") else { return nil }
        return UInt32(digits, radix: isHexadecimal ? 16 : 10)
    }
}

/// Why a text says of no mark whether it is meant.
public enum MarkMatchError: Error, Equatable, CustomStringConvertible {
    /// The text is not one number of 32 bits, or two with a slash between them.
    case malformed(String)
    /// The mask is zero.
    case emptyMask(String)
    /// No mark could ever match; `meant` is without the bits that the mask leaves out.
    case bitsOutsideMask(String, meant: String)

    /// What is wrong, in words for the operator.
    public var description: String {
        switch self {
        case .malformed(let text):
            "\"\(text)\" is not a mark: write VALUE or VALUE/MASK, each decimal or 0x and hexadecimal, up to 0xffffffff"
        case .emptyMask(let text):
            "\"\(text)\" has a mask without a bit, which every mark matches: write the bits that count after the slash"
        case .bitsOutsideMask(let text, let meant):
            "\"\(text)\" has bits set that its mask leaves out, which no mark matches; perhaps \"\(meant)\" is meant"
        }
    }
}
