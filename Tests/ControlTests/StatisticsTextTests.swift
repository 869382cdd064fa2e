import Control
import Testing

/// What conntrackd 1.4.7 printed, byte for byte; the numbers of `Statistics.captured` are those of that run.
private enum Captured {
    static let summary = """
        cache internal:
        current active connections:\t           7
        connections created:\t\t           8\tfailed:\t           0
        connections updated:\t\t          11\tfailed:\t           0
        connections destroyed:\t\t           1\tfailed:\t           0

        cache external:
        current active connections:\t           0
        connections created:\t\t           0\tfailed:\t           0
        connections updated:\t\t           0\tfailed:\t           0
        connections destroyed:\t\t           0\tfailed:\t           0

        traffic processed:
                           0 Bytes                         0 Pckts

        UDP traffic (active device=sync0):
                        1368 Bytes sent                   80 Bytes recv
                          18 Pckts sent                    5 Pckts recv
                           0 Error send                    0 Error recv

        message tracking:
                           0 Malformed msgs                    0 Lost msgs


        """

    static let network = """
        network statistics:
        \trecv:
        \t\tMalformed messages:\t                   0
        \t\tWrong protocol version:\t                   0
        \t\tMalformed header:\t                   0
        \t\tMalformed payload:\t                   0
        \t\tBad message type:\t                   0
        \t\tTruncated message:\t                   0
        \t\tBad message size:\t                   0
        \tsend:
        \t\tMalformed messages:\t                   0

        sequence tracking statistics:
        \trecv:
        \t\tPackets lost:\t\t                   4
        \t\tPackets before:\t\t                   0


        """

    static let cache = """
        cache:internal\tactive objects:\t\t           7
        \tactive/total entries:\t\t           7/           7
        \tcreation OK/failed:\t\t           8/           0
        \t\tno memory available:\t           0
        \t\tno space left in cache:\t           0
        \tupdate OK/failed:\t\t          11/           0
        \t\tentry not found:\t           0
        \tdeletion created/failed:\t           1/           0
        \t\tentry not found:\t           0

        cache:external\tactive objects:\t\t           0
        \tactive/total entries:\t\t           0/           0
        \tcreation OK/failed:\t\t           0/           0
        \t\tno memory available:\t           0
        \t\tno space left in cache:\t           0
        \tupdate OK/failed:\t\t           0/           0
        \t\tentry not found:\t           0
        \tdeletion created/failed:\t           0/           0
        \t\tentry not found:\t           0


        """

    static let runtime = """
        daemon uptime: 0 min

        netlink stats:
        \tevents received:\t                  21
        \tevents filtered:\t                   0
        \tevents unknown type:\t\t           0
        \tcatch event failed:\t\t           0
        \tdump unknown type:\t\t           0
        \tnetlink overrun:\t\t           0
        \tflush kernel table:\t\t           0
        \tresync with kernel table:\t           0
        \tcurrent buffer size (in bytes):\t     2097152

        runtime stats:
        \tchild process failed:\t\t           0
        \t\tchild process segfault:\t           0
        \t\tchild process termsig:\t           0
        \tselect failed:\t\t\t           0
        \twait failed:\t\t\t           0
        \tlocal read failed:\t\t           0
        \tlocal unknown request:\t\t           0


        """

    static let link = """
        UDP traffic device=sync0 status=RUNNING role=ACTIVE:
                        1368 Bytes sent                   80 Bytes recv
                          18 Pckts sent                    5 Pckts recv
                           0 Error send                    0 Error recv


        """

    static let queue = """
        allocated queue nodes:\t\t           1

        queue txqueue:
        current elements:\t\t           0
        maximum elements:\t\t  2147483647
        not enough space errors:\t           0

        queue errorq:
        current elements:\t\t           0
        maximum elements:\t\t         128
        not enough space errors:\t           0

        queue rsqueue:
        current elements:\t\t           5
        maximum elements:\t\t      131072
        not enough space errors:\t           0


        """
}

