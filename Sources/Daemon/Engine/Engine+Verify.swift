internal import Conntrack
internal import Control
internal import Flow
internal import FlowTable
internal import SystemIO
internal import Takeover

extension Engine {
    /// Adds some of the flows that the kernel has held since before the takeover.
    private func samplePreloaded(_ group: GroupState) {
        let stride = group.core.externalCache.mirroredCount / CommitSample.flowCountMax + 1
        var count = 0
        var slots: [Slot] = []
        _ = group.core.externalCache.table.walk(after: nil, slotCountMax: .max) { slot, header in
            guard header.flags.contains(.mirrored) else { return }
            if count.isMultiple(of: stride) { slots.append(slot) }
            count += 1
        }
        for slot in slots { action?.committed.add(group.core.externalCache.table.record(at: slot)) }
    }

    /// Looks in the kernel's table for what the commit has put there: how many entries, and some of them in full.
    func verifyCommit(_ group: GroupState) {
        samplePreloaded(group)
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
        let count = (action?.committedCount ?? 0) + group.core.externalCache.mirroredCount
        action?.step.count = count
        action?.step.failed = differences
    }
}
