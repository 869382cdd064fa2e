import ArgumentParser
import Lab

/// Runs one end of connections on which both ends talk.
struct TalkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "talk",
        abstract: "Opens or takes connections and talks on them, as lines on its standard input say."
    )

    @Option(help: "The port to listen on; without it, the end that connects.")
    var port: Int?

    mutating func run() throws {
        var end = try TalkingEnd(port: port)
        try end.run()
    }
}
