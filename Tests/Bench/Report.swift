internal import Lab

/// Everything that one run of the bench found.
public struct Report: Codable, Sendable {
    /// The values of one subject in one figure.
    public struct Values: Codable, Sendable {
        /// One per run, in the figure's unit.
        public var runs: [Double]

        /// The middle one.
        public var median: Double {
            let sorted = runs.sorted()
            let middle = sorted.count / 2
            return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
        }
    }

    /// One row.
    public struct Row: Codable, Sendable {
        /// The figure's name.
        public var name: String
        /// What it is.
        public var title: String
        /// What its values are in.
        public var unit: String
        /// Digits after the point.
        public var digits: Int
        /// What FlowSync is compared with, in words.
        public var against: String
        /// What has to be kept, of that.
        public var limit: Double
        /// What came out.
        public var result: Double?
        /// What the floor is.
        public var floorText: String
        /// By subject.
        public var values: [String: Values]
        /// Remarks about single runs.
        public var notes: [String]

        /// Whether the limit is kept.
        public var isKept: Bool { result.map { $0 <= limit } ?? false }
    }

    /// The machine and the versions.
    public var machine: Machine
    /// In the table's order.
    public var rows: [Row]
    /// All numbers of all runs, by scenario and subject.
    public var samples: [String: [String: [Sample]]] = [:]
}

extension Report.Row {
    /// A row of the samples of a figure.
    init(_ figure: Figure, _ samples: [Subject: [Sample]], floor: [Sample], baseline: Double?) {
        name = figure.name
        title = figure.title
        unit = figure.unit
        digits = figure.digits
        floorText = figure.floorText
        var values: [String: Report.Values] = [:]
        var notes: [String] = []
        for subject in Subject.allCases {
            let key = subject == .floor ? figure.floorKey ?? figure.key : figure.key
            let taken = subject == .floor ? floor : samples[subject] ?? []
            let runs = taken.compactMap { $0.values[key] }.map { $0 / figure.scale }
            if !runs.isEmpty { values[subject.rawValue] = Report.Values(runs: runs) }
            for (number, sample) in taken.enumerated() {
                notes += sample.notes.map { "\(subject.rawValue), run \(number + 1): \($0)" }
            }
        }
        let taken = values
        func median(_ subject: Subject) -> Double? { taken[subject.rawValue]?.median }
        func ratio(_ above: Double?, _ below: Double?) -> Double? {
            guard let above, let below, below > 0 else { return nil }
            return above / below
        }
        let own = median(.flowsync)
        (self.values, self.notes) = (values, notes)
        switch figure.comparison {
        case .conntrackd(let limit):
            (against, self.limit, result) = ("× conntrackd", limit, ratio(own, median(.conntrackd)))
        case .extra(let limit):
            let none = median(.none)
            func extra(_ value: Double?) -> Double? { value.flatMap { value in none.map { value - $0 } } }
            let extraRatio = ratio(extra(own), extra(median(.conntrackd)))
            (against, self.limit, result) = ("× conntrackd's extra", limit, extraRatio)
        case .floor(let limit):
            (against, self.limit, result) = ("× floor", limit, ratio(own, median(.floor)))
        case .absolute(let limit):
            (against, self.limit, result) = (figure.unit, limit, own)
        case .figure(let other, let limit):
            (against, self.limit, result) = ("× \(other)", limit, ratio(own, baseline))
        }
    }
}

extension Report {
    /// The table as Markdown, with the machine above it and the remarks below.
    public var markdown: String {
        var lines = machine.lines.map { "- \($0)" } + [""]
        lines.append("| figure | FlowSync | conntrackd | floor | no daemon | result | at most | |")
        lines.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for row in rows {
            let cells = [Subject.flowsync, .conntrackd, .floor, .none].map { row.cell($0) }
            let result = row.result.map { "\($0.text(row.resultDigits)) \(row.against)" } ?? "–"
            lines.append(
                "| \(row.title) (\(row.unit)) | \(cells.joined(separator: " | ")) | \(result) "
                    + "| \(row.limit.text(row.resultDigits)) | \(row.isKept ? "kept" : "**missed**") |"
            )
        }
        let notes = rows.flatMap { row in row.notes.map { "- `\(row.name)`, \($0)" } }
        return (lines + (notes.isEmpty ? [] : ["", "Remarks:"] + notes)).joined(separator: "\n")
    }
}

extension Report.Row {
    fileprivate var resultDigits: Int { limit >= 5 || limit == 0 ? digits : 2 }

    fileprivate func cell(_ subject: Subject) -> String {
        guard let values = values[subject.rawValue], let least = values.runs.min(), let most = values.runs.max() else {
            return "–"
        }
        return "\(values.median.text(digits)) (\(least.text(digits))–\(most.text(digits)))"
    }
}
