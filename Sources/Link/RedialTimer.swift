/// When a connection is dialled, given up and dialled again: pure, time is an argument (monotonic nanoseconds).
///
/// Most events of a connection come to light where no clock is at hand. They are noted, `deadline` is then 0, and the
/// next `step(now:)` turns them into times.
struct RedialTimer: Equatable {
    /// What to do now.
    enum Action: Equatable {
        /// Nothing.
        case none
        /// Open a connection.
        case dial
        /// Close the one that did not come about in time; it is dialled again later.
        case giveUp
    }

    static let delayMin: UInt64 = 100_000_000
    static let delayMax: UInt64 = 2_000_000_000
    /// How long a dial may take: time for the handshake's second attempt, which the kernel makes after 1 s.
    static let dialTimeMax: UInt64 = 2_000_000_000
    /// A connection that lasted this long was a good one: the next dial comes soon again.
    ///
    /// A peer that takes every connection and closes it at once does not get one every 100 ms.
    static let steadyTime: UInt64 = 2_000_000_000

    private enum Phase: Equatable {
        case due
        case dialling(until: UInt64)
        case connected(since: UInt64?)
        case ended(connectedSince: UInt64?)
        case waiting(until: UInt64)
    }

    private var phase = Phase.due
    private var delay = delayMin

    /// When `step` wants to run: 0 for at once, nil for not before something happens.
    var deadline: UInt64? {
        switch phase {
        case .due, .ended, .connected(since: nil): 0
        case .dialling(let until), .waiting(let until): until
        case .connected: nil
        }
    }

    /// The connection stands.
    mutating func connected() {
        phase = .connected(since: nil)
    }

    /// The dial failed, or the connection ended.
    mutating func ended() {
        if case .connected(let since) = phase {
            phase = .ended(connectedSince: since)
        } else {
            phase = .ended(connectedSince: nil)
        }
    }

    /// Lets time pass.
    mutating func step(now: UInt64) -> Action {
        switch phase {
        case .due:
            return dial(now)
        case .waiting(let until):
            return now >= until ? dial(now) : .none
        case .dialling(let until):
            guard now >= until else { return .none }
            wait(now)
            return .giveUp
        case .connected(let since):
            phase = .connected(since: since ?? now)
            return .none
        case .ended(let since):
            // `now` may be older than what a caller gave before: never trust it to the point of a trap.
            if let since, now >= since, now - since >= RedialTimer.steadyTime { delay = RedialTimer.delayMin }
            wait(now)
            return .none
        }
    }

    private mutating func dial(_ now: UInt64) -> Action {
        phase = .dialling(until: now + RedialTimer.dialTimeMax)
        return .dial
    }

    private mutating func wait(_ now: UInt64) {
        phase = .waiting(until: now + delay)
        delay = min(delay * 2, RedialTimer.delayMax)
    }
}
