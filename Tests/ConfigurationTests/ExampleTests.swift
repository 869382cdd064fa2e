import Configuration
import SystemIO
import Testing

@Suite("The example configuration")
struct ExampleTests {
    /// The repository's root, four levels above this file.
    private static let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
        .joined(separator: "/")

    private func example() throws -> String {
        String(decoding: try SystemFile.read(Self.root + "/Config/flowsyncd.toml"), as: UTF8.self)
    }

    @Test("Config/flowsyncd.toml is valid as it stands")
    func isValid() throws {
        #expect(try problems(of: example()) == [])
    }

    @Test("What it comments out as a default is the default, and all keys are shown")
    func showsDefaults() throws {
        let text = try example()
        // The udp link is an alternative, not a default.
        let alternative = try #require(text.firstRange(of: "# [[sync.link]]"))
        let kernel = try #require(text.firstRange(of: "[kernel]"))
        let withoutAlternative = text[..<alternative.lowerBound] + text[kernel.lowerBound...]
        let shown = withoutAlternative.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            let isSetting = line.wholeMatch(of: /# [a-z-]+ = .*/) != nil
            return isSetting ? String(line.dropFirst(2)) : String(line)
        }
        var configuration = try parse(shown.joined(separator: "\n"))
        #expect(configuration.nodeName == "r1")
        configuration.nodeName = "router"
        #expect(try configuration == parse(text))
        for key in ["name", "port", "event-buffer", "event-buffer-max", "protocols", "ignore-addresses", "socket"] {
            #expect(shown.contains { $0.hasPrefix("\(key) = ") }, "\(key)")
        }
    }

    @Test("The udp link it shows is valid, too")
    func alternative() throws {
        let text = try example()
        let start = try #require(text.firstRange(of: "# [[sync.link]]"))
        let kernel = try #require(text.firstRange(of: "[kernel]"))
        let lines = text[start.lowerBound..<kernel.lowerBound].split(separator: "\n").map { $0.dropFirst(2) }
        #expect(problems(of: "[sync]\ninsecure = true\n" + lines.joined(separator: "\n")) == [])
    }
}
