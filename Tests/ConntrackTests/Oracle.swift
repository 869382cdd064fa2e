import CNetfilter
import Flow

@testable import Conntrack

/// Fields of a flow by name, as text: easy to compare, and a difference is easy to read.
typealias Fields = [String: String]

/// libnetfilter_conntrack as the judge of what a message says.
enum Oracle {
    /// What the library reads from a message; nil if it refuses it.
    ///
    /// A new object each time: a reused one keeps attributes of the message before.
    static func fields(of message: [UInt8]) -> Fields? {
        guard let object = nfct_new() else { return nil }
        defer { nfct_destroy(object) }
        let isParsed = message.withUnsafeBytes { bytes in
            bytes.baseAddress.map { nfct_nlmsg_parse($0.assumingMemoryBound(to: nlmsghdr.self), object) == 0 } ?? false
        }
        return isParsed ? Reader(object: object).fields : nil
    }

    /// The library's text of a message, without what `FlowPrinter` leaves out.
    static func text(of message: [UInt8]) -> String? {
        guard let object = nfct_new() else { return nil }
        defer { nfct_destroy(object) }
        return message.withUnsafeBytes { bytes -> String? in
            guard let header = bytes.baseAddress?.assumingMemoryBound(to: nlmsghdr.self),
                nfct_nlmsg_parse(header, object) == 0
            else { return nil }
            nfct_attr_unset(object, ATTR_TIMEOUT)
            nfct_attr_unset(object, ATTR_USE)
            var line = [CChar](repeating: 0, count: 2_048)
            let length = nfct_snprintf(&line, 2_048, object, 0, UInt32(NFCT_O_PLAIN), 0)
            return String(decoding: line.prefix(Int(length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }

    private struct Reader {
        let object: OpaquePointer
        var fields: Fields {
            var fields: Fields = [:]
            addTuples(&fields)
            add("status", ATTR_STATUS, UInt32.self, &fields) { "\(UInt16(truncatingIfNeeded: $0))" }
            add("timeout", ATTR_TIMEOUT, UInt32.self, &fields)
            add("mark", ATTR_MARK, UInt32.self, &fields)
            add("tcp state", ATTR_TCP_STATE, UInt8.self, &fields)
            add("tcp flags original", ATTR_TCP_FLAGS_ORIG, UInt8.self, &fields)
            add("tcp flags reply", ATTR_TCP_FLAGS_REPL, UInt8.self, &fields)
            add("tcp scale original", ATTR_TCP_WSCALE_ORIG, UInt8.self, &fields)
            add("tcp scale reply", ATTR_TCP_WSCALE_REPL, UInt8.self, &fields)
            add("sctp state", ATTR_SCTP_STATE, UInt8.self, &fields)
            add("sctp tag original", ATTR_SCTP_VTAG_ORIG, UInt32.self, &fields)
            add("sctp tag reply", ATTR_SCTP_VTAG_REPL, UInt32.self, &fields)
            add("dccp state", ATTR_DCCP_STATE, UInt8.self, &fields)
            add("dccp role", ATTR_DCCP_ROLE, UInt8.self, &fields)
            add("dccp sequence", ATTR_DCCP_HANDSHAKE_SEQ, UInt64.self, &fields)
            add("zone", ATTR_ZONE, UInt16.self, &fields)
            add("zone original", ATTR_ORIG_ZONE, UInt16.self, &fields)
            add("zone reply", ATTR_REPL_ZONE, UInt16.self, &fields)
            add("adjust original position", ATTR_ORIG_NAT_SEQ_CORRECTION_POS, UInt32.self, &fields)
            add("adjust original before", ATTR_ORIG_NAT_SEQ_OFFSET_BEFORE, UInt32.self, &fields)
            add("adjust original after", ATTR_ORIG_NAT_SEQ_OFFSET_AFTER, UInt32.self, &fields)
            add("adjust reply position", ATTR_REPL_NAT_SEQ_CORRECTION_POS, UInt32.self, &fields)
            add("adjust reply before", ATTR_REPL_NAT_SEQ_OFFSET_BEFORE, UInt32.self, &fields)
            add("adjust reply after", ATTR_REPL_NAT_SEQ_OFFSET_AFTER, UInt32.self, &fields)
            add("synproxy isn", ATTR_SYNPROXY_ISN, UInt32.self, &fields)
            add("synproxy its", ATTR_SYNPROXY_ITS, UInt32.self, &fields)
            add("synproxy tsoff", ATTR_SYNPROXY_TSOFF, UInt32.self, &fields)
            // All zero is how the kernel says that there is no SYNPROXY.
            let synproxy = ["synproxy isn", "synproxy its", "synproxy tsoff"]
            if synproxy.allSatisfy({ fields[$0] == "0" }) { synproxy.forEach { fields[$0] = nil } }
            if let name = pointer(ATTR_HELPER_NAME) {
                fields["helper"] = String(cString: name.assumingMemoryBound(to: CChar.self))
            }
            if let labels = pointer(ATTR_CONNLABELS) {
                let mask = OpaquePointer(labels)
                fields["labels"] = (0..<128).filter { nfct_bitmask_test_bit(mask, UInt32($0)) != 0 }.description
            }
            return fields
        }

        private func addTuples(_ fields: inout Fields) {
            for (name, attribute) in [
                ("original source", ATTR_ORIG_IPV4_SRC), ("original destination", ATTR_ORIG_IPV4_DST),
                ("reply source", ATTR_REPL_IPV4_SRC), ("reply destination", ATTR_REPL_IPV4_DST),
                ("master source", ATTR_MASTER_IPV4_SRC), ("master destination", ATTR_MASTER_IPV4_DST),
            ] {
                if let bytes = bytes(attribute, 4) { fields[name] = bytes }
            }
            for (name, attribute) in [
                ("original source", ATTR_ORIG_IPV6_SRC), ("original destination", ATTR_ORIG_IPV6_DST),
                ("reply source", ATTR_REPL_IPV6_SRC), ("reply destination", ATTR_REPL_IPV6_DST),
                ("master source", ATTR_MASTER_IPV6_SRC), ("master destination", ATTR_MASTER_IPV6_DST),
            ] {
                if let bytes = bytes(attribute, 16) { fields[name] = bytes }
            }
            for (name, attribute) in [
                ("original first key", ATTR_ORIG_PORT_SRC), ("original second key", ATTR_ORIG_PORT_DST),
                ("reply first key", ATTR_REPL_PORT_SRC), ("reply second key", ATTR_REPL_PORT_DST),
                ("master first key", ATTR_MASTER_PORT_SRC), ("master second key", ATTR_MASTER_PORT_DST),
                ("icmp identifier", ATTR_ICMP_ID),
            ] {
                add(name, attribute, UInt16.self, &fields) { "\($0.bigEndian)" }
            }
            add("icmp type", ATTR_ICMP_TYPE, UInt8.self, &fields)
            add("icmp code", ATTR_ICMP_CODE, UInt8.self, &fields)
            add("original protocol", ATTR_ORIG_L4PROTO, UInt8.self, &fields)
            add("reply protocol", ATTR_REPL_L4PROTO, UInt8.self, &fields)
            add("master protocol", ATTR_MASTER_L4PROTO, UInt8.self, &fields)
        }

        private func pointer(_ attribute: nf_conntrack_attr) -> UnsafeRawPointer? {
            guard nfct_attr_is_set(object, attribute) == 1 else { return nil }
            return UnsafeRawPointer(nfct_get_attr(object, attribute))
        }

        private func add<T: FixedWidthInteger & BitwiseCopyable>(
            _ name: String,
            _ attribute: nf_conntrack_attr,
            _ type: T.Type,
            _ fields: inout Fields,
            _ text: (T) -> String = { "\($0)" }
        ) {
            guard let pointer = pointer(attribute) else { return }
            fields[name] = text(pointer.loadUnaligned(as: T.self))
        }

        private func bytes(_ attribute: nf_conntrack_attr, _ count: Int) -> String? {
            pointer(attribute).map { pointer in
                (0..<count).map { "\(pointer.load(fromByteOffset: $0, as: UInt8.self))" }.joined(separator: ".")
            }
        }
    }
}

extension Flow {
    /// The fields that the library should read from a message of this flow.
    var fields: Fields {
        var fields: Fields = [:]
        add(original, "original", &fields)
        add(reply, "reply", &fields)
        if IPProtocol.isICMP(original.protocolNumber) {
            // The library keeps one set of ICMP fields for both directions.
            fields["icmp identifier"] = "\(original.key.icmpIdentifier)"
            fields["icmp type"] = "\(original.key.icmpType)"
            fields["icmp code"] = "\(original.key.icmpCode)"
        }
        switch zone.direction {
        case .both: fields["zone"] = zone.id == 0 ? nil : "\(zone.id)"
        case .original: fields["zone original"] = "\(zone.id)"
        case .reply: fields["zone reply"] = "\(zone.id)"
        }
        if attributes.contains(.status) { fields["status"] = "\(status.rawValue)" }
        if attributes.contains(.timeout) { fields["timeout"] = "\(timeoutSeconds)" }
        if attributes.contains(.mark) { fields["mark"] = "\(mark)" }
        addProtocolFields(&fields)
        addRareFields(&fields)
        return fields
    }

    private func add(_ tuple: Tuple, _ name: String, _ fields: inout Fields) {
        let count = tuple.family.addressByteCount
        fields["\(name) source"] = (0..<count).map { "\(tuple.source.byte(at: $0))" }.joined(separator: ".")
        fields["\(name) destination"] = (0..<count).map { "\(tuple.destination.byte(at: $0))" }.joined(separator: ".")
        fields["\(name) protocol"] = "\(tuple.protocolNumber)"
        // Kernels that no longer know DCCP track it by addresses alone.
        if IPProtocol.hasPorts(tuple.protocolNumber), tuple.key.raw != 0 {
            fields["\(name) first key"] = "\(tuple.key.sourcePort)"
            fields["\(name) second key"] = "\(tuple.key.destinationPort)"
        }
    }

    private func addProtocolFields(_ fields: inout Fields) {
        if attributes.contains(.protocolState) {
            let names = [IPProtocol.tcp: "tcp", IPProtocol.sctp: "sctp", IPProtocol.dccp: "dccp"]
            fields["\(names[original.protocolNumber] ?? "?") state"] = "\(protocolState)"
        }
        if attributes.contains(.tcpFlags) {
            fields["tcp flags original"] = "\(tcp.flagsOriginal)"
            fields["tcp flags reply"] = "\(tcp.flagsReply)"
        }
        if attributes.contains(.tcpWindowScale) {
            fields["tcp scale original"] = "\(tcp.windowScaleOriginal)"
            fields["tcp scale reply"] = "\(tcp.windowScaleReply)"
        }
        if attributes.contains(.sctpVerificationTags) {
            fields["sctp tag original"] = "\(sctpVerificationTags.original.bigEndian)"
            fields["sctp tag reply"] = "\(sctpVerificationTags.reply.bigEndian)"
        }
        if attributes.contains(.dccp) {
            fields["dccp role"] = "\(dccp.role)"
            fields["dccp sequence"] = "\(dccp.handshakeSequence)"
        }
    }

    private func addRareFields(_ fields: inout Fields) {
        if attributes.contains(.helper) { fields["helper"] = helper.text }
        if attributes.contains(.labels) {
            let words = [labels.low, labels.high]
            fields["labels"] = (0..<128).filter { words[$0 / 64] >> UInt64($0 % 64) & 1 != 0 }.description
        }
        if attributes.contains(.sequenceAdjustment) {
            for (name, values) in [
                ("original", sequenceAdjustmentOriginal), ("reply", sequenceAdjustmentReply),
            ] {
                fields["adjust \(name) position"] = "\(values.correctionPosition)"
                fields["adjust \(name) before"] = "\(values.offsetBefore)"
                fields["adjust \(name) after"] = "\(values.offsetAfter)"
            }
        }
        if attributes.contains(.master) { add(master, "master", &fields) }
        if attributes.contains(.synproxy) {
            fields["synproxy isn"] = "\(synproxy.initialSequenceNumber)"
            fields["synproxy its"] = "\(synproxy.initialTimestamp)"
            fields["synproxy tsoff"] = "\(synproxy.timestampOffset)"
        }
    }
}
