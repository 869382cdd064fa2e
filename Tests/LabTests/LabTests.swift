import Glibc
import Lab
import Testing

/// Everything that needs real namespaces, real conntrack and root; one at a time, since all share two cores and one
/// kernel's conntrack table.
@Suite(.serialized)
struct LabTests {}

/// Prints a line that says how long a step took: the lab's output is read when something is slow or fails.
func note(_ text: String) {
    print("    lab: \(text)")
    fflush(nil)
}

/// Fails with every group that is not wholly alive.
func expectAllAlive(_ reports: [Traffic.GroupReport], sourceLocation: SourceLocation = #_sourceLocation) {
    for report in reports {
        #expect(report.alive == report.total, "\(report)", sourceLocation: sourceLocation)
    }
}
