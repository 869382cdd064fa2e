import Testing

/// The house's rooms: which module knows which.
///
/// A new arrow needs a reason, and a line here.
@Suite("Modules")
struct ModuleTests {
    private static let system = ["Glibc", "Synchronization"]

    private static let allowedImports: [String: [String]] = [
        // Pure: nothing but what they are made of. No clock, no socket, no thread, not even the C library.
        "Flow": [],
        "FlowTable": ["Flow"],
        "Policy": ["Flow"],
        "Replication": ["FlowTable", "Flow"],
        "Takeover": ["FlowTable", "Flow"],
        // Files and text.
        "Configuration": ["Policy", "SystemIO", "Flow"],
        "Control": ["Flow", "FoundationEssentials"],
        // The edges.
        "SystemIO": ["CLinux"] + system,
        "Conntrack": ["CNetfilter", "SystemIO", "Flow"] + system,
        "Gate": ["CNFTables", "SystemIO", "Policy", "Flow"] + system,
        "Link": ["SystemIO", "CLinux", "CSeal", "Crypto"] + system,
        "Daemon": [
            "SystemIO", "Flow", "FlowTable", "Policy", "Replication", "Takeover", "Conntrack", "Gate", "Link",
            "Configuration", "Control", "FoundationEssentials", "Logging", "FlyingFox", "FlyingSocks",
        ] + system,
        "flowsyncd": ["Daemon", "Configuration", "Control", "ArgumentParser"] + system,
        "flowsync": ["Control", "SystemIO", "Flow", "Conntrack", "Configuration", "Link", "ArgumentParser"] + system,
    ]

    /// Files that may hold `unsafe`: C, raw memory and what hands out spans of it.
    ///
    /// A folder ends in "/".
    private static let fence = [
        "Sources/SystemIO/", "Sources/Link/", "Sources/Conntrack/Kernel/",
        "Sources/Conntrack/Codec/AttributeWriter.swift", "Sources/Gate/GateSocket.swift",
        "Sources/Flow/EncodedFlowRecord.swift", "Sources/Flow/SpanIntegers.swift",
        "Sources/Daemon/DaemonMain.swift", "Sources/Daemon/JournalLogHandler.swift",
        "Sources/Daemon/ControlServer/ControlServer.swift", "Sources/Daemon/ControlServer/DumpWriter.swift",
        "Sources/flowsync/Output.swift", "Sources/flowsync/RehearseCommand.swift", "Sources/flowsyncd/Main.swift",
        "Sources/FlowTable/FlowTable.swift", "Sources/FlowTable/SlabStore.swift", "Sources/FlowTable/SlotIndex.swift",
    ]

    private func imports(of file: Repository.File) -> [(line: Int, module: String)] {
        SwiftCode(file.text).lines.enumerated().compactMap { index, line in
            guard line.contains("import ") else { return nil }
            let pattern = /^\s*(@\w+ )*((public|package|internal|private|fileprivate) )?import (\w+ )?(?<module>\w+)/
            return line.firstMatch(of: pattern).map { (index + 1, String($0.output.module)) }
        }
    }

    @Test("Each module imports only the rooms before it")
    func imports() throws {
        var seen: Set<String> = []
        for file in try Repository.files(in: ["Sources"]) {
            guard let allowed = Self.allowedImports[file.module] else {
                Issue.record("\(file.path): the module is not in the table of allowed imports")
                continue
            }
            seen.insert(file.module)
            for (line, module) in imports(of: file) where !allowed.contains(module) {
                Issue.record("\(file.path):\(line): \(file.module) must not import \(module)")
            }
        }
        #expect(seen == Set(Self.allowedImports.keys))
    }

    @Test("Conntrack's codec is pure as well: of C it knows the kernel's constants, in one file")
    func codec() throws {
        let files = try Repository.files(in: ["Sources/Conntrack/Codec"])
        #expect(!files.isEmpty)
        for file in files where !file.path.hasSuffix("/KernelConstants.swift") {
            for (line, module) in imports(of: file) where module != "Flow" {
                Issue.record("\(file.path):\(line): the codec must not import \(module)")
            }
        }
    }

    @Test("unsafe stands behind its fence")
    func unsafe() throws {
        var fenced: Set<String> = []
        for file in try Repository.files(in: ["Sources"]) {
            for (index, line) in SwiftCode(file.text).lines.enumerated()
            where line.contains("unsafe") && line.contains(/\b(unsafe|@unsafe|nonisolated\(unsafe\))\b/) {
                if let place = Self.fence.first(where: { file.path.hasPrefix($0) }) {
                    fenced.insert(place)
                } else {
                    Issue.record("\(file.path):\(index + 1): unsafe outside the fence")
                }
            }
        }
        #expect(fenced == Set(Self.fence), "what needs no fence any more leaves the list")
    }

    @Test("Nothing is left of the scaffolding")
    func placeholders() throws {
        for file in try Repository.files(in: ["Sources", "Tests"]) {
            #expect(!file.path.hasSuffix("/Placeholder.swift"), "\(file.path)")
        }
    }
}
