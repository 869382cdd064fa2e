internal import Glibc

/// Whole frames from and to an interface (`AF_PACKET`).
///
/// Each frame is preceded by the kernel's 10 bytes about checksums and segments (`virtio_net_hdr`): between virtual
/// interfaces checksums are not computed, and a frame that is sent on without saying so would be dropped.
final class PacketSocket {
    static let prefixByteCount = 10
    /// A frame may be a segment of 64 KiB that nobody has cut yet.
    static let frameByteCountMax = prefixByteCount + 14 + 65_535

    let descriptor: Int32
    private let interface: String

    /// Opens a socket that receives what arrives at an interface, not what leaves it.
    init(interface: String) throws(LabError) {
        self.interface = interface
        let index = if_nametoindex(interface)
        guard index > 0 else { throw LabError(call: "if_nametoindex", errno: errno, interface) }
        let everything = UInt16(0x0003).bigEndian  // ETH_P_ALL
        let flags = Int32(SOCK_RAW.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        descriptor = socket(AF_PACKET, flags, Int32(everything))
        guard descriptor >= 0 else { throw LabError(call: "socket", errno: errno, "AF_PACKET") }
        let packetLevel: Int32 = 263
        setOption(descriptor, packetLevel, 15)  // PACKET_VNET_HDR
        setOption(descriptor, packetLevel, 23)  // PACKET_IGNORE_OUTGOING
        setOption(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        setOption(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, 4 << 20)
        // struct sockaddr_ll, and struct packet_mreq for PACKET_ADD_MEMBERSHIP of PACKET_MR_PROMISC.
        var address = (UInt16(AF_PACKET), everything, Int32(index), UInt64(0), UInt32(0))
        let isBound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, 20) }
        }
        guard isBound == 0 else {
            let code = errno
            close(descriptor)
            throw LabError(call: "bind", errno: code, interface)
        }
        var membership = (Int32(index), UInt16(1), UInt16(0), UInt64(0))
        setsockopt(descriptor, packetLevel, 1, &membership, 16)
    }

    deinit {
        close(descriptor)
    }

    /// Receives a frame with its prefix into the buffer; nil if there is none.
    func receive(into buffer: inout [UInt8]) -> Int? {
        let count = recv(descriptor, &buffer, buffer.count, 0)
        return count > Self.prefixByteCount ? count : nil
    }

    /// Sends a frame with its prefix; false if the interface would not take it.
    func send(_ frame: UnsafeRawBufferPointer) -> Bool {
        Glibc.send(descriptor, frame.baseAddress, frame.count, 0) == frame.count
    }
}
