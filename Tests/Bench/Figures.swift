/// All rows of the table, in its order.
enum Figures {
    static let all: [Figure] = activity + memoryAndBytes + tables + transfer + scale

    private static let steady10k = SteadyScenario(
        name: "10 k events a second, 10 k flows",
        population: 10_000,
        rate: 10_000,
        operationCount: 100_000,
        subjects: [.floor, .flowsync, .conntrackd]
    )
    private static let steady50k = SteadyScenario(
        name: "50 k events a second, 10 k flows",
        population: 10_000,
        rate: 50_000,
        operationCount: 500_000,
        subjects: [.none, .floor, .flowsync, .conntrackd]
    )
    private static let saturated = SteadyScenario(
        name: "as many events as the kernel gives, 10 k flows",
        population: 10_000,
        rate: 0,
        operationCount: 600_000,
        subjects: [.floor, .flowsync, .conntrackd]
    )

    private static let activity: [Figure] = [
        Figure(
            name: "active-10k",
            title: "active: CPU per event at 10 k/s",
            unit: "µs",
            key: "active",
            scenario: steady10k,
            comparison: .conntrackd(0.33),
            scale: 1_000,
            floorText: "receive and drop once per ms"
        ),
        Figure(
            name: "active-50k",
            title: "active: CPU per event at 50 k/s",
            unit: "µs",
            key: "active",
            scenario: steady50k,
            comparison: .conntrackd(0.33),
            scale: 1_000,
            floorText: "receive and drop once per ms"
        ),
        Figure(
            name: "active-saturated",
            title: "active: CPU per event saturated",
            unit: "µs",
            key: "active",
            scenario: saturated,
            comparison: .conntrackd(0.50),
            scale: 1_000,
            floorText: "receive and drop once per ms"
        ),
        Figure(
            name: "busy-50k",
            title: "whole system's busy time at 50 k/s, both routers: extra over no daemon",
            unit: "µs per event",
            key: "busy",
            scenario: steady50k,
            comparison: .extra(0.40),
            scale: 1_000,
            floorText: "receive and drop once per ms, one router"
        ),
        Figure(
            name: "standby-50k",
            title: "standby: CPU per event at 50 k/s",
            unit: "µs",
            key: "standby",
            scenario: steady50k,
            floorScenario: StandbyFloorScenario(),
            comparison: .conntrackd(0.50),
            scale: 1_000,
            floorText: "receive FlowSync's datagrams once per ms and drop them"
        ),
    ]

    private static let growth = GrowthScenario()

    private static let memoryAndBytes: [Figure] = [
        Figure(
            name: "memory-internal",
            title: "memory per flow, internal cache, resident, from 100 k to 1 M flows",
            unit: "bytes",
            key: "internal",
            scenario: growth,
            floorScenario: WireScenario(),
            floorKey: "bytes",
            comparison: .conntrackd(0.35),
            digits: 0,
            floorText: "the flow's record alone"
        ),
        Figure(
            name: "memory-external",
            title: "memory per flow, external cache, resident, from 100 k to 1 M flows",
            unit: "bytes",
            key: "external",
            scenario: growth,
            floorScenario: WireScenario(),
            floorKey: "bytes",
            comparison: .conntrackd(0.35),
            digits: 0,
            floorText: "the flow's record alone"
        ),
        Figure(
            name: "wire-50k",
            title: "sync link per created flow at 50 k/s, both directions, with all headers",
            unit: "bytes",
            key: "bytes",
            scenario: WireScenario(),
            comparison: .conntrackd(0.60),
            digits: 1,
            floorText: "the flow's record alone"
        ),
    ]

    private static let tables: [Figure] = [
        Figure(
            name: "commit-empty",
            title: "commit of 300 k SNAT flows into an empty kernel table",
            unit: "ms",
            key: "commit",
            scenario: TableScenario(),
            comparison: .floor(1.10),
            digits: 0,
            floorText: "libmnl insertion loop"
        ),
        Figure(
            name: "commit-present",
            title: "commit of 300 k SNAT flows that are all there already",
            unit: "ms",
            key: "recommit",
            scenario: TableScenario(),
            comparison: .conntrackd(0.50),
            digits: 0,
            floorText: "libmnl update loop"
        ),
        Figure(
            name: "dump",
            title: "dump of the internal cache, 300 k flows, to text",
            unit: "ms",
            key: "dump",
            scenario: TableScenario(),
            comparison: .conntrackd(1.0),
            digits: 0,
            floorText: "dump of the kernel's table, dropped"
        ),
    ]

    private static let transfer: [Figure] = [
        Figure(
            name: "transfer-time",
            title: "full transfer of 300 k flows to an empty peer, from its start",
            unit: "ms",
            key: "time",
            scenario: TransferScenario(),
            comparison: .conntrackd(0.7),
            digits: 0,
            floorText: "the records as datagrams, sent"
        ),
        Figure(
            name: "transfer-bytes",
            title: "full transfer of 300 k flows to an empty peer",
            unit: "MB",
            key: "bytes",
            scenario: TransferScenario(),
            comparison: .conntrackd(0.6),
            scale: 1e6,
            floorText: "the records as datagrams, sent"
        ),
        Figure(
            name: "latency-10k",
            title: "event to peer's external cache, p99 at 10 k/s",
            unit: "ms",
            key: "p99",
            scenario: LatencyScenario(),
            comparison: .absolute(5),
            floorText: "event received by a program that looks once per ms"
        ),
    ]

    private static let steady2M = SteadyScenario(
        name: "50 k events a second, 2 M flows",
        population: 2_000_000,
        rate: 50_000,
        operationCount: 500_000,
        subjects: [.floor, .flowsync, .conntrackd]
    )
    /// Mostly updates: of creates alone the kernel does not take 200 k a second on one processor.
    private static let flood = SteadyScenario(
        name: "200 k events a second for 20 s, 10 k flows",
        population: 10_000,
        rate: 200_000,
        operationCount: 4_000_000,
        updatesPerCreate: 6,
        subjects: [.floor, .flowsync, .conntrackd]
    )

    private static let scale: [Figure] = [
        Figure(
            name: "active-2m",
            title: "active: CPU per event at 50 k/s with 2 M flows in the table",
            unit: "µs",
            key: "active",
            scenario: steady2M,
            comparison: .figure("active-50k", 1.3),
            scale: 1_000,
            floorText: "receive and drop once per ms"
        ),
        Figure(
            name: "idle-1m",
            title: "idle daemon with 1 M flows in its internal cache",
            unit: "% of a core",
            key: "idle",
            scenario: IdleScenario(),
            comparison: .absolute(0.5),
            floorText: "nothing"
        ),
        Figure(
            name: "idle-1m-standby",
            title: "idle daemon with 1 M flows in its external cache",
            unit: "% of a core",
            key: "idleStandby",
            scenario: IdleScenario(),
            comparison: .absolute(0.5),
            floorText: "nothing"
        ),
        Figure(
            name: "lost-200k",
            title: "events lost at 200 k/s for 20 s with a 64 MiB buffer",
            unit: "events",
            key: "lost",
            scenario: flood,
            comparison: .absolute(0),
            digits: 0,
            floorText: "receive and drop once per ms"
        ),
    ]
}
