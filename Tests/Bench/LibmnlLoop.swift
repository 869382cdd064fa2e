internal import CNetfilter
internal import Flow
internal import Glibc
internal import Lab

/// Writes the lab's flows with libmnl and nothing else: 64 messages per send, and only the last of each batch answered.
///
/// It neither reads records nor looks at what is there, and does not mend refusals: the least that a commit can take.
final class LibmnlLoop {
    private static let batchCountMax = 64
    private static let messageByteCountMax = 512

    private let socket: OpaquePointer
    private let memory = UnsafeMutableRawBufferPointer.allocate(
        byteCount: messageByteCountMax * batchCountMax,
        alignment: 16
    )

    init() throws(LabError) {
        guard let socket = mnl_socket_open(NETLINK_NETFILTER), mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) == 0
        else {
            throw LabError(call: "mnl_socket_open", errno: errno)
        }
        self.socket = socket
    }

    deinit {
        mnl_socket_close(socket)
        memory.deallocate()
    }

    /// Creates the first `count` flows, or changes them if they are there.
    func write(_ count: Int, creates: Bool) throws(LabError) {
        var number = 0
        while number < count {
            let end = min(number + Self.batchCountMax, count)
            var byteCount = 0
            for index in number..<end {
                let place = memory.baseAddress.map { $0 + byteCount }
                byteCount += put(FlowInjector.flow(index), creates: creates, isLast: index == end - 1, at: place)
            }
            guard mnl_socket_sendto(socket, memory.baseAddress, byteCount) == byteCount else {
                throw LabError(call: "sendto", errno: errno, "flow \(number)")
            }
            try receiveAnswer(number)
            number = end
        }
    }

    /// The answer to a batch's last message is its first only if none was refused.
    private func receiveAnswer(_ number: Int) throws(LabError) {
        let received = mnl_socket_recvfrom(socket, memory.baseAddress, memory.count)
        guard received >= 20 else { throw LabError(call: "recvmsg", errno: errno, "flow \(number)") }
        let code = memory.loadUnaligned(fromByteOffset: 16, as: Int32.self)
        if code != 0 { throw LabError(call: "batch", errno: -code, "flow \(number)") }
    }

    private func put(_ flow: Flow, creates: Bool, isLast: Bool, at place: UnsafeMutableRawPointer?) -> Int {
        guard let place, let message = mnl_nlmsg_put_header(place) else { return 0 }
        var flags = Int32(NLM_F_REQUEST)
        if creates { flags |= Int32(NLM_F_CREATE) | Int32(NLM_F_EXCL) }
        if isLast { flags |= Int32(NLM_F_ACK) }
        message.pointee.nlmsg_type = UInt16(NFNL_SUBSYS_CTNETLINK << 8) | UInt16(IPCTNL_MSG_CT_NEW.rawValue)
        message.pointee.nlmsg_flags = UInt16(flags)
        let header = mnl_nlmsg_put_extra_header(message, 4)
        header?.storeBytes(of: UInt32(AF_INET), as: UInt32.self)

        putTuple(message, CTA_TUPLE_ORIG, flow.original)
        if creates {
            putTuple(message, CTA_TUPLE_REPLY, flow.original.inverted)
            let nest = mnl_attr_nest_start(message, UInt16(CTA_NAT_SRC.rawValue))
            put(message, CTA_NAT_V4_MINIP, flow.reply.destination)
            mnl_attr_nest_end(message, nest)
        }
        put(message, CTA_STATUS, UInt32(flow.status.subtracting(.ownedByKernel).rawValue))
        put(message, CTA_TIMEOUT, flow.timeoutSeconds)
        put(message, CTA_MARK, flow.mark)
        let outer = mnl_attr_nest_start(message, UInt16(CTA_PROTOINFO.rawValue))
        let inner = mnl_attr_nest_start(message, UInt16(CTA_PROTOINFO_TCP.rawValue))
        mnl_attr_put_u8(message, UInt16(CTA_PROTOINFO_TCP_STATE.rawValue), flow.protocolState)
        // Liberal about windows, value and mask, as every commit has to ask.
        for attribute in [CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, CTA_PROTOINFO_TCP_FLAGS_REPLY] {
            mnl_attr_put_u16(message, UInt16(attribute.rawValue), 0x0808)
        }
        mnl_attr_nest_end(message, inner)
        mnl_attr_nest_end(message, outer)
        return Int(message.pointee.nlmsg_len)
    }

    private func putTuple(_ message: UnsafeMutablePointer<nlmsghdr>, _ type: ctattr_type, _ tuple: Tuple) {
        let outer = mnl_attr_nest_start(message, UInt16(type.rawValue))
        let addresses = mnl_attr_nest_start(message, UInt16(CTA_TUPLE_IP.rawValue))
        put(message, CTA_IP_V4_SRC, tuple.source)
        put(message, CTA_IP_V4_DST, tuple.destination)
        mnl_attr_nest_end(message, addresses)
        let key = mnl_attr_nest_start(message, UInt16(CTA_TUPLE_PROTO.rawValue))
        mnl_attr_put_u8(message, UInt16(CTA_PROTO_NUM.rawValue), tuple.protocolNumber)
        mnl_attr_put_u16(message, UInt16(CTA_PROTO_SRC_PORT.rawValue), tuple.key.sourcePort.bigEndian)
        mnl_attr_put_u16(message, UInt16(CTA_PROTO_DST_PORT.rawValue), tuple.key.destinationPort.bigEndian)
        mnl_attr_nest_end(message, key)
        mnl_attr_nest_end(message, outer)
    }

    private func put<T: RawRepresentable>(_ message: UnsafeMutablePointer<nlmsghdr>, _ type: T, _ address: Address)
    where T.RawValue == UInt32 {
        // The word holds the bytes as they stand on the wire.
        mnl_attr_put_u32(message, UInt16(type.rawValue), UInt32(truncatingIfNeeded: address.high.littleEndian))
    }

    private func put<T: RawRepresentable>(_ message: UnsafeMutablePointer<nlmsghdr>, _ type: T, _ value: UInt32)
    where T.RawValue == UInt32 {
        mnl_attr_put_u32(message, UInt16(type.rawValue), value.bigEndian)
    }
}
