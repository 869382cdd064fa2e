extension SectionReader {
    /// The settings of `[takeover]`; nil if something in it is wrong, which is reported.
    ///
    /// - Parameter linkInterfaceLines: The sync links' interfaces and the lines that name them.
    func takeoverSettings(linkInterfaceLines: [String: Int]) -> TakeoverSettings? {
        let commit = commitMode()
        let gateInterfaces = gateInterfaces(linkInterfaceLines)
        guard let commit, let gateInterfaces else { return nil }
        return TakeoverSettings(commit: commit, gateInterfaces: gateInterfaces)
    }

    private func commitMode() -> CommitMode? {
        guard let name = string("commit") else { return isSet("commit") ? nil : .onTakeover }
        guard let mode = CommitMode(rawValue: name) else {
            let guess = guess(name, among: CommitMode.allCases.map(\.rawValue))
            problem("commit", "unknown time of the commit \"\(name.printable)\"\(guess)")
            return nil
        }
        return mode
    }

    private func gateInterfaces(_ linkInterfaceLines: [String: Int]) -> [String]? {
        let key = "gate-interfaces"
        guard let names = strings(key) else { return isSet(key) ? nil : [] }
        let countMax = TakeoverSettings.gateInterfaceCountMax
        if names.count > countMax {
            problem(key, "\(key) names \(names.count) interfaces: at most \(countMax) are allowed")
            return nil
        }
        var lines: [String: Int] = [:]
        for (name, line) in names {
            if !name.isInterfaceName {
                problem(line: line, "\(key): \"\(name.printable)\" \(String.interfaceNameRule)")
            } else if name.contains("*") {
                // The kernel would allow the name, but whoever writes it means a pattern; the gate would stand open.
                problem(line: line, "\(key): \"\(name.printable)\" is a pattern: name each interface")
            } else if let earlier = lines[name] {
                let place = earlier == line ? "" : ", first on line \(earlier)"
                problem(line: line, "\(key) names \"\(name.printable)\" twice\(place)")
            } else if let linkLine = linkInterfaceLines[name] {
                let text = "\(key) names \"\(name.printable)\", which carries the sync link of line \(linkLine)"
                problem(line: line, "\(text): the gate would shut out the peers. Remove it here or move the link")
            }
            lines[name] = lines[name] ?? line
        }
        return names.map(\.text)
    }
}
