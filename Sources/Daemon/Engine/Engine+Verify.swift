internal import Conntrack
internal import Control
internal import Flow
internal import FlowTable
internal import SystemIO
internal import Takeover

extension Engine {
    /// Looks in the kernel's table for what the commit has put there: how many entries, and some of them in full.
    func verifyCommit() {
        guard let sample = action?.committed else { return }
        var differences: [String: Int] = [:]
        do {
            let lookup = try KernelLookup.open()
            for flow in sample.flows {
                if let difference = CommitSample.difference(of: try lookup.entry(of: flow), from: flow) {
                    differences[difference, default: 0] += 1
                }
            }
            let table = try KernelTable.read()
            action?.step.note = "\(sample.flows.count) of them looked at, the kernel holds \(table.count) flows"
        } catch {
            action?.step.note = "the kernel's table cannot be read: \(error)"
            differences["unread"] = 1
        }
        let count = action?.committedCount ?? 0
        action?.step.count = count
        action?.step.failed = differences
    }
}
