internal import Glibc
internal import SystemIO

/// Why the daemon cannot start, and what to do about it.
struct StartError: Error, CustomStringConvertible {
    let description: String

    init(text: String) {
        description = text
    }

    init(_ error: SystemError) {
        description =
            error.errno == EPERM || error.errno == EACCES
            ? "\(error): flowsyncd needs CAP_NET_ADMIN: start it as root or by its systemd unit" : "\(error)"
    }
}
