import Control
import Testing

@Suite struct StatusTextTests {
    private func healthy() -> NodeStatus {
        var status = NodeStatus(node: "r2", version: "0.1.0")
        status.role = .backup
        status.roleSinceSeconds = 11_520
        status.uptimeSeconds = 11_600
        status.takeoverNumber = 4
        var peer = PeerStatus(name: "r1")
        peer.isUp = true
        peer.role = .primary
        peer.lastHeardMilliseconds = 400
        peer.isSynchronised = true
        peer.synchronisedSinceSeconds = 7_380
        peer.sentSequence = 12
        peer.acknowledgedSequence = 12
        peer.externalFlowCount = 100_000
        status.peers = [peer]
        status.links = [LinkStatus(description: "multicast 225.0.0.50:3780 on eth2", isLive: true, stateText: "live")]
        status.caches = CacheStatus(internalFlowCount: 1, externalFlowCount: 100_000)
        status.kernel.tableCount = 12
        status.kernel.tableCountMax = 262_144
        status.kernel.eventBufferByteCount = 8_388_608
        return status
    }

    @Test func healthyBackup() {
        #expect(
            StatusText.render(healthy()) == """
                r2: backup for 3 h 12 min, IN SYNC with r1

                  peer    r1: up, primary, heard 400 ms ago, in sync for 2 h 3 min
                          sent 12, acknowledged 12, 0 in flight, holds 100000 flows of its here
                  link    multicast 225.0.0.50:3780 on eth2: live
                  caches  internal 1 flow, external 100000 flows
                  kernel  table 12 of 262144, event buffer 8192 KiB, 0 overruns
                  daemon  version 0.1.0, up 3 h 13 min, takeover number 4

                """
        )
    }

    @Test func whatIsWrongComesFirst() {
        var status = healthy()
        status.peers[0].isUp = false
        status.peers[0].isSynchronised = false
        status.peers[0].lastHeardMilliseconds = 12_400
        status.ready = ReadyReport(reason: "the external cache is older than the peer's last takeover")
        status.warnings = ["net.netfilter.nf_conntrack_events is 0: sysctl -w net.netfilter.nf_conntrack_events=1"]
        status.kernel.eventsEnabled = false
        status.links[0].isLive = false
        status.links[0].stateText = "interface eth2 does not exist"
        let lines = StatusText.render(status).split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines[0] == "r2: backup for 3 h 12 min, NOT IN SYNC: r1 is down")
        #expect(
            lines[1] == "NOT READY to become primary: the external cache is older than the peer's last takeover"
        )
        #expect(lines[2].hasPrefix("WARNING: net.netfilter.nf_conntrack_events is 0"))
        #expect(lines[3] == "")
        #expect(lines[4] == "  peer    r1: DOWN, last heard 12 s ago, NOT IN SYNC")
        #expect(
            lines[6] == "  link    multicast 225.0.0.50:3780 on eth2: NOT LIVE: interface eth2 does not exist"
        )
        #expect(lines[8].hasPrefix("  kernel  SENDS NO EVENTS, table "))
    }

    @Test func aPeerThatIsUpSaysWhyItIsNotInSync() {
        var status = healthy()
        status.peers[0].isSynchronised = false
        status.peers[0].reason = "bulk transfer: 12000 of 100000 flows"
        status.peers.append(PeerStatus(name: "r3"))
        let page = StatusText.render(status)
        #expect(
            page.hasPrefix(
                "r2: backup for 3 h 12 min, NOT IN SYNC: bulk transfer: 12000 of 100000 flows (and 1 more)\n"
            )
        )
        #expect(page.contains("  peer    r3: never heard, NOT IN SYNC\n"))
        #expect(!status.isSynchronised)
    }

    @Test func trafficGroupsHaveARowEach() {
        var status = healthy()
        var web = GroupStatus(
            name: "web",
            role: .primary,
            roleSinceSeconds: 180,
            takeoverNumber: 5,
            ready: ReadyReport(),
            caches: CacheStatus(internalFlowCount: 120, externalFlowCount: 0, preloadedFlowCount: 0),
            gate: GateStatus(interfaces: ["eth0"], isClosed: false),
            peers: status.peers
        )
        web.peers[0].role = .backup
        var byDefault = web
        byDefault.name = "default"
        byDefault.role = .backup
        byDefault.gate = nil
        byDefault.caches = CacheStatus(internalFlowCount: 0, externalFlowCount: 1)
        byDefault.peers[0].role = .primary
        status.groups = [byDefault, web]
        var page = StatusText.render(status)
        #expect(page.hasPrefix("r2: primary of web, backup of default, IN SYNC with r1\n"))
        #expect(
            page.contains(
                """
                  group   default: backup for 3 min 0 s, takeover number 5; r1 primary, in sync
                          internal 0 flows, external 1 flow
                  group   web: primary for 3 min 0 s, takeover number 5, gate open; r1 backup, in sync
                          internal 120 flows, external 0 flows, 0 of them preloaded

                """
            )
        )
        status.groups?[1].peers[0].isSynchronised = false
        status.groups?[1].peers[0].reason = "its flows are not all here yet"
        page = StatusText.render(status)
        #expect(
            page.hasPrefix("r2: primary of web, backup of default, NOT IN SYNC: web: its flows are not all here yet\n")
        )
        #expect(!status.isSynchronised)
    }

    @Test func freshStart() {
        let page = StatusText.render(NodeStatus(node: "r1", version: "0.1.0"))
        #expect(page.hasPrefix("r1: no role yet, NOT IN SYNC: no peer has been heard\n\n  peer    none heard yet\n"))
    }

    @Test func lastTakeoverIsShownWithItsSteps() {
        var status = healthy()
        status.lastTakeover = TakeoverStatus(
            secondsAgo: 200,
            report: ActionReport(
                action: "role primary",
                succeeded: true,
                steps: [StepReport(name: "commit", count: 3, milliseconds: 1.25)]
            )
        )
        #expect(
            StatusText.render(status).hasSuffix(
                """
                  last    3 min 20 s ago: role primary: done in 1.3 ms
                          commit  3  1.3 ms  failed 0

                """
            )
        )
    }

    @Test func actionPrintsOneAlignedLinePerStep() {
        let report = ActionReport(
            action: "role primary",
            succeeded: false,
            steps: [
                StepReport(
                    name: "commit",
                    count: 100_000,
                    failed: ["ENOMEM": 2, "EINVAL": 1],
                    milliseconds: 812.34
                ),
                StepReport(name: "take over", count: 5, milliseconds: 0.5, note: "nothing to send"),
            ],
            message: "the kernel refused 3 flows"
        )
        #expect(
            ActionText.render(report) == """
                role primary: FAILED after 812.8 ms: the kernel refused 3 flows
                  commit     100000  812.3 ms  failed 3 (EINVAL 1, ENOMEM 2)
                  take over       5    0.5 ms  failed 0  nothing to send

                """
        )
    }

    @Test func statusSurvivesItsJSON() throws {
        var status = healthy()
        status.lastTakeover = TakeoverStatus(
            secondsAgo: 1,
            report: ActionReport(action: "role primary", succeeded: true, steps: [StepReport(name: "commit")])
        )
        let data = try APICoder.encode(status)
        #expect(try APICoder.decode(NodeStatus.self, from: Array(data)) == status)
        #expect(data.last == UInt8(ascii: "\n"))
    }

    @Test func statisticsSurviveTheirJSON() throws {
        var statistics = Statistics(node: "r1", uptimeSeconds: .max)
        statistics.kernel.refused = ["ENOMEM": 3]
        statistics.queues = [QueueStatistics(name: "txqueue", elementCount: 1, elementCountMax: 2)]
        let data = try APICoder.encode(statistics)
        #expect(try APICoder.decode(Statistics.self, from: Array(data)) == statistics)
    }

    @Test func whatJSONCannotHoldIsAnError() {
        #expect(throws: APICoder.CodingFailure.self) {
            try APICoder.encode(StepReport(name: "commit", milliseconds: .nan))
        }
        #expect(throws: APICoder.CodingFailure.self) {
            try APICoder.decode(NodeStatus.self, from: Array("{\"node\":".utf8))
        }
    }
}
