import Testing

@Suite("Sizes")
struct SizeTests {
    private static let lineCountMax = 600
    private static let columnCountMax = 120
    private static let functionLineCountMax = 70

    private func sources() throws -> [Repository.File] {
        try Repository.files(in: ["Sources", "Tests"], suffixes: [".swift", ".c", ".h"])
            + [try Repository.read("Package.swift")]
    }

    @Test("No file is longer than one can hold in the head")
    func files() throws {
        let sources = try sources()
        #expect(sources.count > 60, "the tree was not found below \(Repository.root)")
        for file in sources {
            #expect(file.lines.count <= Self.lineCountMax + 1, "\(file.path) has \(file.lines.count - 1) lines")
        }
    }

    @Test("No line is longer than the screen is wide")
    func lines() throws {
        for file in try sources() {
            for (index, line) in file.lines.enumerated()
            where line.utf8.count > Self.columnCountMax
                && line.count > Self.columnCountMax
            {
                Issue.record("\(file.path):\(index + 1) has \(line.count) columns")
            }
        }
    }

    @Test("No function is longer than a screen is high")
    func functions() throws {
        var functionCount = 0
        for file in try Repository.files(in: ["Sources", "Tests"]) {
            let functions = SwiftCode(file.text).functions
            functionCount += functions.count
            for function in functions where function.lineCount > Self.functionLineCountMax {
                Issue.record("\(file.path):\(function.line): the function has \(function.lineCount) lines")
            }
        }
        #expect(functionCount > 500, "functions are not recognised any more")
    }

    @Test("The measure itself: strings, comments, interpolations and nested bodies")
    func measure() {
        let code = SwiftCode(
            #"""
            protocol P {
                func requirement()
                init(a: Int)
            }
            struct S {
                init() {}
                public static func one(
                    a: () -> Void = { print("}") }
                ) -> String {
                    // }
                    /* } /* } */ } */
                    let text = "} \(f("}", { "\("}")" })) {"
                    let long = """
                        } \(text) "
                        """
                    func nested() {
                        print(#"}"# + "\\")
                    }
                    return text + long
                }
                var functions: Int { 1 }
            }
            """#
        )
        let expected = [
            SwiftCode.Function(line: 6, lineCount: 1), SwiftCode.Function(line: 7, lineCount: 14),
            SwiftCode.Function(line: 16, lineCount: 3),
        ]
        #expect(code.functions == expected)
    }
}
