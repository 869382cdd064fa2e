public import Flow

/// Which of this node's links carries the load, by what peers report and which links can send at all.
struct LinkSelection {
    /// A link counts as heard this long after its last datagram: three heartbeats.
    static let heardMilliseconds: UInt64 = 3 * ReplicationNode.heartbeatMilliseconds
    /// How long an earlier link must be as good again before the load goes back to it.
    static let returnMilliseconds: UInt64 = 2_000

    private(set) var active = 0
    private var betterSince: Instant?

    /// The links on which something came lately, one bit each.
    static func heard(_ times: [4 of Instant], now: Instant) -> UInt8 {
        var mask: UInt8 = 0
        for link in 0..<4 where times[link].nanoseconds > 0 {
            if times[link].advanced(byMilliseconds: heardMilliseconds) > now { mask |= 1 << UInt8(link) }
        }
        return mask
    }

    /// Chooses; true if the load moves to another link.
    ///
    /// - Parameters:
    ///   - liveMask: links that can send.
    ///   - hearerCounts: for each link, how many of the peers that are up hear this node on it.
    mutating func choose(liveMask: UInt8, hearerCounts: [4 of Int], now: Instant) -> Bool {
        func coverage(_ link: Int) -> Int {
            liveMask & 1 << UInt8(link) != 0 ? hearerCounts[link] : -1
        }
        var best = 0
        for link in 1..<4 where coverage(link) > coverage(best) { best = link }
        guard best != active else {
            betterSince = nil
            return false
        }
        if coverage(best) == coverage(active) {
            // As good and configured first: back to it, unless it only flickers.
            let since = betterSince ?? now
            betterSince = since
            guard since.advanced(byMilliseconds: Self.returnMilliseconds) <= now else { return false }
        }
        betterSince = nil
        active = best
        return true
    }
}

extension ReplicationNode {
    /// Chooses the link for everything but heartbeats.
    ///
    /// - Parameter liveMask: the links that can send now, one bit each.
    public mutating func activeLink(liveMask: UInt8, now: Instant) -> Int {
        var hearerCounts = [4 of Int](repeating: 0)
        for index in peers.indices where peers[index].isUp {
            for link in 0..<4 where peers[index].linksHeard & 1 << UInt8(link) != 0 { hearerCounts[link] += 1 }
        }
        if links.choose(liveMask: liveMask, hearerCounts: hearerCounts, now: now) {
            sender.changeLink()
            events.append(.linkChanged(link: links.active))
        }
        return links.active
    }
}
