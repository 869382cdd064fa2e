import Policy
import Testing

@Suite("Mark matches")
struct MarkMatchTests {
    @Test(
        "A value is read, and a mask",
        arguments: [
            ("0", 0, UInt32.max, "0x0"), ("7", 7, .max, "0x7"), ("0007", 7, .max, "0x7"),
            ("4294967295", .max, .max, "0xffffffff"), ("0xFFFFffff", .max, .max, "0xffffffff"),
            ("0x10/0xf0", 0x10, 0xf0, "0x10/0xf0"), ("0/1", 0, 1, "0x0/0x1"), ("8/0x18", 8, 24, "0x8/0x18"),
            ("5/4294967295", 5, .max, "0x5"),
        ] as [(String, UInt32, UInt32, String)]
    )
    func valid(text: String, value: UInt32, mask: UInt32, written: String) throws {
        let match = try MarkMatch(parsing: text)
        #expect(match.value == value && match.mask == mask)
        #expect(match.description == written)
        #expect(try MarkMatch(parsing: written) == match)
    }

    @Test(
        "What is no mark is refused",
        arguments: [
            "", "/", "x", "0x", "0X1", "+1", "-1", "0x+1", "0x-1", " 7", "7 ", "7/", "/7", "1/2/3", "7/0x", "1.5",
            "4294967296", "0x100000000", "7/4294967296", "0b1", "1_000", "٣",
        ]
    )
    func malformed(text: String) {
        #expect(throws: MarkMatchError.malformed(text)) { try MarkMatch(parsing: text) }
    }

    @Test("A mask that leaves nothing, or less than the value, is refused with what may be meant")
    func masks() {
        #expect(throws: MarkMatchError.emptyMask("0/0")) { try MarkMatch(parsing: "0/0") }
        let error = #expect(throws: MarkMatchError.bitsOutsideMask("0x11/0xf0", meant: "0x10/0xf0")) {
            try MarkMatch(parsing: "0x11/0xf0")
        }
        #expect(error?.description.contains("\"0x10/0xf0\" is meant") == true)
    }

    @Test("The bits under the mask are compared, and no others")
    func matching() throws {
        let masked = try MarkMatch(parsing: "0x10/0xf0")
        #expect([0x10, 0x1f, 0xffff_ff10].allSatisfy { masked.matches($0) })
        #expect(![0, 0x11f & ~0x10, 0x30, 0xf0].contains { masked.matches($0) })
        let whole = try MarkMatch(parsing: "7")
        #expect(whole.matches(7) && !whole.matches(0x107) && !whole.matches(3))
        let unmarked = try MarkMatch(parsing: "0")
        #expect(unmarked.matches(0) && !unmarked.matches(1))
    }
}
