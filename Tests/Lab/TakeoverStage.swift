public import Control

/// A pair of routers with talking connections through them, on which takeovers are tried and measured.
///
/// Its routers are plainer than the lab's usual ones: the kernel's own settings for TCP, and nothing that keeps the
/// router's own stack from answering a packet that no flow explains. Such a router kills connections with resets when
/// a takeover goes wrong.
public final class TakeoverStage {
    /// What replicates.
    public enum Replicator: Sendable {
        /// flowsyncd with these settings.
        case flowsync(DaemonSettings)
        /// conntrackd with Debian's script.
        case conntrackd
    }

    /// What moves the addresses and tells the router of its role.
    public enum Mover: String, Sendable {
        /// keepalived, by the shipped example.
        case keepalived
        /// The test: addresses first, then the role.
        case script
    }

    /// A lab with everything in it.
    public let lab: Lab
    /// What replicates.
    public let replicator: Replicator
    /// What moves the addresses.
    public let mover: Mover
    /// The connections.
    public let traffic: TalkingTraffic
    /// Counts resets, from the moment all connections are open.
    public private(set) var resets: ResetWatcher?
    /// keepalived, if it moves the addresses.
    public let keepalived: KeepalivedPair?
    /// conntrackd, if it replicates.
    public let conntrackd: ConntrackdPair?
    /// Connections opened so far.
    private var connectionCount = 0

    /// Builds the lab, starts both routers' programs, and makes r1 primary.
    ///
    /// - Parameter isLoose: the kernel's `nf_conntrack_tcp_loose`: whether a connection may be picked up in its midst.
    public init(_ replicator: Replicator, _ mover: Mover, isLoose: Bool = true) throws(LabError) {
        self.replicator = replicator
        self.mover = mover
        let lab = try Lab()
        self.lab = lab
        for router in [LabNode.r1, .r2] {
            try lab.nft(on: router, "flush chain inet lab input")
            try lab.sysctl(on: router, ["net.netfilter.nf_conntrack_tcp_loose=\(isLoose ? 1 : 0)"])
        }
        switch replicator {
        case .flowsync(let settings):
            conntrackd = nil
            keepalived = mover == .keepalived ? try KeepalivedPair(lab) : nil
            try lab.startPair(settings)
        case .conntrackd:
            let pair = try ConntrackdPair(lab)
            conntrackd = pair
            let directory = lab.directory
            keepalived =
                mover == .keepalived
                ? try KeepalivedPair(lab, .program { ConntrackdPair.notifyPath(directory, $0) }) : nil
            try pair.startBoth()
        }
        traffic = try TalkingTraffic(in: lab)
        if let keepalived {
            try keepalived.startBoth()
        } else {
            try setRole(.primary, of: .r1)
            try setRole(.backup, of: .r2)
        }
    }

    /// Whether a gate keeps connections from harm: nothing is expected to die.
    public var isGated: Bool {
        if case .flowsync(let settings) = replicator { !settings.gateInterfaces.isEmpty } else { false }
    }

    /// Starts a router's daemon again, with the pair's settings.
    public func startDaemon(on router: LabNode) throws(LabError) {
        guard case .flowsync(let settings) = replicator else { throw LabError("no flowsyncd here") }
        try lab.startDaemon(on: router, settings)
    }

    /// Stops everything.
    public func close() { lab.close() }

    /// Changes a router's role with the command, or with conntrackd's script.
    ///
    /// - Returns: how long the command took, in milliseconds.
    @discardableResult
    public func setRole(_ role: Role, of router: LabNode) throws(LabError) -> Double {
        let begin = Clock.seconds
        if let conntrackd {
            try conntrackd.notify(["primary": "MASTER", "backup": "BACKUP"][role.rawValue] ?? "FAULT", on: router)
        } else {
            try lab.setRole(role, of: router, timeoutSeconds: 120)
        }
        return (Clock.seconds - begin) * 1_000
    }

    /// Opens connections: two fifths through SNAT, two fifths through DNAT, a fifth over IPv6, plain or translated;
    /// and UDP probes through SNAT and DNAT.
    ///
    /// - Parameter hasIPv6: conntrackd's configuration here replicates both; a fifth of the connections.
    public func openConnections(_ count: Int, paceMilliseconds: ClosedRange<Int> = 500...1_500) throws(LabError) {
        try traffic.setPace(milliseconds: paceMilliseconds)
        let fifth = count / 5
        try traffic.open(2 * fifth, .snat)
        try traffic.open(2 * fifth, .dnat)
        try traffic.open(fifth / 3, .ipv6)
        try traffic.open(fifth / 3, .snatIPv6)
        try traffic.open(count - 4 * fifth - 2 * (fifth / 3), .dnatIPv6)
        for path in [Traffic.Path.snat, .dnat] { try traffic.open(10, path, .udp) }
        connectionCount += count + 20
    }

    /// Puts idle flows into the primary's kernel and waits until the other router holds them and the connections.
    ///
    /// - Parameter showsWhatTalks: whether the primary is to find out which flows talk, which decides what is
    ///   committed first.
    public func replicate(
        idleCount: Int,
        primary: LabNode = .r1,
        showsWhatTalks: Bool = false,
        within seconds: Double = 120
    ) throws(LabError) {
        if idleCount > 0 { try lab.inject(idleCount, into: primary) }
        let standby = primary.otherRouter
        let deadline = Clock.seconds + seconds
        while true {
            let held: Int
            if let conntrackd {
                held = try conntrackd.externalFlowCount(of: standby)
            } else {
                let status = try lab.status(of: standby)
                held = status.isSynchronised ? status.caches.externalFlowCount : 0
            }
            if held >= idleCount + connectionCount { break }
            guard Clock.seconds < deadline else {
                throw LabError("\(standby) holds \(held) of \(idleCount + connectionCount) flows\n\(logs)")
            }
            Clock.sleep(seconds: 0.2)
        }
        guard showsWhatTalks, conntrackd == nil else { return }
        try showWhatTalks(primary)
        // What that found out is on its way.
        Clock.sleep(seconds: 1.5)
    }

    /// Lets the primary look at its kernel's table twice, as its audits do every half minute: a flow whose timeout was
    /// refreshed in between talks, and is committed first.
    private func showWhatTalks(_ primary: LabNode) throws(LabError) {
        for pause in [0, 4.0] {
            Clock.sleep(seconds: pause)
            let result = try lab.flowsync(on: primary, "resync", "kernel")
            guard result.exit == 0 else { throw LabError("resync kernel: \(result.summary)") }
        }
    }

    /// Begins to count resets and stalls.
    public func arm() throws(LabError) {
        if resets == nil { resets = try ResetWatcher(in: lab) }
        try traffic.mark()
    }

    /// What all programs said, for messages.
    public var logs: String {
        [conntrackd?.logs, keepalived?.logs ?? lab.daemonLogs].compactMap { $0 }.joined(separator: "\n")
    }
}
