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

    /// A moment as an operator reads it, UTC: "2026-03-01 14:05:09 UTC".
    public static func date(secondsSince1970 seconds: UInt64) -> String {
        // Days since 0000-03-01, so that a leap day is a year's last day (proleptic Gregorian calendar).
        let days = seconds / 86_400 + 719_468
        let era = days / 146_097
        let dayOfEra = days % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        let time = [seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60].map(twoDigits).joined(separator: ":")
        return "\(year)-\(twoDigits(month))-\(twoDigits(day)) \(time) UTC"
    }

    private static func twoDigits(_ number: UInt64) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
