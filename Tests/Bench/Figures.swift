/// All rows of the table, in its order.
enum Figures {
    static let all: [Figure] = activity

    private static let steady10k = SteadyScenario(
        name: "10 k events a second, 10 k flows",
        population: 10_000,
        rate: 10_000,
        operationCount: 99_999,
        subjects: [.floor, .flowsync, .conntrackd]
    )
    private static let steady50k = SteadyScenario(
        name: "50 k events a second, 10 k flows",
        population: 10_000,
        rate: 50_000,
        operationCount: 499_998,
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
            comparison: .conntrackd(0.50),
            scale: 1_000,
            floorText: "receive FlowSync's datagrams once per ms and drop them"
        ),
    ]
}
