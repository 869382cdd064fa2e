internal import Glibc

/// A program the lab started.
///
/// It dies with the lab's process, however that ends.
public final class ChildProcess: @unchecked Sendable {
    /// Where a standard stream of the child goes or comes from.
    public enum Stream: Sendable {
        /// `/dev/null`.
        case null
        /// A pipe to the lab.
        case pipe
        /// A file, appended to.
        case file(String)
        /// The lab's own stream.
        case inherited
    }

    /// The process id; it stays the same when the child executes another program.
    public let processID: Int32
    /// The command line, for messages.
    public let commandLine: String
    /// The lab's end of the child's standard input, or -1.
    public private(set) var input: Int32
    /// The lab's end of the child's standard output, or -1.
    public private(set) var output: Int32
    /// The lab's end of the child's standard error, or -1.
    public private(set) var errors: Int32
    /// The wait status, once the child was reaped.
    private var waitStatus: Int32?
    /// Bytes read from `output` that are not yet a whole line.
    private var pendingOutput: [UInt8] = []

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - arguments: the program (searched in `PATH`) and its arguments.
    ///   - environment: variables added to the lab's own.
    public init(
        _ arguments: [String],
        environment: [String: String] = [:],
        input: Stream = .null,
        output: Stream = .null,
        errors: Stream = .inherited
    ) throws(LabError) {
        // setpriv sets PR_SET_PDEATHSIG and executes the program in the same process.
        let command = ["setpriv", "--pdeathsig", "KILL", "--"] + arguments
        commandLine = arguments.joined(separator: " ")
        let outcome = SpawnThread.shared.run {
            spawn(command, environment: environment, streams: [input, output, errors])
        }
        switch outcome {
        case .success(let spawned):
            processID = spawned.processID
            self.input = spawned.pipeEnds[0]
            self.output = spawned.pipeEnds[1]
            self.errors = spawned.pipeEnds[2]
        case .failure(let error):
            throw error
        }
    }

    deinit {
        if isRunning {
            signal(SIGKILL)
            _ = wait(timeoutSeconds: 5)
        }
        closePipes()
    }

    /// Whether the child has not ended yet.
    public var isRunning: Bool { exitStatus == nil }

    /// The exit status once the child ended; 128 + signal if a signal ended it.
    public var exitStatus: Int32? {
        if waitStatus == nil {
            var status: Int32 = 0
            if waitpid(processID, &status, WNOHANG) == processID { waitStatus = status }
        }
        return waitStatus.map { status in
            status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
        }
    }

    /// Sends a signal.
    public func signal(_ number: Int32) {
        if waitStatus == nil { kill(processID, number) }
    }

    /// Waits until the child ended; nil if it has not after the time.
    @discardableResult
    public func wait(timeoutSeconds: Double) -> Int32? {
        let deadline = Clock.seconds + timeoutSeconds
        while true {
            if let status = exitStatus { return status }
            if Clock.seconds > deadline { return nil }
            usleep(1_000)
        }
    }

    /// Writes a line to the child's standard input.
    public func writeLine(_ line: String) throws(LabError) {
        var bytes = Array((line + "\n").utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { write(input, $0.baseAddress, $0.count) }
            guard count > 0 else { throw LabError(call: "write", errno: errno, "to \(commandLine)") }
            bytes = bytes.dropFirst(count)
        }
    }

    /// Closes the child's standard input.
    public func closeInput() {
        if input >= 0 { close(input) }
        input = -1
    }

    /// Reads the next line of the child's standard output.
    public func readLine(timeoutSeconds: Double) throws(LabError) -> String {
        let deadline = Clock.seconds + timeoutSeconds
        while true {
            if let end = pendingOutput.firstIndex(of: 0x0a) {
                let line = String(decoding: pendingOutput[..<end], as: UTF8.self)
                pendingOutput.removeSubrange(...end)
                return line
            }
            guard try readOutput(until: deadline) else {
                let state = exitStatus.map { "it ended with status \($0)" } ?? "it closed its output"
                throw LabError("no answer from \(commandLine): \(state)")
            }
        }
    }

    /// Waits for bytes and appends them to `pendingOutput`; false at the end of the stream.
    private func readOutput(until deadline: Double) throws(LabError) -> Bool {
        var request = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
        let left = max(0, deadline - Clock.seconds)
        guard poll(&request, 1, Int32(left * 1_000)) > 0 else {
            if Clock.seconds < deadline { return true }
            throw LabError("no answer from \(commandLine) within its time")
        }
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = read(output, &buffer, buffer.count)
        if count > 0 { pendingOutput.append(contentsOf: buffer[..<count]) }
        return count > 0
    }

    private func closePipes() {
        for descriptor in [input, output, errors] where descriptor >= 0 { close(descriptor) }
        (input, output, errors) = (-1, -1, -1)
    }
}

private struct Spawned {
    var processID: Int32
    /// The lab's ends of the pipes; -1 where there is none.
    var pipeEnds: [Int32]
}

/// Starts a process; runs in the spawn thread only, so that no other child inherits the pipe ends made here.
private func spawn(
    _ arguments: [String],
    environment: [String: String],
    streams: [ChildProcess.Stream]
) -> Result<Spawned, LabError> {
    var actions = posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawnattr_init(&attributes)
    defer {
        posix_spawn_file_actions_destroy(&actions)
        posix_spawnattr_destroy(&attributes)
    }
    var pipeEnds: [Int32] = [-1, -1, -1]
    var childEnds: [Int32] = []
    for (index, stream) in streams.enumerated() {
        let number = Int32(index)
        switch stream {
        case .null:
            posix_spawn_file_actions_addopen(&actions, number, "/dev/null", O_RDWR, 0)
        case .file(let path):
            posix_spawn_file_actions_addopen(&actions, number, path, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        case .inherited:
            break
        case .pipe:
            var ends: [Int32] = [-1, -1]
            guard pipe(&ends) == 0 else { return .failure(LabError(call: "pipe", errno: errno)) }
            let (child, own) = index == 0 ? (ends[0], ends[1]) : (ends[1], ends[0])
            // dup2 clears the flag on the child's copy; nothing else must reach any child, since a daemon that kept a
            // stranger's pipe open would keep its reader waiting.
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            posix_spawn_file_actions_adddup2(&actions, child, number)
            childEnds.append(child)
            pipeEnds[index] = own
        }
    }
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    sigaddset(&signals, SIGPIPE)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK) | Int16(POSIX_SPAWN_SETSIGDEF))

    var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    var envp = environmentStrings(adding: environment).map { strdup($0) } + [nil]
    var processID: Int32 = 0
    let code = posix_spawnp(&processID, arguments[0], &actions, &attributes, &argv, &envp)
    for string in argv + envp { free(string) }
    for descriptor in childEnds { close(descriptor) }
    guard code == 0 else {
        for descriptor in pipeEnds where descriptor >= 0 { close(descriptor) }
        return .failure(LabError(call: "posix_spawn", errno: code, arguments.joined(separator: " ")))
    }
    return .success(Spawned(processID: processID, pipeEnds: pipeEnds))
}

private func environmentStrings(adding extra: [String: String]) -> [String] {
    var strings: [String] = []
    var cursor = environ
    while let entry = cursor.pointee {
        let text = String(cString: entry)
        let name = text.prefix { $0 != "=" }
        if extra[String(name)] == nil { strings.append(text) }
        cursor += 1
    }
    return strings + extra.map { "\($0.key)=\($0.value)" }
}
