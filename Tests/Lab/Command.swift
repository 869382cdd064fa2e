internal import Glibc

/// What a finished command left.
public struct CommandResult: Sendable {
    /// The exit status; 128 + signal if a signal ended it, 124 if it ran out of time and was killed.
    public let exit: Int32
    /// Its standard output.
    public let output: [UInt8]
    /// Its standard error.
    public let errors: [UInt8]

    /// A result of its parts.
    public init(exit: Int32, output: [UInt8] = [], errors: [UInt8] = []) {
        self.exit = exit
        self.output = output
        self.errors = errors
    }

    /// The standard output as text.
    public var text: String { String(decoding: output, as: UTF8.self) }
    /// The standard error as text.
    public var errorText: String { String(decoding: errors, as: UTF8.self) }
    /// Status, output and errors, shortened: for messages.
    public var summary: String {
        "exit \(exit); stdout: \(text.prefix(1_500)); stderr: \(errorText.prefix(1_500))"
    }
}

/// Runs a command to its end and returns what it left.
///
/// - Parameters:
///   - standardInput: text for its standard input.
///   - timeoutSeconds: after this the command is killed and `exit` is 124.
public func runCommand(
    _ arguments: [String],
    environment: [String: String] = [:],
    standardInput: String? = nil,
    timeoutSeconds: Double = 60
) throws(LabError) -> CommandResult {
    let child = try ChildProcess(
        arguments,
        environment: environment,
        input: standardInput == nil ? .null : .pipe,
        output: .pipe,
        errors: .pipe
    )
    var inputLeft = Array((standardInput ?? "").utf8)[...]
    var collected: [[UInt8]] = [[], []]
    let deadline = Clock.seconds + timeoutSeconds
    var openStreams = [child.output, child.errors]
    if child.input >= 0 { _ = fcntl(child.input, F_SETFL, O_NONBLOCK) }
    var buffer = [UInt8](repeating: 0, count: 262_144)

    while openStreams != [-1, -1], Clock.seconds < deadline {
        var requests = [
            pollfd(fd: openStreams[0], events: Int16(POLLIN), revents: 0),
            pollfd(fd: openStreams[1], events: Int16(POLLIN), revents: 0),
            pollfd(fd: child.input, events: Int16(POLLOUT), revents: 0),
        ]
        guard poll(&requests, 3, 100) > 0 else { continue }
        for index in 0..<2 where requests[index].revents != 0 {
            let count = read(openStreams[index], &buffer, buffer.count)
            if count > 0 { collected[index].append(contentsOf: buffer[..<count]) } else { openStreams[index] = -1 }
        }
        if requests[2].revents != 0 {
            let count = inputLeft.withUnsafeBytes { write(child.input, $0.baseAddress, $0.count) }
            if count > 0 { inputLeft = inputLeft.dropFirst(count) }
            if inputLeft.isEmpty || (count < 0 && errno != EAGAIN) { child.closeInput() }
        }
    }
    guard let status = child.wait(timeoutSeconds: max(0.1, deadline - Clock.seconds)) else {
        child.signal(SIGKILL)
        child.wait(timeoutSeconds: 5)
        return CommandResult(exit: 124, output: collected[0], errors: collected[1])
    }
    return CommandResult(exit: status, output: collected[0], errors: collected[1])
}

/// Runs a command that has to succeed.
@discardableResult
public func runChecked(
    _ arguments: [String],
    standardInput: String? = nil,
    timeoutSeconds: Double = 60
) throws(LabError) -> CommandResult {
    let result = try runCommand(arguments, standardInput: standardInput, timeoutSeconds: timeoutSeconds)
    guard result.exit == 0 else {
        let input = standardInput.map { "; stdin:\n\($0)" } ?? ""
        throw LabError("`\(arguments.joined(separator: " "))` failed: \(result.summary)\(input)")
    }
    return result
}
