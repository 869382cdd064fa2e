import Control
import Lab
import Testing

extension LabTests {
    /// The single steps that failover scripts use.
    @Suite("Commands")
    struct Commands {
        private func succeed(_ lab: Lab, _ router: LabNode, _ arguments: [String]) throws {
            let result = try lab.flowsync(on: router, arguments: arguments)
            #expect(result.exit == 0, "flowsync \(arguments.joined(separator: " ")) on \(router): \(result.summary)")
        }

        @Test("flush, resync, push and commit do what they say")
        func singleSteps() throws {
            let lab = try Lab()
            defer { lab.close() }
            try lab.startPair()
            try lab.inject(2_000, into: .r1)
            #expect(try lab.waitUntilEqual(within: 5) == 2_000)

            try succeed(lab, .r1, ["flush", "internal"])
            #expect(try lab.internalFlows(of: .r1).flows.isEmpty)
            try succeed(lab, .r1, ["resync", "kernel"])
            #expect(try lab.waitUntilEqual(within: 5) == 2_000)

            for (router, command) in [(LabNode.r2, ["resync", "peer"]), (.r1, ["push"])] {
                let createdCount = try lab.statistics(of: .r2).externalCache.createdCount
                try succeed(lab, .r2, ["flush", "external"])
                try succeed(lab, router, command)
                #expect(try lab.waitUntilEqual(within: 5) == 2_000)
                // Looking at once for an empty cache would be a race: a digest, four a second, brings flows back too.
                #expect(try lab.statistics(of: .r2).externalCache.createdCount == createdCount + 2_000)
            }

            try succeed(lab, .r2, ["commit"])
            #expect(try lab.kernelFlows(of: .r1).differences(to: lab.kernelFlows(of: .r2)) == [])
            try succeed(lab, .r2, ["flush", "kernel"])
            #expect(try lab.kernelFlows(of: .r2).flows.isEmpty)
        }

        @Test("exit status and plain output are what scripts rely on")
        func exitStatus() throws {
            let lab = try Lab()
            defer { lab.close() }
            #expect(try lab.flowsync(on: .r1, "status").exit == 3)
            try lab.startPair()
            #expect(try lab.flowsync(on: .r1, "frobnicate").exit == 2)
            #expect(try lab.flowsync(on: .r1, "role", "emperor").exit == 2)
            let stats = try lab.flowsync(on: .r1, "stats").text
            #expect(stats.hasPrefix("cache internal:\ncurrent active connections:\t           0\n"), "\(stats)")
            for topic in ["cache", "network", "runtime", "link", "queue"] {
                #expect(try lab.flowsync(on: .r1, "stats", topic).exit == 0)
            }
            #expect(try lab.flowsync(on: .r2, "ready").exit == 0)
            try lab.kill9(.r2)
            #expect(try lab.flowsync(on: .r2, "dump", "external").exit == 3)
        }

        @Test("configuration is checked by the command too")
        func configCheck() throws {
            let lab = try Lab()
            defer { lab.close() }
            let path = "\(lab.directory)/check.toml"
            var settings = DaemonSettings()
            settings.security = .insecure
            let text = settings.configuration(for: .r1, socketPath: "/run/x.sock")
            try writeTextFile(path, text)
            let command = try LabPrograms.command()
            #expect(try runCommand([command, "config", "check", path]).exit == 0)
            try writeTextFile(path, text.replacing("port = 3780", with: "port = 99999"))
            let result = try runCommand([command, "config", "check", path])
            #expect(result.exit == 1)
            #expect(result.errorText.contains("\(path):"), "\(result.summary)")
        }
    }
}
