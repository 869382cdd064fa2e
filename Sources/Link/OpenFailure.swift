internal import CLinux
internal import Glibc
internal import SystemIO

/// Why a link's sockets could not be opened, in words for the operator.
struct OpenFailure: Error {
    let text: String
}

extension OpenFailure {
    /// Throws if a step of opening failed (below zero: -errno).
    static func check(_ result: Int32, _ step: String, _ settings: LinkSettings) throws(OpenFailure) {
        guard result < 0 else { return }
        throw OpenFailure(text: "\(step) failed for \(settings): \(reason(-result))")
    }

    /// Throws if binding to an address, or listening there, failed.
    static func checkBind(
        _ result: Int32,
        _ endpoint: clinux_endpoint,
        _ settings: LinkSettings
    ) throws(OpenFailure) {
        let address = IPAddress(endpoint)
        switch -result {
        case EADDRINUSE:
            let option = if case .tcp = settings.transport { "-tlpn" } else { "-ulpn" }
            throw OpenFailure(
                text: "port \(endpoint.port) of \(address?.description ?? "?") is already used by another program "
                    + "(ss \(option) sport = :\(endpoint.port))"
            )
        case EADDRNOTAVAIL where endpoint.family == 6:
            throw tentative(address.map { [$0] } ?? [], settings)
        default:
            try check(result, "binding", settings)
        }
    }

    /// None of these IPv6 addresses can be used yet.
    static func tentative(_ addresses: [IPAddress], _ settings: LinkSettings) -> OpenFailure {
        let list = addresses.map(\.description).joined(separator: ", ")
        return OpenFailure(
            text: "address \(list) is still tentative: duplicate address detection is not done, or found a duplicate "
                + "(ip -6 address show dev \(settings.interface))"
        )
    }

    /// An errno in words and by name.
    static func reason(_ errno: Int32) -> String {
        "\(SystemError.text(of: errno)) (\(SystemError.name(of: errno)))"
    }
}
