internal import Glibc

/// The environment that this process was started with.
public enum ProcessEnvironment {
    /// A variable's value; nil if it is not set.
    public static subscript(name: String) -> String? {
        // SAFETY: the string is copied at once, and nothing in this program changes the environment.
        guard let value = unsafe getenv(name) else { return nil }
        return unsafe String(cString: value)
    }
}
