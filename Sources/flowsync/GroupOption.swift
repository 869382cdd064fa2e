import ArgumentParser

/// The traffic group that a command is about.
struct GroupOption: ParsableArguments {
    @Option(help: ArgumentHelp("Only this traffic group, as [[group]] names it.", valueName: "name"))
    var group: String?

    /// What the request's path ends in; the name is checked, so that nothing in it needs an escape.
    var query: String { group.map { "?group=\($0)" } ?? "" }

    func validate() throws {
        let isName = group?.utf8.allSatisfy { byte in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || byte == UInt8(ascii: "-")
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
        }
        if isName == false || group?.isEmpty == true {
            throw ValidationError("a traffic group's name consists of a-z, 0-9 and -, not \"\(group ?? "")\"")
        }
    }
}
