internal import Glibc
internal import Lab

/// Lets this process's sleeps end when they should, not up to 50 µs later, as the kernel grants itself otherwise.
func sleepPrecisely() throws(LabError) {
    // A file of the kernel's, which is not replaced by a new one as `writeTextFile` would.
    guard let file = fopen("/proc/self/timerslack_ns", "w"), fputs("1", file) >= 0, fclose(file) == 0 else {
        throw LabError(call: "write", errno: errno, "/proc/self/timerslack_ns")
    }
}
