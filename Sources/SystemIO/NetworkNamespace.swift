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
