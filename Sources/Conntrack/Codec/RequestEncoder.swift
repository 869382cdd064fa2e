package import Flow

/// Encodes the requests that put a flow into the kernel's table, change it there, or remove it.
///
/// What each request carries follows from what the kernel accepts (DESIGN §3):
///
/// | request | carries |
/// | --- | --- |
/// | create | the untranslated tuples, NAT as ranges of one address and port, everything else the record knows |
/// | update | the original tuple and what may change; NAT, helper and master are refused on an existing entry |
/// | get, delete | the original tuple and its zone; a delete may name the very entry |
/// | get by reply | the reply tuple and its zone |
package enum RequestEncoder {
    /// What is asked of the kernel.
    package enum Request: Sendable {
        /// A new entry; the answer is `EEXIST` if the kernel has one.
        case create
        /// Changes of an existing entry.
        case update
        /// The existing entry.
        case get
        /// The entry, of whatever flow, that holds the reply tuple in either direction.
        case getByReply
        /// The end of the existing entry.
        case delete
        /// No request: the message by which a kernel would tell of the flow, translated tuples and all.
        case description
    }

    /// Attributes left out of a request after the kernel refused it.
    package struct Omissions: OptionSet, BitwiseCopyable, Sendable {
        package let rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }
        /// The conntrack helper: this kernel has none of that name.
        package static let helper = Omissions(rawValue: 1)
        /// The master flow: it is not in this kernel's table.
        package static let master = Omissions(rawValue: 2)
        /// The status bits: the entry is further on than the record.
        package static let status = Omissions(rawValue: 4)
        /// The labels: this kernel's ruleset uses none.
        package static let labels = Omissions(rawValue: 8)
    }

    /// The longest request, bytes: an IPv6 flow with NAT both ways and every attribute.
    package static let encodedByteCountMax = 768

    /// Appends one request to `output` and returns its byte count, a multiple of four.
    ///
    /// - Parameters:
    ///   - flow: the flow; its `timeoutSeconds` must be set for a create.
    ///   - entryID: `CTA_ID` of the entry that a delete is about; another one of the same tuple stays.
    ///   - sequence: comes back in the kernel's answer.
    ///   - isAcknowledged: whether the kernel answers success too; failures are answered always.
    ///   - output: has room for `encodedByteCountMax` bytes.
    @_lifetime(output: copy output)
    package static func encode(
        _ request: Request,
        of flow: Flow,
        omitting omissions: Omissions = [],
        entryID: UInt32? = nil,
        sequence: UInt32,
        isAcknowledged: Bool,
        into output: inout OutputRawSpan
    ) -> Int {
        precondition(output.freeCapacity >= encodedByteCountMax, "request buffer full: \(output.freeCapacity) bytes")
        var flags = Netlink.request | (isAcknowledged ? Netlink.acknowledge : 0)
        let type: UInt16
        switch request {
        case .create:
            type = Netlink.messageNew
            flags |= Netlink.create | Netlink.exclusive
        case .update, .description: type = Netlink.messageNew
        case .get, .getByReply: type = Netlink.messageGet
        case .delete: type = Netlink.messageDelete
        }
        let family = flow.original.family == .ipv4 ? Netlink.familyIPv4 : Netlink.familyIPv6
        let start = output.beginMessage(type: type, flags: flags, sequence: sequence, family: family)

        let zone = flow.zone
        let replyZoneID = zone.direction == .reply ? zone.id : 0
        if request != .getByReply {
            let zoneID = zone.direction == .original ? zone.id : 0
            putTuple(MessageAttribute.originalTuple, flow.original, zoneID: zoneID, &output)
        }
        if zone.direction == .both, zone.id != 0 { output.put(MessageAttribute.zone, zone.id) }
        switch request {
        case .create:
            putTuple(MessageAttribute.replyTuple, replyBeforeNAT(of: flow), zoneID: replyZoneID, &output)
            putNAT(of: flow, &output)
            putOnlyAtCreation(flow, omissions, &output)
            putChangeable(flow, omissions, request, &output)
        case .update:
            putChangeable(flow, omissions, request, &output)
        case .get:
            break
        case .delete:
            if let entryID { output.put(MessageAttribute.id, entryID) }
        case .getByReply:
            putTuple(MessageAttribute.replyTuple, flow.reply, zoneID: replyZoneID, &output)
        case .description:
            putTuple(MessageAttribute.replyTuple, flow.reply, zoneID: replyZoneID, &output)
            putOnlyAtCreation(flow, omissions, &output)
            putChangeable(flow, omissions, request, &output)
        }
        return output.endMessage(start)
    }

    /// Appends a request for the whole table, both families, and returns its byte count.
    @_lifetime(output: copy output)
    package static func encodeDump(sequence: UInt32, into output: inout OutputRawSpan) -> Int {
        let start = output.beginMessage(
            type: Netlink.messageGet,
            flags: Netlink.request | Netlink.dump,
            sequence: sequence,
            family: Netlink.familyUnspecified
        )
        return output.endMessage(start)
    }

    /// The reply tuple as it was before NAT, which the kernel works out from it and the ranges.
    ///
    /// GRE keys go in translated: the kernel refuses to translate them by itself outside of PPTP's helper, but keeps
    /// what it finds (`nf_nat_l4proto_unique_tuple`).
    private static func replyBeforeNAT(of flow: Flow) -> Tuple {
        var tuple = flow.original.inverted
        if tuple.protocolNumber == IPProtocol.gre { tuple.key = flow.reply.key }
        return tuple
    }

    /// The status bits that the kernel takes: some are its own, and some must match the entry's or it answers EBUSY.
    private static func status(of flow: Flow, for request: Request) -> FlowStatus {
        let settable = flow.status.subtracting(.ownedByKernel).union(.confirmed)
        return switch request {
        case .update: settable.union(flow.status.intersection(.expected))
        case .description: flow.status
        default: settable
        }
    }

    @_lifetime(output: copy output)
    private static func putTuple(
        _ type: UInt16,
        _ tuple: Tuple,
        zoneID: UInt16,
        _ output: inout OutputRawSpan
    ) {
        let family = tuple.family
        let outer = output.beginNest(type)
        let addresses = output.beginNest(TupleAttribute.addresses)
        let isIPv4 = family == .ipv4
        output.put(isIPv4 ? TupleAttribute.ipv4Source : TupleAttribute.ipv6Source, tuple.source, family)
        output.put(
            isIPv4 ? TupleAttribute.ipv4Destination : TupleAttribute.ipv6Destination,
            tuple.destination,
            family
        )
        output.endNest(addresses)

        let key = output.beginNest(TupleAttribute.protocolKey)
        output.put(TupleAttribute.protocolNumber, tuple.protocolNumber)
        if IPProtocol.hasPorts(tuple.protocolNumber) {
            output.put(TupleAttribute.sourcePort, tuple.key.sourcePort)
            output.put(TupleAttribute.destinationPort, tuple.key.destinationPort)
        } else if tuple.protocolNumber == IPProtocol.icmp {
            output.put(TupleAttribute.icmpIdentifier, tuple.key.icmpIdentifier)
            output.put(TupleAttribute.icmpType, tuple.key.icmpType)
            output.put(TupleAttribute.icmpCode, tuple.key.icmpCode)
        } else if tuple.protocolNumber == IPProtocol.icmpv6 {
            output.put(TupleAttribute.icmpv6Identifier, tuple.key.icmpIdentifier)
            output.put(TupleAttribute.icmpv6Type, tuple.key.icmpType)
            output.put(TupleAttribute.icmpv6Code, tuple.key.icmpCode)
        }
        output.endNest(key)
        if zoneID != 0 { output.put(TupleAttribute.zone, zoneID) }
        output.endNest(outer)
    }

    /// Appends both translations if there is any.
    ///
    /// Both, because the kernel sets up a missing one by itself and may then choose another port to keep the reply
    /// tuple unique. Given a range of one it cannot, and a clash is an error instead of a wrong port. Where no maximum
    /// is given it is the minimum; each attribute left out saves the kernel 10 ns.
    @_lifetime(output: copy output)
    private static func putNAT(of flow: Flow, _ output: inout OutputRawSpan) {
        guard flow.isTranslated else { return }
        let (number, key) = (flow.original.protocolNumber, flow.reply.key)
        let hasRange = IPProtocol.hasPorts(number) || IPProtocol.isICMP(number)
        let family = flow.original.family
        // The kernel translates the destination first. An ICMP identifier is the same in both directions, so it must
        // still be the original one then, or the entry would be marked as translated both ways.
        let isICMP = IPProtocol.isICMP(number)
        let source = isICMP ? key.icmpIdentifier : key.destinationPort
        let destination = isICMP ? flow.original.key.icmpIdentifier : key.sourcePort
        putTranslation(
            MessageAttribute.sourceNAT,
            flow.reply.destination,
            family,
            port: hasRange ? source : nil,
            &output
        )
        putTranslation(
            MessageAttribute.destinationNAT,
            flow.reply.source,
            family,
            port: hasRange ? destination : nil,
            &output
        )
    }

    @_lifetime(output: copy output)
    private static func putTranslation(
        _ type: UInt16,
        _ address: Address,
        _ family: AddressFamily,
        port: UInt16?,
        _ output: inout OutputRawSpan
    ) {
        let outer = output.beginNest(type)
        output.put(family == .ipv4 ? NATAttribute.ipv4Min : NATAttribute.ipv6Min, address, family)
        if let port {
            let range = output.beginNest(NATAttribute.protocolRange)
            output.put(NATAttribute.portMin, port)
            output.endNest(range)
        }
        output.endNest(outer)
    }

    /// Appends what the kernel takes for a new entry only.
    @_lifetime(output: copy output)
    private static func putOnlyAtCreation(_ flow: Flow, _ omissions: Omissions, _ output: inout OutputRawSpan) {
        if flow.attributes.contains(.helper), !omissions.contains(.helper), flow.helper != Flow.HelperName() {
            let nest = output.beginNest(MessageAttribute.helper)
            output.putName(ExtraAttribute.helperName, low: flow.helper.low, high: flow.helper.high)
            output.endNest(nest)
        }
        if flow.attributes.contains(.master), !omissions.contains(.master) {
            putTuple(MessageAttribute.masterTuple, flow.master, zoneID: 0, &output)
        }
    }

    /// Appends what the kernel takes for new and existing entries.
    @_lifetime(output: copy output)
    private static func putChangeable(
        _ flow: Flow,
        _ omissions: Omissions,
        _ request: Request,
        _ output: inout OutputRawSpan
    ) {
        let known = flow.attributes
        // A record's seconds left are set just before a commit, whether or not the kernel told them.
        if request != .description || known.contains(.timeout) {
            output.put(MessageAttribute.timeout, flow.timeoutSeconds)
        }
        if known.contains(.status), !omissions.contains(.status) {
            output.put(MessageAttribute.status, UInt32(status(of: flow, for: request).rawValue))
        }
        // A new entry has none anyway.
        if known.contains(.mark), request != .create || flow.mark != 0 {
            output.put(MessageAttribute.mark, flow.mark)
        }
        putProtocolInfo(flow, request, &output)
        if known.contains(.labels), !omissions.contains(.labels) {
            output.putSixteenBytes(MessageAttribute.labels, low: flow.labels.low, high: flow.labels.high)
        }
        if known.contains(.sequenceAdjustment) {
            putAdjustment(MessageAttribute.sequenceAdjustmentOriginal, flow.sequenceAdjustmentOriginal, &output)
            putAdjustment(MessageAttribute.sequenceAdjustmentReply, flow.sequenceAdjustmentReply, &output)
        }
        if known.contains(.synproxy) {
            let nest = output.beginNest(MessageAttribute.synproxy)
            output.put(ExtraAttribute.initialSequenceNumber, flow.synproxy.initialSequenceNumber)
            output.put(ExtraAttribute.initialTimestamp, flow.synproxy.initialTimestamp)
            output.put(ExtraAttribute.timestampOffset, flow.synproxy.timestampOffset)
            output.endNest(nest)
        }
    }

    @_lifetime(output: copy output)
    private static func putAdjustment(
        _ type: UInt16,
        _ adjustment: Flow.SequenceAdjustment,
        _ output: inout OutputRawSpan
    ) {
        let nest = output.beginNest(type)
        output.put(ExtraAttribute.correctionPosition, adjustment.correctionPosition)
        output.put(ExtraAttribute.offsetBefore, adjustment.offsetBefore)
        output.put(ExtraAttribute.offsetAfter, adjustment.offsetAfter)
        output.endNest(nest)
    }

    @_lifetime(output: copy output)
    private static func putProtocolInfo(_ flow: Flow, _ request: Request, _ output: inout OutputRawSpan) {
        switch flow.original.protocolNumber {
        case IPProtocol.tcp:
            let outer = output.beginNest(MessageAttribute.protocolInfo)
            putTCP(flow, request, &output)
            output.endNest(outer)
        case IPProtocol.sctp where flow.attributes.contains(.protocolState):
            let outer = output.beginNest(MessageAttribute.protocolInfo)
            let nest = output.beginNest(ProtocolInfoAttribute.sctp)
            output.put(ProtocolInfoAttribute.sctpState, flow.protocolState)
            output.putRaw(ProtocolInfoAttribute.sctpTagOriginal, flow.sctpVerificationTags.original)
            output.putRaw(ProtocolInfoAttribute.sctpTagReply, flow.sctpVerificationTags.reply)
            output.endNest(nest)
            output.endNest(outer)
        case IPProtocol.dccp where flow.attributes.contains(.protocolState):
            let outer = output.beginNest(MessageAttribute.protocolInfo)
            let nest = output.beginNest(ProtocolInfoAttribute.dccp)
            output.put(ProtocolInfoAttribute.dccpState, flow.protocolState)
            output.put(ProtocolInfoAttribute.dccpRole, flow.dccp.role)
            output.put(ProtocolInfoAttribute.dccpHandshakeSequence, flow.dccp.handshakeSequence)
            output.endNest(nest)
            output.endNest(outer)
        default:
            break
        }
    }

    /// Appends the TCP state; in requests with both directions liberal about windows.
    ///
    /// The kernel's window state cannot be set: without BE_LIBERAL the first packets after a commit would be judged
    /// against windows of 0, and after an update against those of the time before the flow moved away.
    @_lifetime(output: copy output)
    private static func putTCP(_ flow: Flow, _ request: Request, _ output: inout OutputRawSpan) {
        let known = flow.attributes
        let nest = output.beginNest(ProtocolInfoAttribute.tcp)
        if known.contains(.protocolState) {
            output.put(ProtocolInfoAttribute.tcpState, flow.protocolState)
        } else if !flow.status.isDisjoint(with: [.assured, .offload, .hardwareOffload]), request != .description {
            // Messages of offloaded flows leave the state out, and only established flows are offloaded.
            output.put(ProtocolInfoAttribute.tcpState, TCPState.established.rawValue)
        }
        if known.contains(.tcpWindowScale) {
            output.put(ProtocolInfoAttribute.tcpWindowScaleOriginal, flow.tcp.windowScaleOriginal)
            output.put(ProtocolInfoAttribute.tcpWindowScaleReply, flow.tcp.windowScaleReply)
        }
        // struct nf_ct_tcp_flags: flags, mask. The kernel changes what the mask names, and leaves it 0 itself.
        let hasFlags = known.contains(.tcpFlags)
        let (original, reply) = hasFlags ? (flow.tcp.flagsOriginal, flow.tcp.flagsReply) : (0, 0)
        if request != .description {
            let mask = TCPFlag.beLiberal | (hasFlags ? TCPFlag.portable : 0)
            putTCPFlags(
                original & TCPFlag.portable | TCPFlag.beLiberal,
                reply & TCPFlag.portable | TCPFlag.beLiberal,
                mask: mask,
                &output
            )
        } else if hasFlags {
            putTCPFlags(original, reply, mask: 0, &output)
        }
        output.endNest(nest)
    }

    @_lifetime(output: copy output)
    private static func putTCPFlags(_ original: UInt8, _ reply: UInt8, mask: UInt8, _ output: inout OutputRawSpan) {
        output.put(ProtocolInfoAttribute.tcpFlagsOriginal, UInt16(original) << 8 | UInt16(mask))
        output.put(ProtocolInfoAttribute.tcpFlagsReply, UInt16(reply) << 8 | UInt16(mask))
    }
}

extension Flow {
    /// Whether NAT changes an address, a port or an ICMP identifier of this flow.
    var isTranslated: Bool { reply != original.inverted }
}
