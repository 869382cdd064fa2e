/// The release this code belongs to.
public enum Version {
    /// The version as `flowsyncd --version` prints it.
    public static let text = "0.1.0"
}
