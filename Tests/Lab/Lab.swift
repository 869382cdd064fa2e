internal import Glibc

/// Routers, a client, a server and the networks between them, as network namespaces of this machine's kernel.
///
/// Everything carries the name of this process, so that several labs, also of other processes, live side by side. A lab
/// takes down what it built in `close()` or when it is released; what a killed process left, the next lab sweeps away.
/// Needs root. Use one lab from one task at a time.
public final class Lab: @unchecked Sendable {
    /// The start of every namespace name, and the name of the lab's folder.
    public let name: String
    /// Configuration files and logs, and what the daemons keep while they run; removed with the lab.
    public let directory: String
    /// The routers, in order.
    public let routers: [LabNode]
    /// The sync networks, in order.
    public let syncNetworks: [SyncNetwork]
    /// The key in the key files of all daemons, unless a test sets others.
    public let key = Lab.makeKey()
    /// The router that holds the floating addresses.
    public internal(set) var activeRouter: LabNode = .r1
    /// The running daemons.
    public internal(set) var daemons: [LabNode: LabDaemon] = [:]
    /// The bad cables that were laid.
    var cables: [String: Cable] = [:]
    /// Programs started by the lab, besides daemons, that are killed when it closes.
    private var children: [ChildProcess] = []
    private var isOpen = true

    /// Lays out a lab.
    ///
    /// - Parameters:
    ///   - routerCount: 2…5; those after the second have no part in `lan` and `wan`.
    ///   - linkCount: how many sync networks there are, 1…4.
    public init(routerCount: Int = 2, linkCount: Int = 1) throws(LabError) {
        precondition(2...5 ~= routerCount && 1...4 ~= linkCount, "\(routerCount) routers, \(linkCount) links")
        routers = Array(LabNode.routers.prefix(routerCount))
        syncNetworks = Array(SyncNetwork.allCases.prefix(linkCount))
        guard geteuid() == 0 else { throw LabError("the lab builds network namespaces and needs root") }
        try LabSweeper.sweep()
        name = LabSweeper.nextName()
        directory = "/tmp/" + name
        guard mkdir(directory, 0o700) == 0 else { throw LabError(call: "mkdir", errno: errno, directory) }
        do {
            for router in routers { try makeRunDirectory(of: router) }
            try layOut()
        } catch {
            LabSweeper.remove(name)
            throw error
        }
    }

    deinit {
        close()
    }

    /// Stops every program and removes every namespace of the lab.
    public func close() {
        guard isOpen else { return }
        isOpen = false
        for daemon in daemons.values { daemon.process.signal(SIGKILL) }
        for child in children { child.signal(SIGKILL) }
        for daemon in daemons.values { daemon.process.wait(timeoutSeconds: 5) }
        for child in children { child.wait(timeoutSeconds: 5) }
        daemons = [:]
        children = []
        LabSweeper.remove(name)
    }

    /// The namespace's name, as `ip netns` shows it.
    public func namespace(_ node: LabNode) -> String {
        "\(name)-\(node.rawValue)"
    }

    /// What has to stand before a command so that it runs in a machine of the lab.
    public func prefix(_ node: LabNode) -> [String] {
        ["nsenter", "--net=/run/netns/\(namespace(node))", "--"]
    }

    /// Runs a command in a machine and returns what it left.
    public func run(
        on node: LabNode,
        _ arguments: [String],
        standardInput: String? = nil,
        timeoutSeconds: Double = 60
    ) throws(LabError) -> CommandResult {
        try runCommand(prefix(node) + arguments, standardInput: standardInput, timeoutSeconds: timeoutSeconds)
    }

    /// Runs a command in a machine that has to succeed.
    @discardableResult
    public func check(
        on node: LabNode,
        _ arguments: [String],
        standardInput: String? = nil,
        timeoutSeconds: Double = 60
    ) throws(LabError) -> CommandResult {
        try runChecked(prefix(node) + arguments, standardInput: standardInput, timeoutSeconds: timeoutSeconds)
    }

    /// Starts a program in a machine; it is killed when the lab closes.
    public func start(
        on node: LabNode,
        _ arguments: [String],
        environment: [String: String] = [:],
        input: ChildProcess.Stream = .null,
        output: ChildProcess.Stream = .null,
        errors: ChildProcess.Stream = .inherited
    ) throws(LabError) -> ChildProcess {
        let child = try ChildProcess(
            prefix(node) + arguments,
            environment: environment,
            input: input,
            output: output,
            errors: errors
        )
        children.append(child)
        return child
    }

    /// Runs lines of `ip` in one go, in one machine.
    func ip(on node: LabNode, _ lines: [String]) throws(LabError) {
        try runChecked(
            ["ip", "-n", namespace(node), "-batch", "-"],
            standardInput: lines.joined(separator: "\n") + "\n"
        )
    }

    /// Adds to or changes the nftables rules of a machine.
    public func nft(on node: LabNode, _ text: String) throws(LabError) {
        try check(on: node, ["nft", "-f", "-"], standardInput: text + "\n")
    }

    /// Sets kernel parameters of a machine ("net.ipv4.ip_forward=1").
    public func sysctl(on node: LabNode, _ settings: [String]) throws(LabError) {
        try check(on: node, ["sysctl", "-q", "-w"] + settings)
    }
}
