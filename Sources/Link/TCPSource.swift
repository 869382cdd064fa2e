internal import CLinux
internal import SystemIO

/// Where a tcp link's sockets sit: one address of one interface.
///
/// All are bound to the device. Linux answers for its addresses on every interface; the kernel resets connections that
/// come in by another one, since nobody listens there.
struct TCPSource {
    /// How long the other side may acknowledge nothing until the connection is given up: as long as the protocol above
    /// waits before it calls a peer down.
    static let timeoutMilliseconds: Int32 = 2_000
    /// Connections that may wait to be accepted.
    static let backlog: Int32 = 16

    let settings: LinkSettings
    let local: IPAddress
    let port: UInt16
    let interfaceIndex: UInt32

    /// A socket to dial from.
    func openDialler() throws(OpenFailure) -> OwnedDescriptor {
        let socket = try openSocket()
        _ = clinux_set_send_buffer(socket.rawValue, Int32(clamping: settings.socketBufferByteCount))
        try bind(socket, port: 0)
        return socket
    }

    /// The socket that peers dial; its connections inherit what is set here.
    func openListener() throws(OpenFailure) -> TCPListener {
        let socket = try openSocket()
        let wish = Int32(clamping: settings.socketBufferByteCount)
        // A smaller buffer than asked for is no reason to stay silent towards the peers; the size is reported.
        let receiveBufferByteCount = max(Int(clinux_set_receive_buffer(socket.rawValue, wish)), 0)
        let sendBufferByteCount = max(Int(clinux_set_send_buffer(socket.rawValue, wish)), 0)
        // Connections of a daemon that ran here before may still be waiting for late segments. A second daemon cannot
        // share the port all the same: the kernel refuses that to a port on which somebody listens.
        try OpenFailure.check(clinux_set_reuse_address(socket.rawValue, 1), "setting SO_REUSEADDR", settings)
        try bind(socket, port: port)
        let result = clinux_tcp_listen(socket.rawValue, TCPSource.backlog)
        try OpenFailure.checkBind(result, endpoint(port: port), settings)
        return TCPListener(socket: socket, bufferByteCount: min(receiveBufferByteCount, sendBufferByteCount))
    }

    private func openSocket() throws(OpenFailure) -> OwnedDescriptor {
        let result = clinux_tcp_open(Int32(settings.family.rawValue))
        try OpenFailure.check(result, "opening a socket", settings)
        let socket = OwnedDescriptor(adopting: result)
        let name = settings.interface
        // SAFETY: the name is NUL-terminated for the call's duration.
        try OpenFailure.check(
            unsafe clinux_bind_to_device(socket.rawValue, name),
            "binding to the interface",
            settings
        )
        try OpenFailure.check(
            clinux_tcp_set_up(socket.rawValue, TCPSource.timeoutMilliseconds),
            "setting TCP options",
            settings
        )
        return socket
    }

    private func bind(_ socket: borrowing OwnedDescriptor, port: UInt16) throws(OpenFailure) {
        let endpoint = endpoint(port: port)
        try OpenFailure.checkBind(clinux_bind(socket.rawValue, endpoint), endpoint, settings)
    }

    private func endpoint(port: UInt16) -> clinux_endpoint {
        local.endpoint(port: port, interfaceIndex: interfaceIndex)
    }
}

/// The socket that peers dial.
struct TCPListener: ~Copyable {
    let socket: OwnedDescriptor
    /// The size of the smaller one of a connection's two buffers.
    let bufferByteCount: Int
}
