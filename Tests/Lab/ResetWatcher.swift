internal import Glibc

/// Counts the TCP resets that come by at client and server, with tcpdump.
public final class ResetWatcher {
    private static let filter = "(tcp[tcpflags] & tcp-rst != 0) or (ip6[6] == 6 and ip6[53] & 4 != 0)"
    private let lab: Lab
    private var processes: [(node: LabNode, process: ChildProcess)] = []

    /// Begins to watch.
    public init(in lab: Lab) throws(LabError) {
        self.lab = lab
        for (node, interface) in [(LabNode.client, "lan"), (.server, "wan")] {
            let process = try lab.start(
                on: node,
                [
                    "tcpdump", "-i", interface, "-n", "-l", "-Z", "root", "-B", "16384", "--immediate-mode",
                    Self.filter,
                ],
                output: .file(path(node, "log")),
                errors: .file(path(node, "errors"))
            )
            processes.append((node, process))
        }
        let deadline = Clock.seconds + 10
        for (node, _) in processes {
            while try !text(node, "errors").contains("listening on") {
                guard Clock.seconds < deadline else { throw LabError("tcpdump: \(try text(node, "errors"))") }
                Clock.sleep(seconds: 0.01)
            }
        }
    }

    private func path(_ node: LabNode, _ suffix: String) -> String { "\(lab.directory)/resets-\(node).\(suffix)" }

    private func text(_ node: LabNode, _ suffix: String) throws(LabError) -> String {
        let file = path(node, suffix)
        return access(file, F_OK) == 0 ? try readTextFile(file) : ""
    }

    /// The resets seen so far, one line each as tcpdump writes it.
    public func resets(at node: LabNode) throws(LabError) -> [String] {
        try text(node, "log").split(separator: "\n").map(String.init)
    }

    /// How many resets were seen so far at both.
    public func count() throws(LabError) -> Int {
        var count = 0
        for (node, _) in processes { count += try resets(at: node).count }
        return count
    }

    /// Ends the watching and returns how many resets there were.
    ///
    /// - Throws: also if tcpdump missed packets, because then nobody knows.
    public func stop() throws(LabError) -> Int {
        for (node, process) in processes {
            process.signal(SIGINT)
            process.wait(timeoutSeconds: 10)
            let summary = try text(node, "errors")
            guard summary.contains("\n0 packets dropped by kernel") else { throw LabError("tcpdump: \(summary)") }
        }
        return try count()
    }
}
