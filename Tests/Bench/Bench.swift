internal import Glibc
public import Lab

/// Takes figures: FlowSync, conntrackd and the floor in turn, under the same load, in the same run.
public final class Bench {
    private let figures: [Figure]
    private let subjects: [Subject]
    private let runCount: Int
    private let say: (String) -> Void
    private var samples: [String: [Subject: [Sample]]] = [:]

    /// The figures' names, in the table's order.
    public static var names: [String] { Figures.all.map(\.name) }

    /// A bench for some figures, or for all if none are named.
    ///
    /// - Parameters:
    ///   - subjects: only these; all if it is empty.
    ///   - say: is told what is being done, line by line.
    public init(only names: [String], subjects: [Subject], runCount: Int, say: @escaping (String) -> Void)
        throws(LabError)
    {
        for name in names where !Self.names.contains(name) {
            throw LabError("no figure is called \(name); there are: \(Self.names.joined(separator: ", "))")
        }
        figures = names.isEmpty ? Figures.all : Figures.all.filter { names.contains($0.name) }
        self.subjects = subjects.isEmpty ? Subject.allCases : subjects
        self.runCount = runCount
        self.say = say
    }

    /// Takes the figures.
    public func run() throws -> Report {
        var scenarios: [(scenario: any Scenario, subjects: Set<Subject>)] = []
        func need(_ scenario: any Scenario, _ subjects: [Subject]) {
            if let index = scenarios.firstIndex(where: { $0.scenario.name == scenario.name }) {
                scenarios[index].subjects.formUnion(subjects)
            } else {
                scenarios.append((scenario, Set(subjects)))
            }
        }
        for figure in figures {
            let subjects = figure.scenario.subjects.filter { figure.needs($0) }
            need(figure.scenario, figure.floorScenario == nil ? subjects : subjects.filter { $0 != .floor })
            if let floor = figure.floorScenario { need(floor, [.floor]) }
            if let baseline = figure.baseline { need(baseline.scenario, [.flowsync]) }
        }
        let machine = try Machine(runCount: runCount)
        Interruption.catchSignals()
        let limits = try KernelLimits(entryCountMax: scenarios.map { $0.scenario.entryCountMax }.max() ?? 0)
        defer { limits.restore() }
        for (scenario, subjects) in scenarios {
            for number in 1...runCount {
                for subject in scenario.subjects where subjects.contains(subject) && self.subjects.contains(subject) {
                    try take(scenario, subject, number)
                }
            }
        }
        return Report(machine: machine, rows: figures.map { row($0) }, samples: allSamples)
    }

    private func take(_ scenario: any Scenario, _ subject: Subject, _ number: Int) throws {
        let start = Clock.seconds
        var sample = Sample()
        do {
            sample = try scenario.run(subject)
        } catch {
            // The other figures are not to be lost with this one.
            sample.notes.append("failed: \(error)")
        }
        if Interruption.hasCome { throw LabError("interrupted") }
        samples[scenario.name, default: [:]][subject, default: []].append(sample)
        let values = sample.values.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value.text(1))" }
        say(
            "\(scenario.name): \(subject.rawValue) \(number)/\(runCount) in \((Clock.seconds - start).text(0)) s: "
                + (values + sample.notes).joined(separator: ", ")
        )
    }

    private var allSamples: [String: [String: [Sample]]] {
        samples.mapValues { taken in
            Dictionary(uniqueKeysWithValues: taken.map { ($0.key.rawValue, $0.value) })
        }
    }

    private func row(_ figure: Figure) -> Report.Row {
        let taken = samples[figure.scenario.name] ?? [:]
        let floor = figure.floorScenario.map { samples[$0.name]?[.floor] ?? [] } ?? taken[.floor] ?? []
        let baseline = figure.baseline.flatMap { other in
            let runs = (samples[other.scenario.name]?[.flowsync] ?? []).compactMap { $0.values[other.key] }
            return runs.isEmpty ? nil : Report.Values(runs: runs).median / other.scale
        }
        return Report.Row(figure, taken, floor: floor, baseline: baseline)
    }
}

extension Figure {
    /// Whether a subject of the scenario has a part in this figure.
    fileprivate func needs(_ subject: Subject) -> Bool {
        if case .extra = comparison { return true }
        return subject != .none
    }

    /// The figure with which this one is compared.
    fileprivate var baseline: Figure? {
        if case .figure(let name, _) = comparison { return Figures.all.first { $0.name == name } }
        return nil
    }
}
