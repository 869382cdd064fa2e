/// One row of the table: what is looked at, and what it must show.
struct Figure: Sendable {
    /// What the value has to be compared with.
    enum Comparison: Sendable {
        /// At most so many times conntrackd's.
        case conntrackd(Double)
        /// At most so many times conntrackd's, after what no daemon takes is subtracted from both.
        case extra(Double)
        /// At most so many times the floor's.
        case floor(Double)
        /// At most so much.
        case absolute(Double)
        /// At most so many times the same value of another figure.
        case figure(String, Double)
    }

    /// For `--only`.
    let name: String
    let title: String
    let unit: String
    /// The number of the scenario's sample.
    let key: String
    let scenario: any Scenario
    /// The floor's scenario and number, where they are not the same.
    var floorScenario: (any Scenario)?
    var floorKey: String?
    let comparison: Comparison
    /// By what the number is divided to be in `unit`.
    var scale = 1.0
    /// Digits after the point.
    var digits = 2
    /// What the floor is.
    let floorText: String
}
