import ArgumentParser
import Glibc
import Lab

/// Runs the echo server.
struct TrafficServerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "traffic-server",
        abstract: "Echoes TCP and UDP; prints \"ready\" once it listens."
    )

    @Option(help: "The port to listen on.")
    var port = LabAddress.serverPort

    mutating func run() throws {
        var server = try TrafficServer(port: port)
        print("ready")
        fflush(nil)
        try server.run()
    }
}

/// Runs the talking client.
struct TrafficClientCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "traffic-client",
        abstract: "Opens connections and keeps them talking, as lines on its standard input say."
    )

    mutating func run() throws {
        var client = try TrafficClient()
        try client.run()
    }
}
