import Foundation
import Synchronization
import SystemIO
import Testing

/// A network namespace of one test, in which the kernel tracks connections; removed when the test lets go of it.
///
/// The kernel tracks nothing until a rule asks for it, and a netlink socket belongs to the namespace of the thread that
/// opens it: hence the rule, and `run`, which works on a thread of its own.
final class TestNamespace: Sendable {
    let name: String

    init(rules: String = "") throws {
        name = "flowsync-test-\(UInt32.random(in: 0 ... .max))"
        try Self.execute("ip", "netns", "add", name)
        try shell("ip link set lo up")
        try shell(
            "nft 'add table inet t; add chain inet t c { type filter hook input priority 0; }; "
                + "add rule inet t c ct state established accept; \(rules)'"
        )
    }

    deinit {
        _ = try? Self.execute("ip", "netns", "del", name)
    }

    /// Runs a command of the shell inside the namespace; its output.
    @discardableResult
    func shell(_ command: String) throws -> String {
        try Self.execute("ip", "netns", "exec", name, "sh", "-c", command)
    }

    /// Runs `body` on a thread inside the namespace and waits for it.
    func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) throws -> Value {
        let result = ResultBox<Value>()
        let name = name
        let thread = try SystemThread.start(name: "in-namespace") {
            result.set(
                Result {
                    try enterNetworkNamespace(named: name)
                    return try body()
                }
            )
        }
        thread.join()
        return try #require(result.get()).get()
    }

    /// Whether tests that need the kernel can run here: as root, with ip, nft and conntrack.
    static let isAvailable = geteuid() == 0 && (try? execute("sh", "-c", "ip -V && nft -v && conntrack -V")) != nil

    /// Entries that one namespace's table may hold.
    static let tableLimit =
        (try? String(contentsOfFile: "/proc/sys/net/netfilter/nf_conntrack_max", encoding: .utf8))
        .flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) } ?? .max

    @discardableResult
    static func execute(_ command: String...) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        let text = String(decoding: data, as: UTF8.self)
        guard process.terminationStatus == 0 else {
            throw CommandFailure(command: command.joined(separator: " "), output: text)
        }
        return text
    }

    struct CommandFailure: Error {
        let command: String
        let output: String
    }
}

private final class ResultBox<Value: Sendable>: Sendable {
    private let value = Mutex<Result<Value, any Error>?>(nil)

    func set(_ result: Result<Value, any Error>) { value.withLock { $0 = result } }
    func get() -> Result<Value, any Error>? { value.withLock { $0 } }
}
