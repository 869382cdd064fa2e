internal import Glibc

/// conntrackd on both routers, with Debian's own script for the changes of role, to measure beside FlowSync.
///
/// The script asks for its configuration at the usual place in `/etc`; each call gets a view of the file system of its
/// own in which that is the router's.
public final class ConntrackdPair {
    private static let script = "/usr/share/doc/conntrackd/examples/sync/primary-backup.sh"
    private let lab: Lab

    /// Writes the files.
    public init(_ lab: Lab) throws(LabError) {
        self.lab = lab
        guard access(Self.script, R_OK) == 0 else {
            throw LabError("\(Self.script) is missing: apt-get install conntrackd")
        }
        for router in [LabNode.r1, .r2] {
            guard mkdir(folder(router), 0o700) == 0 else { throw LabError(call: "mkdir", errno: errno) }
            try writeTextFile("\(folder(router))/conntrackd.conf", configuration(of: router))
            try writeTextFile(notifyPath(of: router), notifyScript(for: router), mode: 0o700)
        }
    }

    private func folder(_ router: LabNode) -> String { "\(lab.directory)/\(router)-conntrackd" }

    /// A program that is called as keepalived's notify scripts are.
    public func notifyPath(of router: LabNode) -> String { Self.notifyPath(lab.directory, router) }

    /// The same for a lab's folder.
    public static func notifyPath(_ directory: String, _ router: LabNode) -> String {
        "\(directory)/\(router)-conntrackd-notify"
    }

    private func configuration(of router: LabNode) -> String {
        // Not the floating ones, as its examples have it: that would leave out connections translated from them.
        let own = [
            "127.0.0.1", LabAddress.sync(.r1), LabAddress.sync(.r2), "10.10.0.2", "10.10.0.3", "10.20.0.2",
            "10.20.0.3",
        ]
        return """
            Sync {
                Mode FTFW { }
                Multicast {
                    IPv4_address 225.0.0.51
                    Group 3780
                    IPv4_interface \(LabAddress.sync(router))
                    Interface sync
                    SndSocketBuffer 16777216
                    RcvSocketBuffer 16777216
                    Checksum on
                }
            }
            General {
                HashSize 262144
                HashLimit 2097152
                LogFile \(folder(router))/log
                LockFile \(folder(router))/lock
                UNIX {
                    Path \(folder(router))/control
                }
                NetlinkBufferSize 16777216
                NetlinkBufferSizeMaxGrowth 67108864
                Filter From Kernelspace {
                    Protocol Accept {
                        TCP
                        UDP
                        ICMP
                    }
                    Address Ignore {
                        \(own.map { "IPv4_address \($0)" }.joined(separator: "\n                "))
                    }
                }
            }

            """
    }

    private func notifyScript(for router: LabNode) -> String {
        """
        #!/bin/sh
        case "$3" in
        MASTER) action=primary ;;
        BACKUP) action=backup ;;
        *) action=fault ;;
        esac
        begin=$(date +%s%N)
        unshare --mount --propagation private sh -c \
            "mount --bind \(folder(router)) /etc/conntrackd && exec sh \(Self.script) $action" \
            >>\(folder(router))/script.log 2>&1
        status=$?
        echo "$action $status $(( ($(date +%s%N) - begin) / 1000 ))" >>\(folder(router))/times
        exit $status

        """
    }

    /// Starts both.
    public func startBoth() throws(LabError) {
        for router in [LabNode.r1, .r2] {
            let log = ChildProcess.Stream.file("\(folder(router))/output")
            let process = try lab.start(
                on: router,
                ["conntrackd", "-C", "\(folder(router))/conntrackd.conf"],
                output: log,
                errors: log
            )
            let deadline = Clock.seconds + 10
            while access("\(folder(router))/control", F_OK) != 0 {
                guard process.isRunning, Clock.seconds < deadline else { throw LabError("conntrackd: \(logs)") }
                Clock.sleep(seconds: 0.02)
            }
        }
    }

    /// Tells a router of a change of role, as keepalived would; returns when its script is done.
    public func notify(_ state: String, on router: LabNode) throws(LabError) {
        try lab.check(on: router, [notifyPath(of: router), "GROUP", "gateway", state, "0"], timeoutSeconds: 120)
    }

    /// Waits until a router's script has become primary so many times, and returns how long the last one took.
    public func primaryMilliseconds(of router: LabNode, within seconds: Double) throws(LabError) -> Double {
        let deadline = Clock.seconds + seconds
        while true {
            let lines = ((try? readTextFile("\(folder(router))/times")) ?? "").split(separator: "\n")
            if let last = lines.last(where: { $0.hasPrefix("primary ") }) {
                let words = last.split(separator: " ")
                guard words.count == 3, let microseconds = Double(words[2]) else { throw LabError("times: \(last)") }
                return microseconds / 1_000
            }
            guard Clock.seconds < deadline else { throw LabError("no script became primary: \(logs)") }
            Clock.sleep(seconds: 0.05)
        }
    }

    /// How many flows of the other router a router holds.
    public func externalFlowCount(of router: LabNode) throws(LabError) -> Int {
        let text = try lab.check(on: router, ["conntrackd", "-C", "\(folder(router))/conntrackd.conf", "-s"]).text
        guard let start = text.firstRange(of: "cache external:")?.upperBound,
            let line = text[start...].split(separator: "\n").first(where: { $0.contains("current active") }),
            let count = line.split(whereSeparator: { $0 == " " || $0 == "\t" }).last.flatMap({ Int($0) })
        else { throw LabError("unreadable statistics: \(text)") }
        return count
    }

    /// What both said, for messages.
    public var logs: String {
        [LabNode.r1, .r2].map { router in
            ["output", "log", "script.log"].map { name in
                let text = (try? readTextFile("\(folder(router))/\(name)")) ?? ""
                return "--- \(name) of \(router) ---\n" + text.split(separator: "\n").suffix(15).joined(separator: "\n")
            }.joined(separator: "\n")
        }.joined(separator: "\n")
    }
}
