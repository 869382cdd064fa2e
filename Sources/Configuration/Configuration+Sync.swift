extension SectionReader {
    /// The settings of `[sync]`; nil if something in it is wrong, which is reported.
    ///
    /// - Parameter interfaceLines: Gets the line that names each interface of a link, whatever is wrong elsewhere.
    func syncSettings(interfaceLines: inout [String: Int]) -> SyncSettings? {
        let security = security()
        let mode = mode()
        let links = syncLinks(interfaceLines: &interfaceLines)
        guard let security, let mode, let links else { return nil }
        return SyncSettings(security: security, mode: mode, links: links)
    }

    private func security() -> SyncSettings.Security? {
        let keyFile = keyFilePath()
        let isInsecure = boolean("insecure")
        if isSet("key-file") {
            if isInsecure == true {
                let place = line(of: "key-file").map { " on line \($0)" } ?? ""
                let text =
                    "insecure = true and key-file\(place) contradict each other: remove insecure to seal the sync"
                problem("insecure", "\(text) link, or key-file to leave it open")
            }
            return keyFile.map { .sealed(keyFile: $0) }
        }
        if isInsecure == true { return .insecure }
        // A value of the wrong type has been reported as that.
        guard isInsecure == false || !isSet("insecure") else { return nil }
        let subject = isSet("insecure") ? "insecure = false" : "[sync]"
        let standard = SyncSettings.standardKeyFilePath
        let text = "\(subject) needs key-file = \"\(standard)\", a key made once by `flowsync keygen` and copied to all"
        problem("insecure", "\(text) nodes. Or write insecure = true, if only the routers can reach the sync link")
        return nil
    }

    private func keyFilePath() -> String? {
        guard let path = string("key-file") else { return nil }
        // PATH_MAX is 4,096 with its NUL.
        guard path.hasPrefix("/"), !path.hasSuffix("/"), path.utf8.count < 4_096 else {
            problem("key-file", "key-file must be the absolute path of a file, not \"\(path.printable)\"")
            return nil
        }
        return path
    }

    private func mode() -> SyncSettings.Mode? {
        guard let name = string("mode") else { return isSet("mode") ? nil : .reliable }
        switch name {
        case "reliable": return .reliable
        case "best-effort": return .bestEffort
        default:
            let guess = guess(name, among: ["reliable", "best-effort"])
            problem("mode", "unknown mode \"\(name.printable)\"\(guess)")
            return nil
        }
    }

    private func syncLinks(interfaceLines: inout [String: Int]) -> [SyncLinkSettings]? {
        let sections = sections("link") ?? []
        if !isSet("link") {
            problem("link", "a [[sync.link]] section is missing: it says how the peers are reached")
        }
        if sections.count > SyncSettings.linkCountMax {
            let surplus = sections[SyncSettings.linkCountMax]
            let text =
                "this is one [[sync.link]] too many: at most \(SyncSettings.linkCountMax) are allowed, and there are"
            surplus.problem("\(text) \(sections.count)")
        }
        var links: [(settings: SyncLinkSettings, line: Int?)] = []
        for section in sections {
            guard let link = section.link() else { continue }
            if interfaceLines[link.interface] == nil {
                interfaceLines[link.interface] = section.line(of: "interface")
            }
            if let earlier = links.first(where: { $0.settings.clashes(with: link) }) {
                section.problem(link.clashText(earlierLine: earlier.line))
            } else {
                links.append((link, section.line))
            }
        }
        return links.isEmpty || links.count < sections.count ? nil : links.map(\.settings)
    }
}

extension SyncLinkSettings {
    /// Why a link cannot be used beside an earlier one with which it clashes.
    fileprivate func clashText(earlierLine: Int?) -> String {
        let (name, key, address) =
            switch transport {
            case .multicast(let group): ("multicast", "group", group)
            case .udp(let local, _): ("udp", "local", local)
            case .tcp(let local, _): ("tcp", "local", local)
            }
        let parts = "transport \"\(name)\", interface \"\(interface)\", \(key) \(address) and port \(port)"
        let place = earlierLine.map { "of line \($0)" } ?? "before it"
        return "this [[sync.link]] has \(parts) like the one \(place): change one of them or remove this section"
    }
}
