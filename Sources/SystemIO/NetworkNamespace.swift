internal import CLinux
internal import Glibc

/// Moves the calling thread, and no other, into the network namespace at `path`, such as `/run/netns/r1`.
///
/// Sockets keep the namespace they were opened in; threads started from here inherit it. Needs CAP_SYS_ADMIN. Never
/// call it on a thread that others share, such as one of Swift's pool: start a `SystemThread` for it.
public func enterNetworkNamespace(path: String) throws(SystemError) {
    // SAFETY: the path is NUL-terminated for the call's duration.
    let number = try checkErrno("open", path) { unsafe open(path, O_RDONLY | O_CLOEXEC) }
    let descriptor = OwnedDescriptor(adopting: number)
    try check(clinux_enter_network_namespace(descriptor.rawValue), "setns", path)
}

/// Moves the calling thread into the network namespace that `ip netns` knows by `name`.
public func enterNetworkNamespace(named name: String) throws(SystemError) {
    try enterNetworkNamespace(path: "/run/netns/\(name)")
}

/// Moves the calling thread, and no other, into a new network namespace.
///
/// It goes with the last thread and the last socket in it. Needs CAP_SYS_ADMIN.
public func enterNewNetworkNamespace() throws(SystemError) {
    try check(clinux_enter_new_network_namespace(), "unshare", "network namespace")
}

/// A hold on a network namespace, by which a thread finds back to it.
public struct NetworkNamespace: ~Copyable, Sendable {
    private let descriptor: OwnedDescriptor

    /// The calling thread's namespace.
    public static func current() throws(SystemError) -> NetworkNamespace {
        let path = "/proc/thread-self/ns/net"
        // SAFETY: the path is NUL-terminated for the call's duration.
        let number = try checkErrno("open", path) { unsafe open(path, O_RDONLY | O_CLOEXEC) }
        return NetworkNamespace(descriptor: OwnedDescriptor(adopting: number))
    }

    /// Moves the calling thread, and no other, into the namespace.
    public func enter() throws(SystemError) {
        try check(clinux_enter_network_namespace(descriptor.rawValue), "setns", "network namespace")
    }
}
