internal import Policy

extension SectionReader {
    /// The file's traffic groups (`[[group]]`); what is wrong with one is reported, and it is left out.
    func trafficGroups() -> TrafficGroups {
        let sections = sections("group") ?? []
        let countMax = TrafficGroups.groupCountMax
        if sections.count > countMax {
            let text = "this is one [[group]] too many: at most \(countMax) are allowed, and there are"
            sections[countMax].problem("\(text) \(sections.count)")
        }
        var lines: [String: Int] = [:]
        return TrafficGroups(sections.compactMap { $0.trafficGroup(lines: &lines) })
    }

    /// The group of one `[[group]]`.
    ///
    /// - Parameter lines: The earlier groups' names and the lines that give them; gets this one's.
    private func trafficGroup(lines: inout [String: Int]) -> TrafficGroup? {
        let name = groupName(lines: &lines)
        let sources = networks("sources")
        let destinations = networks("destinations")
        let natAddresses = networks("nat-addresses")
        let marks = marks()
        let zones = zones()
        reportUnknownKeys()

        let lists = [sources?.count, destinations?.count, natAddresses?.count, marks?.count, zones?.count]
        // A list that could not be read has been reported as that.
        if lists.allSatisfy({ $0 == 0 }) {
            let keys = "sources, destinations, nat-addresses, marks or zones"
            problem("this [[group]] matches no flow: say which are its own by \(keys), or remove it")
        }
        guard let name, let sources, let destinations, let natAddresses, let marks, let zones else { return nil }
        return TrafficGroup(
            name: name,
            sources: sources,
            destinations: destinations,
            natAddresses: natAddresses,
            marks: marks,
            zones: zones
        )
    }

    private func groupName(lines: inout [String: Int]) -> String? {
        let rule = "1 to 32 of a-z, 0-9 and -, beginning with a letter"
        guard let name = string("name") else {
            if !isSet("name") { problem("name", "[[group]] needs name: \(rule), such as \"web\"") }
            return nil
        }
        guard name.isGroupName else {
            problem("name", "a group's name must be \(rule), not \"\(name.printable)\"")
            return nil
        }
        guard name != TrafficGroups.defaultName else {
            problem("name", "\"\(name)\" is the group of all flows that no [[group]] matches: choose another name")
            return nil
        }
        if let earlier = lines[name] {
            let text = "\"\(name)\" is the name of the [[group]] of line \(earlier) already"
            problem("name", "\(text): choose another name, or put the entries of both into one")
            return nil
        }
        lines[name] = line(of: "name")
        return name
    }

    /// The networks of a list, none if it is not set; nil if something in it is wrong.
    private func networks(_ key: String) -> [Network]? {
        entries(key, strings(key)) { text throws(AddressError) in try Network(parsing: text) }
    }

    private func marks() -> [MarkMatch]? {
        entries("marks", strings("marks")) { text throws(MarkMatchError) in try MarkMatch(parsing: text) }
    }

    private func entries<Entry, Problem>(
        _ key: String,
        _ texts: [(text: String, line: Int)]?,
        _ parse: (String) throws(Problem) -> Entry
    ) -> [Entry]? {
        guard let texts else { return isSet(key) ? nil : [] }
        var entries: [Entry] = []
        for (text, line) in texts {
            do throws(Problem) {
                entries.append(try parse(text.printable))
            } catch {
                problem(line: line, "\(key): \(error)")
            }
        }
        return entries.count == texts.count ? entries : nil
    }

    private func zones() -> [UInt16]? {
        let key = "zones"
        guard let numbers = integers(key) else { return isSet(key) ? nil : [] }
        var zones: [UInt16] = []
        for (number, line) in numbers {
            if let zone = UInt16(exactly: number), zone > 0 {
                zones.append(zone)
            } else if number == 0 {
                problem(line: line, "\(key): 0 is the zone of all flows that have been given none: name 1 to 65535")
            } else {
                problem(line: line, "\(key): a conntrack zone is from 1 to 65535, not \(number)")
            }
        }
        return zones.count == numbers.count ? zones : nil
    }
}

extension String {
    /// Whether a traffic group can have this name; it becomes part of the names of a table and of a file.
    fileprivate var isGroupName: Bool {
        let letters = UInt8(ascii: "a")...UInt8(ascii: "z")
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        return (1...32).contains(utf8.count) && utf8.first.map(letters.contains) == true
            && utf8.allSatisfy { letters.contains($0) || digits.contains($0) || $0 == UInt8(ascii: "-") }
    }
}
