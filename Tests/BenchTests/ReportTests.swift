import Testing

@testable import Bench

/// From the samples of runs to the rows of the table.
@Suite("Report")
struct ReportTests {
    private struct NoScenario: Scenario {
        let name = "nothing"
        let subjects: [Subject] = []
        let entryCountMax = 0
        func run(_ subject: Subject) throws -> Sample { Sample() }
    }

    private func figure(_ comparison: Figure.Comparison, scale: Double = 1) -> Figure {
        Figure(
            name: "figure",
            title: "a figure",
            unit: "µs",
            key: "value",
            scenario: NoScenario(),
            comparison: comparison,
            scale: scale,
            floorText: "the least"
        )
    }

    private func samples(_ values: Double...) -> [Sample] { values.map { Sample(values: ["value": $0]) } }

    private func row(_ figure: Figure, _ samples: [Subject: [Sample]], baseline: Double? = nil) -> Report.Row {
        Report.Row(figure, samples, floor: samples[.floor] ?? [], baseline: baseline)
    }

    @Test("The median is the middle run, or between the two in the middle")
    func median() {
        #expect(Report.Values(runs: [3, 1, 2]).median == 2)
        #expect(Report.Values(runs: [4, 1, 2, 3]).median == 2.5)
        #expect(Report.Values(runs: [7]).median == 7)
        #expect(Report.Values(runs: [1, 1, 1, 1, 100]).median == 1)
    }

    @Test("Each comparison divides what it says")
    func comparisons() {
        let all: [Subject: [Sample]] = [
            .none: samples(10, 10, 10), .floor: samples(4, 5, 6), .flowsync: samples(12, 13, 14),
            .conntrackd: samples(20, 22, 24),
        ]
        #expect(row(figure(.conntrackd(0.5)), all).result == 13.0 / 22.0)
        #expect(row(figure(.extra(0.5)), all).result == 3.0 / 12.0)
        #expect(row(figure(.floor(1.1)), all).result == 13.0 / 5.0)
        #expect(row(figure(.absolute(13)), all).result == 13)
        #expect(row(figure(.figure("other", 1.3)), all, baseline: 10).result == 1.3)
    }

    @Test("What is at the limit is kept, what is above it or missing is not")
    func limits() {
        let all: [Subject: [Sample]] = [.flowsync: samples(5), .conntrackd: samples(10)]
        #expect(row(figure(.conntrackd(0.5)), all).isKept)
        #expect(!row(figure(.conntrackd(0.49)), all).isKept)
        #expect(row(figure(.absolute(5)), all).isKept)
        #expect(!row(figure(.absolute(4.9)), all).isKept)
        #expect(!row(figure(.conntrackd(0.5)), [.flowsync: samples(5)]).isKept)
        #expect(!row(figure(.conntrackd(0.5)), [:]).isKept)
        // Nothing was lost because nothing was measured.
        #expect(!row(figure(.absolute(0)), [.flowsync: [Sample(values: [:], notes: ["too slow"])]]).isKept)
        // A machine so noisy that conntrackd seems to cost less than nothing proves nothing.
        let noisy: [Subject: [Sample]] = [.none: samples(10), .flowsync: samples(9), .conntrackd: samples(9)]
        #expect(!row(figure(.extra(0.4)), noisy).isKept)
    }

    @Test("Values are in the figure's unit, and remarks say whose they are")
    func rows() {
        var failed = Sample()
        failed.notes = ["failed: no such thing"]
        let made = row(figure(.conntrackd(0.5), scale: 1_000), [.flowsync: samples(1_500) + [failed]])
        #expect(made.values["flowsync"]?.runs == [1.5])
        #expect(made.notes == ["flowsync, run 2: failed: no such thing"])
    }

    @Test("JSON gives back what it was made of, and the table has a line for each figure")
    func text() throws {
        let rows = [row(figure(.conntrackd(0.5)), [.flowsync: samples(1, 2, 3), .conntrackd: samples(10, 11, 12)])]
        let machine = Machine(
            processor: "p",
            processorCount: 2,
            memoryByteCount: 1 << 30,
            kernel: "k",
            busyPercentBefore: 1,
            date: "d",
            flowsync: "f",
            conntrackd: "c",
            runCount: 3
        )
        let report = Report(machine: machine, rows: rows)
        let again: Report = try JSONText.decode(try JSONText.encode(report))
        #expect(again.markdown == report.markdown)
        #expect(
            report.markdown.contains(
                "| a figure (µs) | 2.00 (1.00–3.00) | 11.00 (10.00–12.00) | – | – | 0.18 × conntrackd | 0.50 | kept |"
            )
        )
    }

    @Test("Every figure has a name of its own, and what it is compared with exists")
    func figures() {
        #expect(Set(Bench.names).count == Bench.names.count)
        for figure in Figures.all {
            if case .figure(let other, _) = figure.comparison { #expect(Bench.names.contains(other)) }
            #expect(figure.scenario.subjects.contains(.flowsync), "\(figure.name)")
        }
    }
}
