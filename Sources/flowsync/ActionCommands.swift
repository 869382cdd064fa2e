import ArgumentParser

/// The command `flowsync role`.
struct RoleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "role",
        abstract: "Change this router's role, and return when that is done.",
        discussion: """
            primary: put the peers' flows into the kernel and handle them from now on. backup: let go of them and ask \
            the new primary for its own. fault: stop claiming anything. Where traffic groups are configured, the \
            role changes for all of them, one after the other, or for the one that is named.
            """
    )

    /// A role that can be given.
    enum Role: String, CaseIterable, ExpressibleByArgument {
        case primary
        case backup
        case fault
    }

    @Argument(help: "The new role.")
    var role: Role

    @OptionGroup var group: GroupOption
    @OptionGroup var options: ControlOptions

    func run() throws {
        try options.act("/v1/role/\(role.rawValue)\(group.query)")
    }
}

/// The command `flowsync commit`.
struct Commit: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Put the external cache into the kernel.")

    @OptionGroup var options: ControlOptions

    func run() throws {
        try options.act("/v1/commit")
    }
}

/// The command `flowsync flush`.
struct Flush: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Empty a cache, or the kernel's table.")

    /// What can be emptied.
    enum Target: String, CaseIterable, ExpressibleByArgument {
        case `internal`
        case external
        case kernel
    }

    @Argument(help: "What to empty; of the kernel's table, the flows that are replicated.")
    var target: Target

    @OptionGroup var options: ControlOptions

    func run() throws {
        try options.act("/v1/flush/\(target.rawValue)")
    }
}

/// The command `flowsync resync`.
struct Resync: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Ask for everything again.")

    /// Who can be asked.
    enum Source: String, CaseIterable, ExpressibleByArgument {
        case kernel
        case peer
    }

    @Argument(help: "The kernel for the internal cache, or the peers for the external one.")
    var source: Source

    @OptionGroup var options: ControlOptions

    func run() throws {
        try options.act("/v1/resync/\(source.rawValue)")
    }
}

/// The command `flowsync push`.
struct Push: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Send the whole internal cache to the peers.")

    @OptionGroup var options: ControlOptions

    func run() throws {
        try options.act("/v1/push")
    }
}

/// The hidden command `flowsync debug`, for tests of what finds damage.
///
/// The daemon knows it only if it was started with FLOWSYNC_DEBUG=1.
struct Debug: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Do harm to one cached flow behind everybody's back.",
        shouldDisplay: false
    )

    /// What can be done.
    enum Harm: String, CaseIterable, ExpressibleByArgument {
        case forgetExternal = "forget-external"
        case flipExternal = "flip-external"
        case flipInternal = "flip-internal"
    }

    @Argument(help: "The harm.")
    var harm: Harm

    @OptionGroup var options: ControlOptions

    func run() throws {
        try options.act("/v1/debug/\(harm.rawValue)")
    }
}
