internal import Conntrack
internal import Control
internal import Flow
internal import Logging

extension Engine {
    /// Clashes of one action that are logged one by one; more are only counted.
    private static let loggedClashCountMax = 200

    /// Counts the clashes of a job.
    func count(_ outcome: WriteOutcome) {
        for kind in Clash.Kind.allCases {
            for isOursKept in [true, false] {
                let count = outcome.clashCounts[kind, isOursKept: isOursKept]
                if count > 0 { kernel.clashes[kind.text(isOursKept: isOursKept), default: 0] += UInt64(count) }
            }
        }
    }

    /// Counts the clashes of a job, and logs both flows of each.
    func report(_ outcome: WriteOutcome) {
        guard outcome.clashCounts.total > 0 else { return }
        count(outcome)
        let alreadyLogged = action?.clashCount ?? 0
        action?.clashCount += outcome.clashCounts.total
        action?.step.note =
            "\(alreadyLogged + outcome.clashCounts.total) clashes with the kernel's entries: see the log"
        for clash in outcome.clashes.prefix(max(0, Self.loggedClashCountMax - alreadyLogged)) {
            logger.warning(
                """
                clash: \(clash.kind.text(isOursKept: clash.isOursKept)): \
                kept \(flowPrinter.line(clash.kept)); removed \(flowPrinter.line(clash.removed))
                """
            )
        }
    }
}
