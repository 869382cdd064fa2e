internal import Glibc
internal import Synchronization
internal import SystemIO

/// Knows when a router was given the floating addresses, to the millisecond.
public final class AddressWatcher: Sendable {
    private static let floating = [
        LabAddress.floatingLAN, LabAddress.floatingWAN, LabAddress.floatingLANIPv6, LabAddress.floatingWANIPv6,
    ]
    /// When each address was seen to come, in the clock's seconds.
    private let arrivals = Mutex<[String: Double]>([:])
    private let process: ChildProcess

    /// Begins to watch a router.
    public init(_ router: LabNode, in lab: Lab) throws(LabError) {
        process = try lab.start(on: router, ["ip", "-o", "monitor", "address"], output: .pipe)
        let process = process
        do {
            _ = try SystemThread.start(name: "lab-addresses") { [weak self] in
                while let line = try? process.readLine(timeoutSeconds: 3_600) {
                    guard let self else { return }
                    self.take(line, at: Clock.seconds)
                }
            }
        } catch {
            throw LabError("\(error)")
        }
        // Its socket has to be there before anything moves.
        Clock.sleep(seconds: 0.2)
    }

    deinit {
        process.signal(SIGKILL)
    }

    private func take(_ line: String, at moment: Double) {
        let words = line.split(separator: " ")
        guard !words.contains("Deleted"), let index = words.firstIndex(where: { $0 == "inet" || $0 == "inet6" }),
            index + 1 < words.count
        else { return }
        let address = String(words[index + 1].prefix { $0 != "/" })
        guard Self.floating.contains(address) else { return }
        arrivals.withLock { $0[address] = $0[address] ?? moment }
    }

    /// Forgets what was seen.
    public func reset() {
        arrivals.withLock { $0 = [:] }
    }

    /// When the last of the floating addresses came; nil if one is missing.
    public var completeSeconds: Double? {
        arrivals.withLock { $0.count == Self.floating.count ? $0.values.max() : nil }
    }
}
