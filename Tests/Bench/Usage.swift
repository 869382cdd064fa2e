internal import Glibc
internal import Lab

/// The processor time of a process.
///
/// It is the kernel's `sum_exec_runtime` of all its threads, ended ones included: what `/proc/<pid>/stat` shows in
/// units of 10 ms, without the rounding.
struct ProcessClock {
    private var clock: clockid_t = 0
    private let processID: Int32

    init(processID: Int32) throws(LabError) {
        self.processID = processID
        let code = clock_getcpuclockid(processID, &clock)
        guard code == 0 else { throw LabError(call: "clock_getcpuclockid", errno: code, "process \(processID)") }
    }

    /// Nanoseconds since the process began.
    func nanoseconds() throws(LabError) -> UInt64 {
        var time = timespec()
        guard clock_gettime(clock, &time) == 0 else {
            throw LabError("process \(processID) has ended while it was measured")
        }
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// What all processors did since the start of the machine, in seconds.
struct SystemUsage {
    /// `CLOCK_MONOTONIC`.
    var clock: Double
    /// Processors without anything to do, waiting for a disk included.
    ///
    /// The kernel measures these times; user, system and softirq time it estimates by what runs at its ticks.
    var idle: Double
    /// Taken by the host for others.
    var steal: Double

    static func now() throws(LabError) -> SystemUsage {
        let line = try readTextFile("/proc/stat").prefix { $0 != "\n" }
        let numbers = line.split(separator: " ").dropFirst().map { Double($0) ?? 0 }
        guard numbers.count >= 8 else { throw LabError("/proc/stat begins with: \(line)") }
        let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
        return SystemUsage(
            clock: Clock.seconds,
            idle: (numbers[3] + numbers[4]) / ticks,
            steal: numbers[7] / ticks
        )
    }

    /// Seconds of all processors together in which they worked for this machine, since an earlier moment.
    func busySeconds(since earlier: SystemUsage) -> Double {
        let processors = Double(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        return (clock - earlier.clock) * processors - (idle - earlier.idle) - (steal - earlier.steal)
    }
}

/// Numbers that the kernel keeps of a process.
enum ProcessFacts {
    /// `VmRSS` in bytes.
    static func residentByteCount(_ processID: Int32) throws(LabError) -> Int {
        for line in try readTextFile("/proc/\(processID)/status").split(separator: "\n")
        where line.hasPrefix("VmRSS:") {
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            if words.count >= 2, let kibibytes = Int(words[1]) { return kibibytes * 1_024 }
        }
        throw LabError("process \(processID) has no VmRSS")
    }

    /// Messages that the kernel threw away because a netfilter socket's buffer was full, in the namespace of a process.
    static func lostEventCount(_ processID: Int32) throws(LabError) -> Int {
        var count = 0
        for line in try readTextFile("/proc/\(processID)/net/netlink").split(separator: "\n").dropFirst() {
            // sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode
            let words = line.split(separator: " ")
            if words.count >= 10, words[1] == "12" { count += Int(words[8]) ?? 0 }
        }
        return count
    }
}
