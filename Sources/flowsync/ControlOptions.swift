import ArgumentParser
import Configuration
import Control

/// What every command that talks to the daemon takes.
struct ControlOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The daemon's socket.", valueName: "path"))
    var socket = Configuration.standardControlSocketPath

    @Flag(help: "Print the daemon's JSON as it is.")
    var json = false

    /// The way to the daemon.
    var client: ControlClient { ControlClient(socketPath: socket) }

    /// Prints a successful answer, as JSON or in the words of `text`.
    func show<Value: Decodable>(
        _ response: ControlClient.Response,
        as type: Value.Type,
        _ text: (Value) -> String
    ) throws(CommandFailure) {
        guard response.isSuccess else { throw refusal(response) }
        try print(response, as: type, text)
    }

    /// Asks for an action and prints its steps; a failed one is printed too, and then ends the command with status 1.
    func act(_ path: String) throws(CommandFailure) {
        let response = try client.post(path)
        // 500 is an action that was tried: its report says which step failed.
        guard response.isSuccess || response.statusCode == 500 else { throw refusal(response) }
        try print(response, as: ActionReport.self, ActionText.render)
        if !response.isSuccess { throw CommandFailure(text: "") }
    }

    /// Prints an answer's body, whatever its status.
    func print<Value: Decodable>(
        _ response: ControlClient.Response,
        as type: Value.Type,
        _ text: (Value) -> String
    ) throws(CommandFailure) {
        if json { return try Output.write(response.body) }
        do {
            let value = try APICoder.decode(type, from: response.body)
            try Output.write(text(value))
        } catch let error as CommandFailure {
            throw error
        } catch {
            throw CommandFailure(text: "the daemon's answer is of another version than this command (\(error))")
        }
    }

    /// What the daemon said instead of doing it.
    func refusal(_ response: ControlClient.Response) -> CommandFailure {
        guard let error = try? APICoder.decode(APIError.self, from: response.body) else {
            return CommandFailure(text: "the daemon answered with status \(response.statusCode)")
        }
        return CommandFailure(text: error.error)
    }
}
