internal import Control
internal import Lab

/// What is measured.
public enum Subject: String, Codable, CaseIterable, Sendable {
    /// The same load without any daemon.
    case none
    /// The least that a program can do.
    case floor
    /// Two `flowsyncd`, sync link sealed.
    case flowsync
    /// Two `conntrackd`, mode FTFW.
    case conntrackd
}

/// How many flows a daemon's caches hold.
struct CacheCounts {
    var internalCount: Int
    var externalCount: Int
}

/// Two daemons of one kind on the lab's first two routers.
protocol DaemonPair {
    /// The lab they run in.
    var lab: Lab { get }
    /// Starts a router's daemon and does not wait for it.
    func launch(_ router: LabNode) throws(LabError)
    /// The end of a router's log, for messages.
    func log(_ router: LabNode) -> String
    /// Ends a router's daemon at once, as a crash would.
    func kill(_ router: LabNode) throws(LabError)
    /// The process of a router's daemon.
    func processID(_ router: LabNode) throws(LabError) -> Int32
    /// Asks a router's daemon for its numbers.
    func counts(_ router: LabNode) throws(LabError) -> CacheCounts
    /// How often the first router's daemon has compared its cache with the kernel's table; nil if it never does.
    func auditCount() throws(LabError) -> Int?
    /// The command that makes the daemon do it now; nil if it never does.
    func auditCommand(_ router: LabNode) throws(LabError) -> [String]?
    /// The command that puts the external cache into the kernel.
    func commitCommand(_ router: LabNode) throws(LabError) -> [String]
    /// The command that prints the internal cache.
    func dumpCommand(_ router: LabNode) throws(LabError) -> [String]
    /// Whether the pair has agreed on what there is, after its start; what does not agree by itself always says yes.
    func isSynchronised() throws(LabError) -> Bool
}

extension DaemonPair {
    /// Starts a router's daemon and returns when it answers.
    func start(_ router: LabNode) throws(LabError) {
        try launch(router)
        let deadline = Clock.seconds + 60
        while (try? counts(router)) == nil {
            guard Clock.seconds < deadline else {
                throw LabError("the daemon on \(router) does not answer after 60 s:\n\(log(router))")
            }
            Clock.sleep(seconds: 0.02)
        }
    }
}

/// What of the daemon's JSON is looked at: little, so that daemons of other versions can be measured as well.
private enum Answer {
    struct Statistics: Decodable {
        struct Kernel: Decodable {
            var auditCount: Int
        }
        var kernel: Kernel
    }

    struct Status: Decodable {
        struct Peer: Decodable {
            var isUp: Bool
            var isSynchronised: Bool
        }
        struct Caches: Decodable {
            var internalFlowCount: Int
            var externalFlowCount: Int
        }
        var peers: [Peer]
        var caches: Caches
    }
}

/// Two `flowsyncd`: sealed, multicast, reliable.
final class FlowSyncPair: DaemonPair {
    let lab: Lab

    init(_ lab: Lab) { self.lab = lab }

    func launch(_ router: LabNode) throws(LabError) {
        var settings = DaemonSettings(transport: .multicastIPv4)
        settings.security = .sealed
        settings.eventBuffer = "64 MiB"
        settings.eventBufferMax = "64 MiB"
        _ = try lab.launchDaemon(on: router, settings)
    }

    func log(_ router: LabNode) -> String { lab.daemons[router]?.logTail ?? "" }

    func kill(_ router: LabNode) throws(LabError) { try lab.kill9(router) }

    func processID(_ router: LabNode) throws(LabError) -> Int32 { try daemon(router).process.processID }

    private func daemon(_ router: LabNode) throws(LabError) -> LabDaemon {
        guard let daemon = lab.daemons[router] else { throw LabError("no flowsyncd runs on \(router)") }
        return daemon
    }

    private func decode<Value: Decodable>(_ router: LabNode, _ path: String) throws(LabError) -> Value {
        let body = try ControlQuery.flowsync(try daemon(router).socketPath, path)
        do {
            return try APICoder.decode(Value.self, from: body)
        } catch {
            throw LabError("\(path) of \(router): \(error)")
        }
    }

    func counts(_ router: LabNode) throws(LabError) -> CacheCounts {
        // Asked more than a thousand times a second where delays are measured: of the answers that tell, the smallest.
        let caches = (try decode(router, "/v1/status") as Answer.Status).caches
        return CacheCounts(internalCount: caches.internalFlowCount, externalCount: caches.externalFlowCount)
    }

    func auditCount() throws(LabError) -> Int? {
        let statistics: Answer.Statistics = try decode(.r1, "/v1/stats")
        return statistics.kernel.auditCount
    }

    func auditCommand(_ router: LabNode) throws(LabError) -> [String]? {
        try lab.flowsyncCommand(on: router, ["resync", "kernel"])
    }

    func commitCommand(_ router: LabNode) throws(LabError) -> [String] {
        try lab.flowsyncCommand(on: router, ["commit"])
    }

