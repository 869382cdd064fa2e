import Configuration
import Policy
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
        // The udp and tcp links are alternatives, not defaults; and there is no group.
        let alternative = try #require(text.firstRange(of: "# [[sync.link]]"))
        let kernel = try #require(text.firstRange(of: "[kernel]"))
        let group = try #require(text.firstRange(of: "# [[group]]"))
        let control = try #require(text.firstRange(of: "[control]"))
        let withoutExamples =
            text[..<alternative.lowerBound] + text[kernel.lowerBound..<group.lowerBound] + text[control.lowerBound...]
        let shown = withoutExamples.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            let isSetting = line.wholeMatch(of: /# [a-z-]+ = .*/) != nil
            return isSetting ? String(line.dropFirst(2)) : String(line)
        }
        var configuration = try parse(shown.joined(separator: "\n"))
        #expect(configuration.nodeName == "r1")
        configuration.nodeName = "router"
        #expect(try configuration == parse(text))
        let keys = [
            "name", "key-file", "mode", "port", "event-buffer", "event-buffer-max", "commit",
            "gate-interfaces", "protocols", "ignore-addresses", "socket",
        ]
        for key in keys {
            #expect(shown.contains { $0.hasPrefix("\(key) = ") }, "\(key)")
        }
    }

    @Test("The links it comments out are valid, too, beside the first one and in its place")
    func otherLinks() throws {
        let text = try example()
        let start = try #require(text.firstRange(of: "# [[sync.link]]"))
        let kernel = try #require(text.firstRange(of: "[kernel]"))
        let lines = text[start.lowerBound..<kernel.lowerBound].split(separator: "\n").map { $0.dropFirst(2) }
        let others = lines.joined(separator: "\n") + "\n"
        let beside = try parse(text[..<start.lowerBound] + others + text[kernel.lowerBound...]).sync.links
        #expect(beside.count == 3)
        #expect(try parse("[sync]\ninsecure = true\n" + others).sync.links == Array(beside.dropFirst()))
    }

    @Test("The group that it comments out is valid, too, and has every key")
    func group() throws {
        let text = try example()
        let start = try #require(text.firstRange(of: "# [[group]]"))
        let control = try #require(text.firstRange(of: "[control]"))
        let lines = text[start.lowerBound..<control.lowerBound].split(separator: "\n").map { $0.dropFirst(2) }
        let group = lines.joined(separator: "\n") + "\n"
        let groups = try parse(text[..<start.lowerBound] + group + text[control.lowerBound...]).groups
        #expect(groups.names == ["default", "web"])
        let web = try #require(groups.groups.first)
        #expect(![web.sources, web.destinations, web.natAddresses].contains([]))
        #expect(!web.marks.isEmpty && !web.zones.isEmpty)
    }
}
