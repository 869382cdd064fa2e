/// Durations as an operator reads them.
public enum DurationText {
    /// The form of the runtime page: "0 min", "3 h 12 min", "2 days 3 h 12 min".
    public static func uptime(seconds: UInt64) -> String {
        let minutes = "\(seconds / 60 % 60) min"
        let hours = seconds / 3_600 % 24
        let days = seconds / 86_400
        if days > 0 { return "\(days) days \(hours) h \(minutes)" }
        return hours > 0 ? "\(hours) h \(minutes)" : minutes
    }

    /// The form of the status page, which also tells seconds: "12 s", "4 min 3 s", then as `uptime`.
    public static func short(seconds: UInt64) -> String {
        if seconds < 60 { return "\(seconds) s" }
        if seconds < 3_600 { return "\(seconds / 60) min \(seconds % 60) s" }
        return uptime(seconds: seconds)
    }

    /// Milliseconds with one decimal: "812.3 ms".
    public static func milliseconds(_ value: Double) -> String {
        guard value.isFinite, value >= 0, value < 1e15 else { return "? ms" }
        let tenths = UInt64((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10) ms"
    }
}
