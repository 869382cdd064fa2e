import Glibc
import Lab
import Testing

extension LabTests {
    /// The lab is what it says it is, before anything is measured with it.
    @Suite("The lab itself")
    struct Itself {
        @Test("without FlowSync no connection survives: 0 of 500 on each path")
        func withoutFlowSyncNothingSurvives() throws {
            let lab = try Lab()
            defer { lab.close() }
            let traffic = try Traffic(in: lab)
            for path in [Traffic.Path.snat, .dnat, .ipv6] { try traffic.open(500, path) }
            expectAllAlive(try traffic.alive(within: 10))

            try lab.cutLinks(of: .r1)
            try lab.moveAddresses(to: .r2)
            for report in try traffic.alive(within: 5) {
                #expect(report.alive == 0, "\(report)")
                #expect(report.total == 500)
            }
        }

        @Test("every path is translated as its name says")
        func pathsAreTranslated() throws {
            let lab = try Lab()
            defer { lab.close() }
            let traffic = try Traffic(in: lab)
            for path in Traffic.Path.allCases {
                try traffic.open(3, path)
                try traffic.open(3, path, .udp)
            }
            let flows = try lab.kernelFlows(of: .r1).flows
            func count(_ proto: String, _ original: String, _ reply: String) -> Int {
                flows.count {
                    $0.key.hasPrefix("\(proto) ") && $0.key.contains(original)
                        && $0.value.reply.contains(reply)
                }
            }
            for proto in ["tcp", "udp"] {
                #expect(count(proto, "src=10.10.0.", "dst=10.20.0.1 ") == 3)
                #expect(count(proto, "dst=10.10.0.1 ", "src=10.20.0.10 dst=10.10.1.") == 3)
                #expect(count(proto, "src=fd10::1", "src=fd20::10 dst=fd10::1") == 6)
                #expect(count(proto, "src=fd10::a", "dst=fd20::1 ") == 3)
                #expect(count(proto, "dst=fd10::1 ", "src=fd20::10 ") == 3)
            }
        }

        @Test("connections that no router stands in the way of survive moving the addresses back and forth")
        func movingBackKeepsConnections() throws {
            let lab = try Lab()
            defer { lab.close() }
            let traffic = try Traffic(in: lab)
            try traffic.open(20, .snat)
            try traffic.open(20, .ipv6)
            try lab.moveAddresses(to: .r2)
            try lab.moveAddresses(to: .r1)
            expectAllAlive(try traffic.alive(within: 10))
        }

        @Test("a lab whose process was killed is swept away by the next one")
        func staleLabIsSwept() throws {
            let lab = try Lab()
            // What a killed process leaves: a namespace, a folder, and a process id that is nobody's.
            let stale = "fs-999999-1-1"
            try runChecked(["ip", "netns", "add", stale + "-r1"])
            try runChecked(["mkdir", "-p", "/tmp/" + stale])
            let orphan = try ChildProcess(["ip", "netns", "exec", stale + "-r1", "sleep", "600"])
            lab.close()

            let next = try Lab()
            defer { next.close() }
            let namespaces = try runChecked(["ip", "netns", "list"]).text
            #expect(!namespaces.contains(stale))
            #expect(!namespaces.contains(lab.name + "-"))
            #expect(namespaces.contains(next.name + "-r2"))
            #expect(access("/tmp/" + stale, F_OK) != 0)
            #expect(access(lab.directory, F_OK) != 0)
            #expect(orphan.wait(timeoutSeconds: 5) != nil)
        }

        @Test("the comparison sees a missing flow, another mark, another state and another translation")
        func comparisonSeesDifferences() {
            let kernel = FlowSnapshot("kernel", parsing: Array(Self.kernelLines.utf8), ignoring: ["10.10.0.2"])
            #expect(kernel.flows.count == 3)
            let cache = FlowSnapshot("cache", parsing: Array(Self.cacheLines.utf8))
            #expect(kernel.differences(to: cache) == [])
            for (old, new) in [
                ("ESTABLISHED", "CLOSE_WAIT"), ("mark=7", "mark=8"), ("dst=10.20.0.1 ", "dst=10.20.0.9 "),
                ("[UNREPLIED] ", ""), (" [ASSURED]", ""), ("id=9", "id=8"),
            ] {
                let changed = FlowSnapshot("other", parsing: Array(Self.cacheLines.replacing(old, with: new).utf8))
                #expect(!kernel.differences(to: changed).isEmpty, "\(old) → \(new)")
            }
        }

        private static let kernelLines = """
            tcp      6 431999 ESTABLISHED src=10.10.0.10 dst=10.20.0.10 sport=40000 dport=7000 src=10.20.0.10 \
            dst=10.20.0.1 sport=7000 dport=40000 [ASSURED] mark=7 use=1
            udp      17 29 src=fd10::10 dst=fd20::10 sport=5 dport=53 [UNREPLIED] src=fd20::10 dst=fd10::10 sport=53 \
            dport=5 mark=0 use=1
            icmp     1 20 src=10.10.1.10 dst=10.20.0.10 type=8 code=0 id=9 src=10.20.0.10 dst=10.10.1.10 type=0 code=0 \
            id=9 mark=0 use=1
            icmp     1 20 src=10.10.0.2 dst=10.20.0.10 type=8 code=0 id=9 src=10.20.0.10 dst=10.10.0.2 type=0 code=0 \
            id=9 mark=0 use=1
            """
        private static let cacheLines = """
            tcp      6 ESTABLISHED src=10.10.0.10 dst=10.20.0.10 sport=40000 dport=7000 src=10.20.0.10 \
            dst=10.20.0.1 sport=7000 dport=40000 [ASSURED] mark=7 [active since 3s]
            udp      17 src=fd10::10 dst=fd20::10 sport=5 dport=53 [UNREPLIED] src=fd20::10 dst=fd10::10 sport=53 \
            dport=5 mark=0 [active since 3s]
            icmp     1 src=10.10.1.10 dst=10.20.0.10 type=8 code=0 id=9 src=10.20.0.10 dst=10.10.1.10 type=0 code=0 \
            id=9 mark=0 [active since 3s]
            """
    }
}
