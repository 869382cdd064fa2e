import ArgumentParser
import Configuration
import Link

/// The command `flowsync keygen`.
struct Keygen: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make the key that seals the sync links, without a daemon.",
        discussion: "The file is made with mode 0600 and never overwritten. Copy it to all nodes."
    )

    @Argument(help: ArgumentHelp("The new file (default: \(SyncSettings.standardKeyFilePath)).", valueName: "file"))
    var path: String?

    @Flag(help: "Print the key file's text; write no file.")
    var stdout = false

    func validate() throws {
        if stdout, path != nil { throw ValidationError("either name a file or write --stdout, not both") }
    }

    func run() throws {
        if stdout { return try Output.write(KeyRing.generate()) }
        let path = path ?? SyncSettings.standardKeyFilePath
        do {
            let ring = try KeyRing.create(at: path)
            try Output.write("\(path): new \(ring). Copy the file to all nodes, owned by root, mode 0600\n")
        } catch let error as KeyFileError {
            throw CommandFailure(text: "\(error)")
        }
    }
}