extension Statistics {
    /// The counters of the captured run.
    fileprivate static var captured: Statistics {
        var statistics = Statistics(node: "r1", uptimeSeconds: 59)
        statistics.internalCache.activeFlowCount = 7
        statistics.internalCache.objectCount = 7
        statistics.internalCache.entryCount = 7
        statistics.internalCache.createdCount = 8
        statistics.internalCache.updatedCount = 11
        statistics.internalCache.destroyedCount = 1
        var link = LinkStatistics(transport: "UDP", interface: "sync0", isUp: true, isRunning: true, isActive: true)
        link.sentByteCount = 1_368
        link.receivedByteCount = 80
        link.sentDatagramCount = 18
        link.receivedDatagramCount = 5
        statistics.links = [link]
        statistics.replication.lostDatagramCount = 0
        statistics.kernel.eventCount = 21
        statistics.kernel.eventBufferByteCount = 2_097_152
        statistics.queueNodeCount = 1
        statistics.queues = [
            QueueStatistics(name: "txqueue", elementCount: 0, elementCountMax: 2_147_483_647),
            QueueStatistics(name: "errorq", elementCount: 0, elementCountMax: 128),
            QueueStatistics(name: "rsqueue", elementCount: 5, elementCountMax: 131_072),
        ]
        return statistics
    }
}

@Suite struct StatisticsTextTests {
    @Test(arguments: [
        (StatisticsTopic.summary, Captured.summary), (.cache, Captured.cache), (.link, Captured.link),
        (.queue, Captured.queue),
    ])
    func pageIsWhatConntrackdPrints(topic: StatisticsTopic, captured: String) {
        #expect(StatisticsText.render(.captured, topic: topic) == captured)
    }

    @Test func runtimePageBeginsWithWhatConntrackdPrints() {
        let page = StatisticsText.render(.captured, topic: .runtime)
        #expect(page.hasPrefix(Captured.runtime + "kernel statistics:\n"))
    }

    @Test func networkPageBeginsWithWhatConntrackdPrints() {
        var statistics = Statistics.captured
        statistics.replication.lostDatagramCount = 4
        let page = StatisticsText.render(statistics, topic: .network)
        let traffic = Captured.link.split(separator: "\n", maxSplits: 1)[1]
        let expected = Captured.network + "UDP traffic (active device=sync0):\n" + traffic
        #expect(page.hasPrefix(expected + "replication statistics:\n"))
    }

    /// Every counter reaches its own line: no two lines show the same field.
    @Test func eachCounterHasItsOwnLine() {
        var statistics = Statistics.captured
        statistics.replication.wrongVersionCount = 101
        statistics.replication.malformedHeaderCount = 102
        statistics.replication.malformedPayloadCount = 103
        statistics.replication.unknownTypeCount = 104
        statistics.replication.truncatedCount = 105
        statistics.replication.wrongSizeCount = 106
        statistics.replication.unsendableCount = 107
        statistics.replication.lateDatagramCount = 108
        let page = StatisticsText.render(statistics, topic: .network)
        let lines = page.split(separator: "\n")
        for (name, value) in [
            ("Wrong protocol version:", 101), ("Malformed header:", 102), ("Malformed payload:", 103),
            ("Bad message type:", 104), ("Truncated message:", 105), ("Bad message size:", 106),
            ("Packets before:", 108),
        ] {
            let line = lines.first { $0.contains(name) }
            #expect(line?.hasSuffix(" \(value)") == true, "\(name)")
        }
        let malformed = lines.filter { $0.contains("Malformed messages:") }
        #expect(malformed.map { $0.split(separator: " ").last } == ["621", "107"])
        #expect(StatisticsText.render(statistics, topic: .summary).contains(" 621 Malformed msgs "))
    }

