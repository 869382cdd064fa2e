internal import CNetfilter
public import Flow
internal import Glibc
public import SystemIO

/// Asks the kernel for single entries of its table.
public struct KernelLookup: ~Copyable {
    private let socket: NetlinkSocket
    private let request = SendBuffer(byteCount: RequestEncoder.encodedByteCountMax)
    private let answer = ReceiveBuffer(byteCount: 8_192)

    private init(_ socket: consuming NetlinkSocket) {
        self.socket = socket
    }

    /// Opens a socket in the calling thread's network namespace.
    public static func open() throws(SystemError) -> KernelLookup {
        let socket = try NetlinkSocket.open(purpose: "conntrack lookup")
        try socket.bind()
        return KernelLookup(socket)
    }

    /// The entry of a flow's original tuple and zone; nil if there is none.
    public func entry(of flow: Flow) throws(SystemError) -> Flow? {
        let byteCount = request.write { output in
            _ = RequestEncoder.encode(.get, of: flow, sequence: 1, isAcknowledged: false, into: &output)
        }
        try socket.send(request.bytes(to: byteCount))
        guard case .bytes(let answerByteCount) = try socket.receive(into: answer) else { return nil }
        var messages = MessageReader(answer.bytes(from: 0, to: answerByteCount))
        guard (try? messages.next()) == true else { return nil }
        guard messages.type == Netlink.error else { return (try? ConntrackEvent(decoding: messages.message))?.flow }
        if messages.errorNumber == ENOENT { return nil }
        throw SystemError(call: "get", errno: messages.errorNumber, context: "conntrack lookup")
    }
}
