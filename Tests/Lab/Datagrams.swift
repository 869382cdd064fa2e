internal import Glibc

/// A datagram of the sync network as a stranger sees it.
struct SyncDatagram {
    /// The IPv4 address it says it comes from.
    var source: [UInt8]
    var payload: [UInt8]
}

/// Datagrams to the sync group, read from and written to the network as whole frames, whoever they claim to be from.
struct DatagramTap {
    /// Payload that fits in a frame.
    static let payloadByteCountMax = 1_472
    private static let group: [UInt8] = [225, 0, 0, 50]
    private static let headerByteCount = 14 + 20 + 8

    private let socket: PacketSocket
    private var buffer = [UInt8](repeating: 0, count: PacketSocket.frameByteCountMax)

    init(interface: String) throws(LabError) {
        socket = try PacketSocket(interface: interface)
    }

    /// The next datagram that came by; nil if there is none at the moment.
    mutating func next() -> SyncDatagram? {
        let prefix = PacketSocket.prefixByteCount
        let port = UInt16(LabAddress.syncPort)
        while let count = socket.receive(into: &buffer) {
            let frame = buffer[prefix..<count]
            let start = prefix + Self.headerByteCount
            func word(_ offset: Int) -> UInt16 {
                UInt16(frame[prefix + offset]) << 8 | UInt16(frame[prefix + offset + 1])
            }
            guard count > start, word(12) == 0x0800, frame[prefix + 14] == 0x45, frame[prefix + 23] == 17,
                Array(frame[prefix + 30..<prefix + 34]) == Self.group, word(36) == port
            else { continue }
            let payloadByteCount = min(Int(word(38)) - 8, count - start)
            guard payloadByteCount > 0 else { continue }
            return SyncDatagram(
                source: Array(frame[prefix + 26..<prefix + 30]),
                payload: Array(buffer[start..<start + payloadByteCount])
            )
        }
        return nil
    }

    /// Waits for so many datagrams, or until the time is over.
    mutating func collect(_ count: Int, within seconds: Double) -> [SyncDatagram] {
        let deadline = Clock.seconds + seconds
        var collected: [SyncDatagram] = []
        while collected.count < count, Clock.seconds < deadline {
            if let datagram = next() {
                collected.append(datagram)
            } else {
                var request = pollfd(fd: socket.descriptor, events: Int16(POLLIN), revents: 0)
                _ = poll(&request, 1, 50)
            }
        }
        return collected
    }

    /// Sends a datagram to the group; waits while the interface is busy.
    func send(_ datagram: SyncDatagram) {
        let payload = datagram.payload.prefix(Self.payloadByteCountMax)
        var frame = [UInt8](repeating: 0, count: PacketSocket.prefixByteCount)
        frame.reserveCapacity(frame.count + Self.headerByteCount + payload.count)
        func bytes(_ word: Int) -> [UInt8] { [UInt8(word >> 8 & 0xff), UInt8(word & 0xff)] }
        // The group's hardware address; a sender that is nobody's, so that the switch goes on knowing where all are.
        frame += [0x01, 0x00, 0x5e, 0x00, 0x00, 0x32, 0x02, 0x00, 0x00, 0x00, 0x66, 0x66, 0x08, 0x00]
        var header: [UInt8] = [0x45, 0] + bytes(28 + payload.count) + [0, 0, 0, 0, 1, 17, 0, 0]
        header += datagram.source + Self.group
        var sum = stride(from: 0, to: 20, by: 2).reduce(0) {
            $0 + Int(header[$1]) << 8 + Int(header[$1 + 1])
        }
        sum = (sum & 0xffff) + sum >> 16
        sum = (sum & 0xffff) + sum >> 16
        header.replaceSubrange(10..<12, with: bytes(~sum & 0xffff))
        frame += header
        // A checksum of 0 means none.
        frame +=
            bytes(LabAddress.syncPort) + bytes(LabAddress.syncPort) + bytes(8 + payload.count) + [0, 0]
        frame += payload
        while !frame.withUnsafeBytes({ socket.send($0) }), errno == ENOBUFS || errno == EAGAIN {
            usleep(200)
        }
    }
}

/// Writes down datagrams to the sync group that come by.
public func captureDatagrams(interface: String, count: Int, within seconds: Double, to path: String)
    throws(LabError)
{
    var tap = try DatagramTap(interface: interface)
    let datagrams = tap.collect(count, within: seconds)
    guard datagrams.count == count else {
        throw LabError("\(datagrams.count) of \(count) datagrams in \(seconds) s")
    }
    let lines = datagrams.map { ($0.source + $0.payload).map { hexadecimal($0) }.joined() }
    try writeTextFile(path, lines.joined(separator: "\n") + "\n")
}

/// Reads what `captureDatagrams` wrote.
func capturedDatagrams(_ path: String) throws(LabError) -> [SyncDatagram] {
    var datagrams: [SyncDatagram] = []
    for line in try readTextFile(path).split(separator: "\n") {
        let digits = Array(line.utf8)
        let bytes = stride(from: 0, to: digits.count - 1, by: 2).compactMap {
            UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)
        }
        guard bytes.count == digits.count / 2, bytes.count > 4 else {
            throw LabError("\(path): not a capture")
        }
        datagrams.append(SyncDatagram(source: Array(bytes[..<4]), payload: Array(bytes[4...])))
    }
    return datagrams
}

private func hexadecimal(_ byte: UInt8) -> String {
    (byte < 16 ? "0" : "") + String(byte, radix: 16)
}
