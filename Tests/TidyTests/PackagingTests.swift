import FoundationEssentials
import Glibc
import Testing

/// What an operator installs: the unit, the example files, `make install`.
@Suite("Packaging", .serialized)
struct PackagingTests {
    /// A folder of its own for each test, removed at the end.
    private final class Folder {
        let path: String

        init() throws {
            path = "/tmp/flowsync-packaging-\(getpid())-\(UInt32.random(in: 0 ... .max))"
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        }

        func write(_ text: String, to name: String, mode: Int = 0o644) throws {
            try text.write(toFile: path + "/" + name, atomically: false, encoding: .utf8)
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path + "/" + name)
        }

        func read(_ name: String) throws -> String {
            try String(contentsOfFile: path + "/" + name, encoding: .utf8)
        }

        deinit { try? FileManager.default.removeItem(atPath: path) }
    }

    /// Runs a shell command in the repository's root; gives its exit status and what it wrote to either stream.
    private func run(_ command: String) throws -> (status: Int32, output: String) {
        let pipe = try #require(popen("cd '\(Repository.root)' && { \(command) ; } 2>&1", "r"))
        var output: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4_096)
        while true {
            let count = fread(&chunk, 1, chunk.count, pipe)
            if count == 0 { break }
            output += chunk[..<count]
        }
        return (pclose(pipe) >> 8, String(decoding: output, as: UTF8.self))
    }

    /// `make install` into a folder, with stand-ins for the programs.
    private func install(in folder: Folder, prefix: String = "/usr") throws {
        for name in ["flowsyncd", "flowsync"] { try folder.write("#!/bin/sh\nexit 0\n", to: name, mode: 0o755) }
        let result = try run("make install BIN='\(folder.path)' DESTDIR='\(folder.path)/root' PREFIX=\(prefix)")
        #expect(result.status == 0, "\(result.output)")
    }

    @Test("make install puts everything in its place, and keeps the operator's configuration")
    func install() throws {
        let folder = try Folder()
        try install(in: folder)
        let modes = [
            ("usr/sbin/flowsyncd", 0o755), ("usr/bin/flowsync", 0o755), ("usr/lib/flowsync/flowsync-notify", 0o755),
            ("etc/flowsync/flowsyncd.toml", 0o644), ("usr/lib/systemd/system/flowsyncd.service", 0o644),
            ("usr/lib/sysctl.d/90-flowsync.conf", 0o644), ("usr/lib/modules-load.d/flowsync.conf", 0o644),
            ("usr/share/doc/flowsync/README.md", 0o644), ("usr/share/doc/flowsync/flowsyncd.toml", 0o644),
            ("usr/share/doc/flowsync/keepalived/r1.conf", 0o644), ("usr/share/doc/flowsync/keepalived/r2.conf", 0o644),
            ("usr/share/doc/flowsync/keepalived/r1-fifo.conf", 0o644), ("usr/share/doc/flowsync/failover.md", 0o644),
            ("usr/share/doc/flowsync/keepalived/r1-groups.conf", 0o644),
            ("usr/lib/flowsync/flowsync-notify-fifo", 0o755), ("usr/lib/ocf/resource.d/flowsync/flowsync", 0o755),
            ("usr/lib/tmpfiles.d/flowsync.conf", 0o644),
        ]
        for (path, mode) in modes {
            let attributes = try FileManager.default.attributesOfItem(atPath: "\(folder.path)/root/\(path)")
            #expect(attributes[.posixPermissions] as? Int == mode, "\(path)")
        }
        try folder.write("# mine", to: "root/etc/flowsync/flowsyncd.toml")
        try install(in: folder)
        #expect(try folder.read("root/etc/flowsync/flowsyncd.toml") == "# mine")

        #expect(try run("make uninstall DESTDIR='\(folder.path)/root'").status == 0)
        let left = try run("cd '\(folder.path)/root' && find . -type f").output
        #expect(left == "./etc/flowsync/flowsyncd.toml\n")
    }

    @Test("Another prefix reaches every file that names an installed program")
    func prefix() throws {
        let folder = try Folder()
        try install(in: folder, prefix: "/opt/flowsync")
        let unit = try folder.read("root/usr/lib/systemd/system/flowsyncd.service")
        #expect(unit.contains("ExecStart=/opt/flowsync/sbin/flowsyncd --config /etc/flowsync/flowsyncd.toml\n"))
        #expect(unit.contains("Documentation=file:/opt/flowsync/share/doc/flowsync/README.md\n"))
        let keepalived = try folder.read("root/opt/flowsync/share/doc/flowsync/keepalived/r1.conf")
        #expect(keepalived.contains("script \"/opt/flowsync/bin/flowsync ready\""))
        #expect(keepalived.contains("notify \"/opt/flowsync/lib/flowsync/flowsync-notify\""))
        let fifo = try folder.read("root/opt/flowsync/share/doc/flowsync/keepalived/r1-fifo.conf")
        #expect(fifo.contains("fifo_script \"/opt/flowsync/lib/flowsync/flowsync-notify-fifo GROUP gateway\""))
        let groups = try folder.read("root/opt/flowsync/share/doc/flowsync/keepalived/r1-groups.conf")
        #expect(groups.contains("fifo_script \"/opt/flowsync/lib/flowsync/flowsync-notify-fifo GROUP web=web "))
        let agent = try folder.read("root/usr/lib/ocf/resource.d/flowsync/flowsync")
        #expect(agent.contains("daemon=/opt/flowsync/sbin/flowsyncd\ncommand=/opt/flowsync/bin/flowsync\n"))
        #expect(try run("! grep -rE '/usr/(s?bin|lib)/flowsync' '\(folder.path)/root'").output == "")
    }

    @Test("systemd takes the unit, and rates what it may do at 2.5 or better")
    func unit() throws {
        let folder = try Folder()
        try install(in: folder)
        // verify wants the program to exist.
        let unit = try folder.read("root/usr/lib/systemd/system/flowsyncd.service")
        let present = unit.replacing("/usr/sbin/flowsyncd", with: "\(folder.path)/flowsyncd")
        try folder.write(present, to: "flowsyncd.service")
        let verified = try run("systemd-analyze verify '\(folder.path)/flowsyncd.service'")
        #expect(verified.status == 0)
        #expect(verified.output == "")

        let rated = try run("systemd-analyze security --offline=true --threshold=25 '\(folder.path)/flowsyncd.service'")
        #expect(rated.status == 0, "\(rated.output.suffix(200))")
        #expect(rated.output.contains("Overall exposure level"), "\(rated.output.suffix(200))")
    }

    @Test("A router whose daemon never ran is not ready, from boot on")
    func notReadyFromBootOn() throws {
        let folder = try Folder()
        try install(in: folder)
        let root = "'\(folder.path)/root'"
        #expect(try run("systemd-tmpfiles --create --root=\(root) flowsync.conf").status == 0)
        #expect(try folder.read("root/run/flowsync/ready.track") == "1\n")
        // What the daemon has written since then stays.
        try folder.write("0\n", to: "root/run/flowsync/ready.track")
        #expect(try run("systemd-tmpfiles --create --root=\(root) flowsync.conf").status == 0)
        #expect(try folder.read("root/run/flowsync/ready.track") == "0\n")

        // And one whose daemon has ended is not, for any traffic group: by what the unit runs then.
        let unit = try folder.read("root/usr/lib/systemd/system/flowsyncd.service")
        let start = "ExecStopPost=-"
        let line = try #require(unit.split(separator: "\n").first { $0.hasPrefix(start) })
        let command = String(line.dropFirst(start.count)).replacing("/run/", with: "\(folder.path)/root/run/")
        #expect(try run(command).status == 0)
        #expect(try folder.read("root/run/flowsync/ready.track") == "1\n")
        #expect(try run("ls '\(folder.path)/root/run/flowsync'").output == "ready.track\n")
        for name in ["ready", "ready-web"] { try folder.write("0\n", to: "root/run/flowsync/\(name).track") }
        #expect(try run(command).status == 0)
        for name in ["ready", "ready-web"] { #expect(try folder.read("root/run/flowsync/\(name).track") == "1\n") }
    }

    @Test("keepalived takes all example files")
    func keepalived() throws {
        try #require(geteuid() == 0, "needs root, for a network namespace with the interfaces that the files name")
        let folder = try Folder()
        try install(in: folder, prefix: "/usr")
        for name in ["r1", "r2", "r1-fifo", "r1-groups"] {
            // It looks for the scripts, and takes them only from folders that nobody but root can write to.
            let text = try folder.read("root/usr/share/doc/flowsync/keepalived/\(name).conf")
                .replacing("/usr/bin/flowsync", with: "/bin/true")
                .replacing("/usr/lib/flowsync/flowsync-notify-fifo", with: "/bin/true")
                .replacing("/usr/lib/flowsync/flowsync-notify", with: "/bin/true")
                .replacing("/run/flowsync", with: folder.path)
            try folder.write(text, to: "\(name).conf")
            let setup = "ip link add eth0 type veth peer name eth1 && ip link set eth0 up && ip link set eth1 up"
            let result = try run(
                "unshare --net sh -c '\(setup) && keepalived --config-test --use-file=\(folder.path)/\(name).conf'"
            )
            #expect(result.status == 0)
            #expect(result.output == "")
        }
        // The routers are a pair only if nothing else tells them apart.
        let difference = try run("diff Config/keepalived/r1.conf Config/keepalived/r2.conf | grep -c '^<'")
        #expect(difference.output == "4\n")
        // The way in which the daemon is told changes nothing below it.
        let instances = try ["r1", "r1-fifo"].map {
            try run("sed -n '/^vrrp_instance/,$p' Config/keepalived/\($0).conf")
        }
        #expect(instances[0].output.count > 500)
        #expect(instances[0].output == instances[1].output)
    }

    @Test("Shell scripts are sh, executable, and without what shellcheck warns of")
    func scripts() throws {
        let paths = [
            "Config/keepalived/flowsync-notify", "Config/keepalived/flowsync-notify-fifo", "Config/ocf/flowsync",
            ".ci/run",
        ]
        for path in paths {
            let shell = path == ".ci/run" ? "bash" : "sh"
            let result = try run("\(shell) -n \(path) && test -x \(path) && shellcheck --shell=\(shell) \(path)")
            #expect(result.status == 0, "\(path): \(result.output)")
        }
    }

    @Test(
        "The notify script turns each state of keepalived into one role",
        arguments: [
            ("MASTER", "primary"), ("BACKUP", "backup"), ("FAULT", "fault"), ("STOP", "backup"), ("DELETED", "fault"),
        ]
    )
    func notify(state: String, role: String) throws {
        let result = try notify("GROUP gateway \(state) 150")
        #expect(result.status == 3, "the command's failure is the script's")
        #expect(result.output == "gateway is \(state): flowsync role \(role), exit status 3\n\n")
        #expect(result.calls == "flowsync role \(role)\nlogger -t flowsync-notify -p daemon.err\n")
        #expect(try run("Config/keepalived/flowsync-notify GROUP gateway NONSENSE").status == 2)
    }

    @Test(
        "The notify script moves one traffic group if one is named, and never all because a name is missing",
        arguments: [("MASTER", "primary"), ("STOP", "backup")]
    )
    func notifyGroup(state: String, role: String) throws {
        let result = try notify("--group web GROUP gateway \(state) 150")
        #expect(result.status == 3)
        #expect(result.output == "gateway is \(state): flowsync role \(role) --group web, exit status 3\n\n")
        #expect(result.calls == "flowsync role \(role) --group web\nlogger -t flowsync-notify -p daemon.err\n")
        for group in ["--group", "--group ''", "--group web --group mail", "--groups web", "--group=web"] {
            let refused = try notify("\(group) GROUP gateway \(state) 150")
            #expect(refused.status == 2 && refused.output.hasPrefix("usage: "), "\(group)")
            #expect(refused.calls == "", "\(group)")
        }
    }

    /// Runs the notify script with stand-ins for `flowsync`, which fails, and for `logger`.
    private func notify(_ arguments: String) throws -> (status: Int32, output: String, calls: String) {
        let folder = try Folder()
        try folder.write("", to: "calls")
        try folder.write(
            "#!/bin/sh\necho \"flowsync $*\" >> '\(folder.path)/calls'\nexit 3\n",
            to: "flowsync",
            mode: 0o755
        )
        try folder.write(
            "#!/bin/sh\necho \"logger $*\" >> '\(folder.path)/calls'\ncat >&2\n",
            to: "logger",
            mode: 0o755
        )
        let result = try run("PATH='\(folder.path)':\"$PATH\" Config/keepalived/flowsync-notify \(arguments)")
        return (result.status, result.output, try folder.read("calls"))
    }

    /// Runs the fifo's reader with a stand-in for `flowsync` that writes down how it was called, and what it answers;
    /// and with steps that play keepalived by writing to file descriptor 3.
    ///
    /// - Parameter answer: shell commands that set `status`.
    /// - Returns: the answers, as in `role primary 0`; the calls are in the file of that name.
    private func readFifo(_ tracked: String, _ steps: String, answer: String, in folder: Folder) throws -> [Substring] {
        let command = "#!/bin/sh\ncd '\(folder.path)'\necho \"$*\" >>calls\n\(answer)\necho \"$* $status\" >>answers\n"
        try folder.write(command + "exit $status\n", to: "flowsync", mode: 0o755)
        try folder.write("#!/bin/sh\nexec cat >/dev/null\n", to: "logger", mode: 0o755)
        let script = """
            set -eu
            reader=$PWD/Config/keepalived/flowsync-notify-fifo
            cd '\(folder.path)'
            await() { until eval "$1"; do sleep 0.01; done; }
            touch calls answers fifo.newest
            mkfifo fifo
            "$reader" \(tracked) "$PWD/fifo" &
            exec 3>fifo
            \(steps)
            exec 3>&-
            wait $!
            """
        try folder.write(script, to: "keepalived")
        let result = try run("PATH='\(folder.path)':\"$PATH\" timeout 60 sh '\(folder.path)/keepalived'")
        #expect(result.status == 0, "\(result.output)")
        return try folder.read("answers").split(separator: "\n")
    }

    @Test("The fifo's reader makes one change of role per transition, and few of a burst, the newest last")
    func fifoBurst() throws {
        let folder = try Folder()
        let answers = try readFifo(
            "GROUP gateway",
            #"""
            printf '%s\n' 'GROUP "gateway" BACKUP 0' 'INSTANCE "outside" BACKUP 90' 'GROUP "other" MASTER 0' >&3
            await 'grep -q . calls'
            for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
                printf '%s\n' 'INSTANCE "gateway" FAULT 90' 'GROUP "gateway" MASTER 0' 'GROUP "gateway" FAULT 0'
            done >burst
            printf '%s\n' 'GROUP "gateway" MASTER 0' 'GROUP "gateway" MASTER 0' >>burst
            cat burst >&3
            await 'test "$(cat fifo.newest)" = "42 MASTER"'
            touch done
            """#,
            answer: "until [ -e done ]; do sleep 0.01; done; status=1",
            in: folder
        )
        let calls = try folder.read("calls").split(separator: "\n")
        #expect(calls.first == "role backup" && calls.last == "role primary")
        #expect(2...10 ~= calls.count && answers.count == calls.count, "\(calls) \(answers)")
        #expect(!zip(calls, calls.dropFirst()).contains { $0 == $1 }, "two for one transition: \(calls)")
    }

    @Test("The fifo's reader does not let a new transition wait for the end of the last one")
    func fifoOvertaking() throws {
        let folder = try Folder()
        let calls = try readFifo(
            "GROUP gateway",
            #"""
            echo 'GROUP "gateway" BACKUP 0' >&3
            await 'grep -q backup calls'
            echo 'GROUP "gateway" MASTER 0' >&3
            await 'grep -q primary answers'
            touch done
            """#,
            answer: "[ $2 = primary ] || until [ -e done ]; do sleep 0.01; done; status=0",
            in: folder
        )
        #expect(calls == ["role primary 0", "role backup 0"])
    }

    @Test("The fifo's reader knows instances, names with spaces, and what is no transition")
    func fifoInstance() throws {
        let folder = try Folder()
        let calls = try readFifo(
            "INSTANCE 'wan of r1'",
            #"""
            printf '%s\n' 'GROUP "wan of r1" BACKUP 0' 'INSTANCE "wan of r1" MASTER 150' >&3
            await 'grep -q primary answers'
            printf '%s\n' 'INSTANCE "wan of r1" MASTER_PRIORITY 90' 'INSTANCE "wan of r1" MASTER_RX_LOWER_PRI 90' >&3
            printf '%s\n' 'INSTANCE "wan" BACKUP 90' '' 'INSTANCE' 'INSTANCE "wan of r1" DELETED 0' >&3
            """#,
            answer: "status=0",
            in: folder
        )
        #expect(calls == ["role primary 0", "role fault 0"])
        #expect(try run("Config/keepalived/flowsync-notify-fifo gateway /tmp/fifo").status == 2)
    }

    @Test("The fifo's reader moves each traffic group with its name, and none waits for another")
    func fifoGroups() throws {
        let folder = try Folder()
        let calls = try readFifo(
            "GROUP gateway=web gateway=default 'mail = 2=mail'",
            #"""
            printf '%s\n' 'GROUP "gateway" MASTER 0' 'INSTANCE "mail = 2" FAULT 0' 'GROUP "mail" FAULT 0' >&3
            await 'grep -q default answers'
            echo 'GROUP "mail = 2" MASTER 0' >&3
            await 'grep -q mail answers'
            echo 'GROUP "mail = 2" STOP 0' >&3
            await 'grep -q "backup --group mail" answers'
            test "$(cat fifo.newest-web)" = "1 MASTER" && touch done
            """#,
            answer: "[ $4 != web ] || until [ -e done ]; do sleep 0.01; done; status=0",
            in: folder
        )
        #expect(
            calls == [
                "role primary --group default 0", "role primary --group mail 0", "role backup --group mail 0",
                "role primary --group web 0",
            ]
        )
    }

    @Test(
        "The fifo's reader refuses names and traffic groups of which it could not say what moves what",
        arguments: [
            "GROUP", "GROUP gateway", "GROUP gateway mail=mail", "GROUP web=web mail=web", "GROUP =web", "GROUP web=",
            "GROUP web=Web", "GROUP web=../web", "web=web",
        ]
    )
    func fifoUsage(arguments: String) throws {
        let folder = try Folder()
        // A reader that takes them waits for the fifo's writer, in vain.
        let reader = "timeout 10 Config/keepalived/flowsync-notify-fifo"
        let path = arguments == "GROUP gateway" ? "" : "'\(folder.path)/fifo'"
        let result = try run("mkfifo '\(folder.path)/fifo' && \(reader) \(arguments) \(path)")
        #expect(result.status == 2 && result.output.hasPrefix("usage: "), "\(result)")
    }

    @Test("The fifo's reader waits for a daemon that is being restarted, until keepalived says something else")
    func fifoWithoutDaemon() throws {
        let folder = try Folder()
        let calls = try readFifo(
            "GROUP gateway",
            #"""
            echo 'GROUP "gateway" MASTER 0' >&3
            await 'grep -q ready answers'
            echo 'GROUP "gateway" BACKUP 0' >&3
            await 'grep -q backup answers'
            touch daemon
            """#,
            answer: "status=3; if [ -e daemon ]; then status=0; fi",
            in: folder
        )
        #expect(calls.filter { $0.hasPrefix("role") } == ["role primary 3", "role backup 3", "role backup 0"])
    }
}