    @Test func cacheFailuresAreSplitByCause() {
        var statistics = Statistics.captured
        statistics.internalCache.createFailedNoMemoryCount = 2
        statistics.internalCache.createFailedNoSpaceCount = 3
        statistics.internalCache.updateFailedNotFoundCount = 4
        statistics.internalCache.destroyFailedNotFoundCount = 6
        let page = StatisticsText.render(statistics, topic: .cache)
        #expect(page.contains("creation OK/failed:\t\t           8/           5\n"))
        #expect(page.contains("no memory available:\t           2\n"))
        #expect(page.contains("no space left in cache:\t           3\n"))
        #expect(page.contains("update OK/failed:\t\t          11/           4\n"))
        #expect(page.contains("deletion created/failed:\t           1/           6\n"))
        let summary = StatisticsText.render(statistics, topic: .summary)
        #expect(summary.contains("connections created:\t\t           8\tfailed:\t           5\n"))
    }

    @Test(arguments: [
        (true, true, true, "status=RUNNING role=ACTIVE"), (true, false, false, "status=NO-CARRIER role=BACKUP"),
        (false, false, false, "status=DOWN role=BACKUP"),
    ])
    func linkStatusAndRole(isUp: Bool, isRunning: Bool, isActive: Bool, expected: String) {
        var statistics = Statistics(node: "r1")
        statistics.links = [
            LinkStatistics(
                transport: "multicast",
                interface: "eth2",
                isUp: isUp,
                isRunning: isRunning,
                isActive: isActive
            )
        ]
        let page = StatisticsText.render(statistics, topic: .link)
        #expect(page.hasPrefix("multicast traffic device=eth2 \(expected):\n"))
    }

    @Test func causesFollowTheBlocksAndAreSorted() {
        var statistics = Statistics.captured
        statistics.links[0].sendErrors = ["ENETDOWN": 2, "ENOBUFS": 1]
        statistics.links[0].dropped = ["truncated": 3, "foreign interface": 4, "foreign address": 0]
        let page = StatisticsText.render(statistics, topic: .link)
        #expect(page.contains("                   3 Error send                    0 Error recv\n"))
        #expect(
            page.hasSuffix(
                """
                UDP causes device=sync0:
                \tsend errors:
                \t\tENETDOWN:\t                   2
                \t\tENOBUFS:\t                   1
                \tdropped:
                \t\tforeign interface:\t                   4
                \t\ttruncated:\t                   3


                """
            )
        )
    }

    @Test func kernelRefusalsAndProtocolDropsAreShownByCause() {
        var statistics = Statistics.captured
        statistics.kernel.refused = ["ENOMEM": 12]
        statistics.replication.dropped = ["own datagram": 13]
        statistics.replication.resentCount = 14
        #expect(StatisticsText.render(statistics, topic: .runtime).contains("\t\tENOMEM:\t                  12\n"))
        let network = StatisticsText.render(statistics, topic: .network)
        #expect(network.contains("\t\town datagram:\t                  13\n"))
        #expect(network.contains("\t\tflows sent again:\t                  14\n"))
    }

    @Test func countersWiderThanTheirColumnAreNotCut() {
        var statistics = Statistics.captured
        statistics.internalCache.createdCount = 1_234_567_890_123
        let page = StatisticsText.render(statistics, topic: .summary)
        #expect(page.contains("connections created:\t\t1234567890123\tfailed:"))
    }

    @Test(arguments: [
        (0, "0 min"), (59, "0 min"), (60, "1 min"), (11_520, "3 h 12 min"), (184_320, "2 days 3 h 12 min"),
    ])
    func uptimeForms(seconds: UInt64, expected: String) {
        #expect(DurationText.uptime(seconds: seconds) == expected)
    }

    @Test func withoutAnyLinkThePageStillRenders() {
        let page = StatisticsText.render(Statistics(node: "r1"), topic: .summary)
        #expect(
            page.hasSuffix(
                "Pckts\n\nmessage tracking:\n\(String(repeating: " ", count: 19))0 Malformed msgs"
                    + " \(String(repeating: " ", count: 19))0 Lost msgs\n\n"
            )
        )
    }
}