    func dumpCommand(_ router: LabNode) throws(LabError) -> [String] {
        try lab.flowsyncCommand(on: router, ["dump", "internal"])
    }

    func isSynchronised() throws(LabError) -> Bool {
        for router in lab.runningRouters {
            let status: Answer.Status = try decode(router, "/v1/status")
            guard !status.peers.isEmpty, status.peers.allSatisfy({ $0.isUp && $0.isSynchronised }) else { return false }
        }
        return true
    }
}

/// Two `conntrackd`: FTFW over multicast, Debian's example with buffers and caches large enough to lose nothing.
final class ConntrackdPair: DaemonPair {
    private static let statisticsRequest: Int32 = 21

    let lab: Lab
    private let flowCountMax: Int
    private var processes: [LabNode: ChildProcess] = [:]

    /// A pair for so many flows at most in each cache.
    init(_ lab: Lab, flowCountMax: Int) {
        self.lab = lab
        self.flowCountMax = flowCountMax
    }

    private func configurationPath(_ router: LabNode) -> String { "\(lab.directory)/\(router).conntrackd.conf" }
    private func socketPath(_ router: LabNode) -> String { "\(lab.directory)/\(router).conntrackd.ctl" }
    private func logPath(_ router: LabNode) -> String { "\(lab.directory)/\(router).conntrackd.log" }

    /// As many buckets as flows, and never fewer than the program's own default.
    private var hashSize: Int {
        var size = 65_536
        while size < flowCountMax { size *= 2 }
        return size
    }

    private func configuration(_ router: LabNode) -> String {
        """
        Sync {
            Mode FTFW {
                StartupResync yes
            }
            Multicast {
                IPv4_address 225.0.0.50
                Group 3780
                IPv4_interface \(LabAddress.sync(router))
                Interface sync
                SndSocketBuffer 67108864
                RcvSocketBuffer 67108864
                Checksum on
            }
        }
        General {
            HashSize \(hashSize)
            HashLimit \(hashSize * 2)
            LogFile \(logPath(router))
            Syslog off
            LockFile \(lab.directory)/\(router).conntrackd.lock
            UNIX {
                Path \(socketPath(router))
            }
            NetlinkBufferSize 67108864
            NetlinkBufferSizeMaxGrowth 67108864
            Filter From Kernelspace {
                Protocol Accept {
                    TCP
                    UDP
                    ICMP
                    SCTP
                    DCCP
                }
                Address Ignore {
                    IPv4_address 127.0.0.1
                    IPv4_address \(LabAddress.sync(router))
                }
            }
        }

        """
    }

    func launch(_ router: LabNode) throws(LabError) {
        try writeTextFile(configurationPath(router), configuration(router))
        let output = ChildProcess.Stream.file("\(logPath(router)).out")
        processes[router] = try lab.start(
            on: router,
            ["conntrackd", "-C", configurationPath(router)],
            output: output,
            errors: output
        )
    }

    func log(_ router: LabNode) -> String {
        ["", ".out"].map { (try? readTextFile(logPath(router) + $0)) ?? "" }.joined()
    }

    func kill(_ router: LabNode) throws(LabError) {
        guard let process = processes.removeValue(forKey: router) else {
            throw LabError("no conntrackd runs on \(router)")
        }
        process.signal(9)
        guard process.wait(timeoutSeconds: 20) != nil else { throw LabError("conntrackd on \(router) does not end") }
    }

    func processID(_ router: LabNode) throws(LabError) -> Int32 {
        guard let process = processes[router] else { throw LabError("no conntrackd runs on \(router)") }
        return process.processID
    }

    func counts(_ router: LabNode) throws(LabError) -> CacheCounts {
        let text = try ControlQuery.conntrackd(socketPath(router), Self.statisticsRequest)
        let active = numbers(after: "current active connections:", in: text)
        guard active.count >= 2 else { throw LabError("conntrackd -s on \(router): \(text)") }
        return CacheCounts(internalCount: active[0], externalCount: active[1])
    }

    /// The number after each occurrence of a label.
    private func numbers(after label: String, in text: String) -> [Int] {
        text.split(separator: "\n").compactMap { line in
            guard let range = line.firstRange(of: label) else { return nil }
            return line[range.upperBound...].split(whereSeparator: { $0 == " " || $0 == "\t" }).first.flatMap {
                Int($0)
            }
        }
    }

    func auditCount() throws(LabError) -> Int? { nil }

    func auditCommand(_ router: LabNode) throws(LabError) -> [String]? { nil }

    func commitCommand(_ router: LabNode) throws(LabError) -> [String] {
        ["conntrackd", "-C", configurationPath(router), "-c"]
    }

    func dumpCommand(_ router: LabNode) throws(LabError) -> [String] {
        ["conntrackd", "-C", configurationPath(router), "-i"]
    }

    func isSynchronised() throws(LabError) -> Bool { true }
}
