internal import Flow
internal import Policy

extension Configuration {
    /// Reads and checks the bytes of a configuration file.
    ///
    /// - Parameters:
    ///   - path: The file's path, for the error's text.
    ///   - hostName: The node's name if the file sets none.
    public init(parsing bytes: [UInt8], path: String, hostName: String?) throws(ConfigurationError) {
        let report = ProblemReport()
        let root = SectionReader(document: try Self.document(of: bytes, path: path), report: report)

        let node = root.section("node")
        let nodeName = node.nodeName(hostName: hostName)
        node.reportUnknownKeys()

        let sync = root.section("sync")
        var linkInterfaceLines: [String: Int] = [:]
        let syncSettings = sync.syncSettings(interfaceLines: &linkInterfaceLines)
        sync.reportUnknownKeys()

        let kernel = root.section("kernel")
        let kernelSettings = kernel.kernelSettings()
        kernel.reportUnknownKeys()

        let takeover = root.section("takeover")
        let takeoverSettings = takeover.takeoverSettings(linkInterfaceLines: linkInterfaceLines)
        takeover.reportUnknownKeys()

        let replicate = root.section("replicate")
        let protocols = replicate.protocols()
        let ignoredNetworks = replicate.ignoredNetworks()
        replicate.reportUnknownKeys()

        let groups = root.trafficGroups()

        let control = root.section("control")
        let socketPath = control.socketPath()
        control.reportUnknownKeys()

        root.reportUnknownKeys()

        // Whatever could not be read has left a problem behind.
        guard report.problems.isEmpty, let nodeName, let syncSettings, let takeoverSettings else {
            throw ConfigurationError(path: path, problems: report.problems.sorted { ($0.line ?? 0) < ($1.line ?? 0) })
        }
        self.init(
            nodeName: nodeName,
            sync: syncSettings,
            kernel: kernelSettings,
            takeover: takeoverSettings,
            replicate: ReplicateSettings(protocols: protocols, ignoredNetworks: ignoredNetworks),
            groups: groups,
            controlSocketPath: socketPath
        )
    }

    /// The document's tables; a document that is no TOML has this one problem only.
    private static func document(of bytes: [UInt8], path: String) throws(ConfigurationError) -> TOMLTable {
        guard String(validating: bytes, as: UTF8.self) != nil else {
            let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            let index = lines.firstIndex { String(validating: $0, as: UTF8.self) == nil }
            let problem = ConfigurationError.Problem(line: index.map { $0 + 1 }, text: "this line is not valid UTF-8")
            throw ConfigurationError(path: path, problems: [problem])
        }
        do {
            return try TOMLParser.parse(bytes)
        } catch {
            throw ConfigurationError(path: path, problems: [.init(line: error.line, text: error.text)])
        }
    }
}

// MARK: - The sections

extension SectionReader {
    fileprivate func nodeName(hostName: String?) -> String? {
        let written = string("name")
        guard let name = written ?? hostName else {
            if !isSet("name") { problem("name", "this host has no name: set name in [node]") }
            return nil
        }
        let isValid =
            (1...64).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in byte > 0x20 && byte < 0x7f && byte != UInt8(ascii: "\"") }
        guard isValid else {
            let rule = "1 to 64 printable ASCII characters without spaces"
            let text =
                written == nil
                ? "the host name \"\(name.printable)\" cannot be this node's name (\(rule)): set name in [node]"
                : "name must be \(rule), not \"\(name.printable)\""
            problem("name", text)
            return nil
        }
        return name
    }

    fileprivate func kernelSettings() -> KernelSettings {
        let standard = 8 << 20
        let standardMax = 64 << 20
        let buffer = byteCount("event-buffer")
        let bufferMax = byteCount("event-buffer-max")
        if let bufferMax, (buffer ?? standard) > bufferMax {
            let cause =
                buffer == nil ? "event-buffer, which is \"8 MiB\" if not set" : "event-buffer"
            problem("event-buffer-max", "event-buffer-max is smaller than \(cause)")
        }
        return KernelSettings(
            eventBufferByteCount: buffer ?? standard,
            eventBufferByteCountMax: bufferMax ?? max(standardMax, buffer ?? 0)
        )
    }

    /// The bytes of a size such as `"8 MiB"`.
    private func byteCount(_ key: String) -> Int? {
        let rule = "\"NUMBER KiB\", \"NUMBER MiB\" or \"NUMBER GiB\""
        guard let text = string(key, wanted: "a size written as \(rule)") else { return nil }
        guard let byteCount = Self.byteCount(of: text) else {
            problem(key, "\(key) must be a size written as \(rule), not \"\(text.printable)\"")
            return nil
        }
        // Below one page the kernel cannot queue a message; above 1 GiB its own doubling overflows the option's int.
        guard (4 << 10...1 << 30).contains(byteCount) else {
            problem(key, "\(key) must be from \"4 KiB\" to \"1 GiB\", not \"\(text.printable)\"")
            return nil
        }
        return byteCount
    }

    private static func byteCount(of text: String) -> Int? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let shifts = ["KiB": 10, "MiB": 20, "GiB": 30]
        guard
            let number = Int(digits), number < 1 << 32,
            let shift = shifts[String(text[digits.endIndex...].drop { $0 == " " })]
        else { return nil }
        return number << shift
    }

    fileprivate func protocols() -> ProtocolSet {
        let all = IPProtocol.names
        guard let names = strings("protocols") else { return ProtocolSet(all.map(\.number)) }
        if names.isEmpty { problem("protocols", "protocols is empty: nothing would be replicated") }
        var numbers: [UInt8] = []
        for (name, line) in names {
            if let known = all.first(where: { $0.name == name }) {
                numbers.append(known.number)
            } else {
                problem(line: line, "unknown protocol \"\(name.printable)\"\(guess(name, among: all.map(\.name)))")
            }
        }
        return ProtocolSet(numbers)
    }

    fileprivate func ignoredNetworks() -> [Network] {
        let standard = [(text: "127.0.0.0/8", line: 0), (text: "::1/128", line: 0)]
        var networks: [Network] = []
        for (text, line) in strings("ignore-addresses") ?? standard {
            do {
                networks.append(try Network(parsing: text.printable))
            } catch {
                problem(line: line, "ignore-addresses: \(error)")
            }
        }
        return networks
    }

    fileprivate func socketPath() -> String {
        guard let path = string("socket") else { return Configuration.standardControlSocketPath }
        if !path.hasPrefix("/") || path.hasSuffix("/") {
            problem("socket", "socket must be the absolute path of a socket, not \"\(path.printable)\"")
        } else if path.utf8.count > 107 {
            // sun_path holds 108 bytes, and the last is NUL.
            problem("socket", "socket has \(path.utf8.count) bytes: a Unix socket's path holds at most 107")
        }
        return path
    }
}
