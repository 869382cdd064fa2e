internal import Glibc

/// Written by the signal handler only, once; everybody else reads it.
nonisolated(unsafe) private var caughtSignal: sig_atomic_t = 0

private func remember(_ number: Int32) {
    caughtSignal = number
}

/// Whether somebody has asked this program to end.
///
/// A bench that is killed in the middle would leave the kernel's limits raised.
enum Interruption {
    /// Whether SIGINT or SIGTERM has come.
    static var hasCome: Bool { caughtSignal != 0 }

    /// From now on those signals end nothing but are remembered.
    static func catchSignals() {
        signal(SIGINT, remember)
        signal(SIGTERM, remember)
    }
}
