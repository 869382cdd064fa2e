import ArgumentParser
import Control
import Glibc
import Lab

/// Shows a failover with FlowSync and the same without.
struct DemoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Opens real connections through two routers, kills the first one, and shows who is still alive."
    )

    @Option(help: "Connections along each path.")
    var connections = 200

    func run() throws {
        let floating = "\(LabAddress.floatingLAN) and \(LabAddress.floatingWAN)"
        print(
            """
            The lab, all of it network namespaces of this machine:

                          ┌──── r1 ────┐         Both routers can hold \(floating)
               client ────┤   (sync)   ├──── server   (and their IPv6 twins), one of them does.
                          └──── r2 ────┘         They drop what belongs to no connection they know.

            \(connections) TCP connections each through source NAT, destination NAT and plain IPv6, all of them talking.
            """
        )
        let with = try scenario("With FlowSync", isSynchronised: true)
        let without = try scenario("The same without FlowSync", isSynchronised: false)

        print("\nConnections alive after the failover\n")
        print("path".padded(10) + "with FlowSync".padded(22) + "without")
        for (first, second) in zip(with, without) {
            print(
                first.name.padded(10) + "\(first.alive) of \(first.total)".padded(22)
                    + "\(second.alive) of \(second.total)"
            )
        }
        guard with.allSatisfy({ $0.alive == $0.total }), without.allSatisfy({ $0.alive == 0 }) else {
            print("\nThis is not what should be seen here: all of them with FlowSync, none without.")
            throw ExitCode.failure
        }
    }

    private func scenario(_ title: String, isSynchronised: Bool) throws -> [Traffic.GroupReport] {
        let story = Story(title)
        let lab = try Lab()
        defer { lab.close() }
        story.tell("the lab is laid out; r1 holds the floating addresses")
        if isSynchronised {
            try lab.startPair()
            story.tell("flowsyncd runs on r1 and r2, and each says that it is in sync")
            try lab.setRole(.primary, of: .r1)
            try lab.setRole(.backup, of: .r2)
            story.tell("r1 is primary, r2 is backup")
        }
        let traffic = try Traffic(in: lab)
        let paths: [Traffic.Path] = [.snat, .dnat, .ipv6]
        for path in paths { try traffic.open(connections, path) }
        let before = try traffic.alive(within: 10)
        story.tell("opened through r1: " + before.map { "\($0.alive) \($0.name)" }.joined(separator: ", "))
        if isSynchronised {
            let count = try lab.waitUntilEqual(within: 5)
            story.tell("r2 knows all \(count) flows of r1")
            try lab.kill9(.r1)
            story.tell("kill -9 of flowsyncd on r1")
        }
        try lab.cutLinks(of: .r1)
        story.tell("all links of r1 are down")
        if isSynchronised {
            let report = try lab.setRole(.primary, of: .r2)
            story.tell("flowsync role primary on r2 took \(report.milliseconds.rounded()) ms:")
            for step in report.steps {
                print("             \(step.name): \(step.count), failed \(step.failedCount)")
            }
        }
        try lab.moveAddresses(to: .r2)
        story.tell("r2 holds the floating addresses")
        let after = try traffic.alive(within: isSynchronised ? 12 : 5)
        story.tell(isSynchronised ? "every connection was asked to talk" : "every connection was given 5 s to talk")
        for report in after { print("             \(report)") }
        return after
    }
}

/// Prints what happens, with the time since the scenario began.
private struct Story {
    private let start = Clock.seconds

    init(_ title: String) {
        print("\n\(title)\n")
    }

    func tell(_ text: String) {
        let tenths = Int((Clock.seconds - start) * 10)
        print("  \("\(tenths / 10).\(tenths % 10) s".padded(9))\(text)")
        fflush(nil)
    }
}

extension String {
    /// The text followed by spaces up to a width.
    fileprivate func padded(_ width: Int) -> String {
        self + String(repeating: " ", count: max(1, width - count))
    }
}
