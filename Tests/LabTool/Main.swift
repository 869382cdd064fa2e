import ArgumentParser

/// The lab's programs: traffic, injected flows, and the demonstration.
@main
struct LabTool: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flowsync-lab",
        abstract:
            "Builds a pair of routers out of network namespaces and shows what FlowSync does there.",
        subcommands: [
            DemoCommand.self, TrafficServerCommand.self, TrafficClientCommand.self, InjectCommand.self,
            ChurnCommand.self, LoadCommand.self, CompareCommand.self, CableCommand.self,
            CaptureCommand.self, HostileCommand.self, TalkCommand.self,
        ]
    )
}
