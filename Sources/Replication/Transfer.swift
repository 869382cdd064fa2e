import FlowTable

/// A walk over the internal cache that sends flows once, beside live changes, and knows when all of them have been
/// acknowledged: only then may a peer drop what the walk did not confirm.
///
/// It sends every flow where a peer wants the whole state, else those that some repair's plan says a peer lacks.
struct Transfer {
    struct Request: Equatable {
        var peer: Int
        var nodeID: UInt32
        var token: UInt32
    }

    /// Places looked at before anything else gets its turn.
    static let slotCountMaxPerStep = 16_384

    /// Whose requests for the whole state this walk answers.
    var requests: [Request] = []
    /// Whether every flow is sent: for a request, or because an operator asked for it.
    var isWhole: Bool
    /// What peers hold in buckets that differ.
    var plan: RepairPlan?
    /// The last slot the walk has seen.
    var position: Slot?
    var isWalked = false
    /// Flows sent by this walk that are not yet acknowledged (`SlotHeader.Flags.bulkPending`).
    var pendingCount = 0
    var flowCount: UInt32 = 0

    init(isWhole: Bool, plan: RepairPlan? = nil) {
        self.isWhole = isWhole
        self.plan = plan
    }

    /// Leaves the lists unanswered: whoever sent them asks again.
    mutating func dropPlan() { plan = nil }

    /// Starts the walk over; what it has found out so far is found out again.
    mutating func restart() {
        position = nil
        flowCount = 0
        isWalked = false
        plan?.restart()
    }
}
