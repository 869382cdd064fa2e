import ArgumentParser
import Control

/// The command `flowsync status`.
struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show role, peers, links and whether a failover would lose connections."
    )

    @Flag(help: "Show the last changes of role, with their steps, instead.")
    var history = false

    @OptionGroup var options: ControlOptions

    func run() throws {
        if history {
            try options.show(options.client.get("/v1/history"), as: TakeoverHistory.self, \.text)
        } else {
            try options.show(options.client.get("/v1/status"), as: NodeStatus.self, StatusText.render)
        }
    }
}

/// The command `flowsync stats`.
struct Stats: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show counters, in the layout of conntrackd -s."
    )

    /// The pages that can be asked for; none is conntrackd's `-s` without a parameter.
    enum Page: String, CaseIterable, ExpressibleByArgument {
        case cache
        case network
        case runtime
        case link
        case queue

        var topic: StatisticsTopic {
            switch self {
            case .cache: .cache
            case .network: .network
            case .runtime: .runtime
            case .link: .link
            case .queue: .queue
            }
        }
    }

    @Argument(help: "Which counters.")
    var page: Page?

    @OptionGroup var options: ControlOptions

    func run() throws {
        try options.show(options.client.get("/v1/stats"), as: Statistics.self) { statistics in
            StatisticsText.render(statistics, topic: page?.topic ?? .summary)
        }
    }
}

/// The command `flowsync dump`.
struct Dump: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the flows of a cache, one per line.",
        discussion: "Flows that change meanwhile are shown as they are when their turn comes."
    )

    /// A cache.
    enum Cache: String, CaseIterable, ExpressibleByArgument {
        case `internal`
        case external
    }

    @Argument(help: "The flows that this router handles, or those that its peers handle.")
    var cache: Cache

    @OptionGroup var options: ControlOptions

    func run() throws {
        let path = "/v1/dump/\(cache.rawValue)?format=\(options.json ? "json" : "text")"
        let response = try options.client.stream(path) { (bytes) throws(CommandFailure) in
            try Output.write(bytes)
        }
        if !response.isSuccess { throw options.refusal(response) }
    }
}

/// The command `flowsync ready`.
struct Ready: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say whether this router may become primary (for keepalived's vrrp_script).",
        discussion: "Exit status 0 if it may; otherwise 1, and one line says why."
    )

    @OptionGroup var group: GroupOption
    @OptionGroup var options: ControlOptions

    func run() throws {
        let response = try options.client.get("/v1/ready\(group.query)")
        // 503 is an answer: not ready.
        guard response.isSuccess || response.statusCode == 503 else { throw options.refusal(response) }
        try options.print(response, as: ReadyReport.self) { report in
            report.isReady ? "ready\n" : "not ready: \(report.reason ?? "the daemon gave no reason")\n"
        }
        if !response.isSuccess { throw CommandFailure(text: "") }
    }
}
