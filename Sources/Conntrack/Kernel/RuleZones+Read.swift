internal import Flow
internal import Glibc
internal import SystemIO

extension RuleZones {
    /// Reads the rules of all families in the calling thread's network namespace.
    ///
    /// - Throws: `SystemError`; `ENOENT` or `EINVAL` from `dump` means a kernel without nf_tables.
    static func read() throws(SystemError) -> RuleZones {
        let socket = try NetlinkSocket.open(purpose: "nf_tables rules")
        try socket.bind()
        let request = SendBuffer(byteCount: 64)
        let byteCount = request.write { output in
            let start = output.beginMessage(
                type: Netlink.messageGetRule,
                flags: Netlink.request | Netlink.dump,
                sequence: 1,
                family: Netlink.familyUnspecified
            )
            _ = output.endMessage(start)
        }
        try socket.send(request.bytes(to: byteCount))
        let buffer = ReceiveBuffer(byteCount: 65_536)
        var zones = RuleZones()
        while true {
            switch try socket.receive(into: buffer) {
            case .wouldBlock: throw SystemError(call: "recvmsg", errno: EAGAIN, context: "nf_tables rules")
            case .overrun: throw SystemError(call: "recvmsg", errno: ENOBUFS, context: "nf_tables rules")
            case .bytes(let byteCount):
                if try zones.receiveAll(buffer.bytes(from: 0, to: byteCount)) { return zones }
            }
        }
    }

    /// Takes in the messages of one receive call; true at the end of the dump.
    private mutating func receiveAll(_ bytes: RawSpan) throws(SystemError) -> Bool {
        var messages = MessageReader(bytes)
        while (try? messages.next()) == true {
            switch messages.type {
            case Netlink.done, Netlink.error:
                let number = messages.errorNumber
                if number != 0 { throw SystemError(call: "dump", errno: number, context: "nf_tables rules") }
                return true
            case Netlink.messageNewRule:
                let message = messages.message
                // A rule that cannot be read may name any zone.
                do throws(MessageDefect) { try receive(message) } catch { isAnyPossible = true }
            default:
                break
            }
        }
        return false
    }
}
