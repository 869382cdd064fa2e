internal import CNetfilter

// The kernel's numbers under Swift names, each taken from its header. Computed, so that every use folds into an
// immediate: a stored static would be a load behind a once-guard on the decoding path.

/// `CTA_*`, the attributes of a conntrack message.
enum MessageAttribute {
    static var originalTuple: UInt16 { UInt16(CTA_TUPLE_ORIG.rawValue) }
    static var replyTuple: UInt16 { UInt16(CTA_TUPLE_REPLY.rawValue) }
    static var status: UInt16 { UInt16(CTA_STATUS.rawValue) }
    static var protocolInfo: UInt16 { UInt16(CTA_PROTOINFO.rawValue) }
    static var helper: UInt16 { UInt16(CTA_HELP.rawValue) }
    static var sourceNAT: UInt16 { UInt16(CTA_NAT_SRC.rawValue) }
    static var timeout: UInt16 { UInt16(CTA_TIMEOUT.rawValue) }
    static var mark: UInt16 { UInt16(CTA_MARK.rawValue) }
    static var destinationNAT: UInt16 { UInt16(CTA_NAT_DST.rawValue) }
    static var masterTuple: UInt16 { UInt16(CTA_TUPLE_MASTER.rawValue) }
    static var sequenceAdjustmentOriginal: UInt16 { UInt16(CTA_SEQ_ADJ_ORIG.rawValue) }
    static var sequenceAdjustmentReply: UInt16 { UInt16(CTA_SEQ_ADJ_REPLY.rawValue) }
    static var zone: UInt16 { UInt16(CTA_ZONE.rawValue) }
    static var labels: UInt16 { UInt16(CTA_LABELS.rawValue) }
    static var synproxy: UInt16 { UInt16(CTA_SYNPROXY.rawValue) }
    static var id: UInt16 { UInt16(CTA_ID.rawValue) }
}

/// `CTA_TUPLE_*`, `CTA_IP_*` and `CTA_PROTO_*`: what a tuple is made of.
enum TupleAttribute {
    static var addresses: UInt16 { UInt16(CTA_TUPLE_IP.rawValue) }
    static var protocolKey: UInt16 { UInt16(CTA_TUPLE_PROTO.rawValue) }
    static var zone: UInt16 { UInt16(CTA_TUPLE_ZONE.rawValue) }

    static var ipv4Source: UInt16 { UInt16(CTA_IP_V4_SRC.rawValue) }
    static var ipv4Destination: UInt16 { UInt16(CTA_IP_V4_DST.rawValue) }
    static var ipv6Source: UInt16 { UInt16(CTA_IP_V6_SRC.rawValue) }
    static var ipv6Destination: UInt16 { UInt16(CTA_IP_V6_DST.rawValue) }

    static var protocolNumber: UInt16 { UInt16(CTA_PROTO_NUM.rawValue) }
    static var sourcePort: UInt16 { UInt16(CTA_PROTO_SRC_PORT.rawValue) }
    static var destinationPort: UInt16 { UInt16(CTA_PROTO_DST_PORT.rawValue) }
    static var icmpIdentifier: UInt16 { UInt16(CTA_PROTO_ICMP_ID.rawValue) }
    static var icmpType: UInt16 { UInt16(CTA_PROTO_ICMP_TYPE.rawValue) }
    static var icmpCode: UInt16 { UInt16(CTA_PROTO_ICMP_CODE.rawValue) }
    static var icmpv6Identifier: UInt16 { UInt16(CTA_PROTO_ICMPV6_ID.rawValue) }
    static var icmpv6Type: UInt16 { UInt16(CTA_PROTO_ICMPV6_TYPE.rawValue) }
    static var icmpv6Code: UInt16 { UInt16(CTA_PROTO_ICMPV6_CODE.rawValue) }
}

/// `CTA_PROTOINFO_*`: protocol states.
enum ProtocolInfoAttribute {
    static var tcp: UInt16 { UInt16(CTA_PROTOINFO_TCP.rawValue) }
    static var dccp: UInt16 { UInt16(CTA_PROTOINFO_DCCP.rawValue) }
    static var sctp: UInt16 { UInt16(CTA_PROTOINFO_SCTP.rawValue) }

    static var tcpState: UInt16 { UInt16(CTA_PROTOINFO_TCP_STATE.rawValue) }
    static var tcpWindowScaleOriginal: UInt16 { UInt16(CTA_PROTOINFO_TCP_WSCALE_ORIGINAL.rawValue) }
    static var tcpWindowScaleReply: UInt16 { UInt16(CTA_PROTOINFO_TCP_WSCALE_REPLY.rawValue) }
    static var tcpFlagsOriginal: UInt16 { UInt16(CTA_PROTOINFO_TCP_FLAGS_ORIGINAL.rawValue) }
    static var tcpFlagsReply: UInt16 { UInt16(CTA_PROTOINFO_TCP_FLAGS_REPLY.rawValue) }

    static var dccpState: UInt16 { UInt16(CTA_PROTOINFO_DCCP_STATE.rawValue) }
    static var dccpRole: UInt16 { UInt16(CTA_PROTOINFO_DCCP_ROLE.rawValue) }
    static var dccpHandshakeSequence: UInt16 { UInt16(CTA_PROTOINFO_DCCP_HANDSHAKE_SEQ.rawValue) }

    static var sctpState: UInt16 { UInt16(CTA_PROTOINFO_SCTP_STATE.rawValue) }
    static var sctpTagOriginal: UInt16 { UInt16(CTA_PROTOINFO_SCTP_VTAG_ORIGINAL.rawValue) }
    static var sctpTagReply: UInt16 { UInt16(CTA_PROTOINFO_SCTP_VTAG_REPLY.rawValue) }
}

/// `CTA_NAT_*` and `CTA_PROTONAT_*`: the address and port that a flow is translated to.
enum NATAttribute {
    static var ipv4Min: UInt16 { UInt16(CTA_NAT_V4_MINIP.rawValue) }
    static var ipv6Min: UInt16 { UInt16(CTA_NAT_V6_MINIP.rawValue) }
    static var protocolRange: UInt16 { UInt16(CTA_NAT_PROTO.rawValue) }
    static var portMin: UInt16 { UInt16(CTA_PROTONAT_PORT_MIN.rawValue) }
}

/// `CTA_HELP_*`, `CTA_SEQADJ_*` and `CTA_SYNPROXY_*`.
enum ExtraAttribute {
    static var helperName: UInt16 { UInt16(CTA_HELP_NAME.rawValue) }

    static var correctionPosition: UInt16 { UInt16(CTA_SEQADJ_CORRECTION_POS.rawValue) }
    static var offsetBefore: UInt16 { UInt16(CTA_SEQADJ_OFFSET_BEFORE.rawValue) }
    static var offsetAfter: UInt16 { UInt16(CTA_SEQADJ_OFFSET_AFTER.rawValue) }

    static var initialSequenceNumber: UInt16 { UInt16(CTA_SYNPROXY_ISN.rawValue) }
    static var initialTimestamp: UInt16 { UInt16(CTA_SYNPROXY_ITS.rawValue) }
    static var timestampOffset: UInt16 { UInt16(CTA_SYNPROXY_TSOFF.rawValue) }
}

/// `IP_CT_TCP_FLAG_*`, those that one kernel can hand to another.
enum TCPFlag {
    static var beLiberal: UInt8 { UInt8(IP_CT_TCP_FLAG_BE_LIBERAL) }
    static var windowScale: UInt8 { UInt8(IP_CT_TCP_FLAG_WINDOW_SCALE) }
    /// Window scaling, SACK, who closed first.
    ///
    /// The others describe window state that cannot be set: telling the
    /// kernel "an ACK was seen" without the number would make it check against 0.
    static var portable: UInt8 {
        UInt8(IP_CT_TCP_FLAG_WINDOW_SCALE | IP_CT_TCP_FLAG_SACK_PERM | IP_CT_TCP_FLAG_CLOSE_INIT)
    }
}

/// `NFTA_*` and `NFT_*`: what a rule of nf_tables says of conntrack zones.
enum RuleAttribute {
    static var expressions: UInt16 { UInt16(NFTA_RULE_EXPRESSIONS.rawValue) }
    static var element: UInt16 { UInt16(NFTA_LIST_ELEM.rawValue) }
    static var expressionName: UInt16 { UInt16(NFTA_EXPR_NAME.rawValue) }
    static var expressionData: UInt16 { UInt16(NFTA_EXPR_DATA.rawValue) }
    static var immediateDestination: UInt16 { UInt16(NFTA_IMMEDIATE_DREG.rawValue) }
    static var immediateData: UInt16 { UInt16(NFTA_IMMEDIATE_DATA.rawValue) }
    static var compareData: UInt16 { UInt16(NFTA_CMP_DATA.rawValue) }
    static var dataValue: UInt16 { UInt16(NFTA_DATA_VALUE.rawValue) }
    static var conntrackKey: UInt16 { UInt16(NFTA_CT_KEY.rawValue) }
    static var conntrackSource: UInt16 { UInt16(NFTA_CT_SREG.rawValue) }
    static var targetName: UInt16 { UInt16(NFTA_TARGET_NAME.rawValue) }
    static var targetInfo: UInt16 { UInt16(NFTA_TARGET_INFO.rawValue) }

    static var zoneKey: UInt32 { UInt32(NFT_CT_ZONE.rawValue) }
    /// Of iptables' CT target: the zone is the packet's mark.
    static var zoneFromMark: UInt16 { UInt16(XT_CT_ZONE_MARK) }
}

/// Netlink and nfnetlink numbers.
enum Netlink {
    static var headerByteCount: Int { 16 }
    /// `struct nlmsghdr` and `struct nfgenmsg`.
    static var flowHeaderByteCount: Int { headerByteCount + 4 }

    static var error: UInt16 { UInt16(NLMSG_ERROR) }
    static var done: UInt16 { UInt16(NLMSG_DONE) }
    static var noOperation: UInt16 { UInt16(NLMSG_NOOP) }
    static var overrun: UInt16 { UInt16(NLMSG_OVERRUN) }

    static var request: UInt16 { UInt16(NLM_F_REQUEST) }
    static var acknowledge: UInt16 { UInt16(NLM_F_ACK) }
    static var create: UInt16 { UInt16(NLM_F_CREATE) }
    static var exclusive: UInt16 { UInt16(NLM_F_EXCL) }
    static var dump: UInt16 { UInt16(NLM_F_ROOT) | UInt16(NLM_F_MATCH) }
    static var dumpInterrupted: UInt16 { UInt16(NLM_F_DUMP_INTR) }

    static var subsystem: UInt16 { UInt16(NFNL_SUBSYS_CTNETLINK) }
    static var messageNew: UInt16 { subsystem << 8 | UInt16(IPCTNL_MSG_CT_NEW.rawValue) }
    static var messageGet: UInt16 { subsystem << 8 | UInt16(IPCTNL_MSG_CT_GET.rawValue) }
    static var messageDelete: UInt16 { subsystem << 8 | UInt16(IPCTNL_MSG_CT_DELETE.rawValue) }

    static var messageNewRule: UInt16 { UInt16(CNETFILTER_SUBSYS_NFTABLES) << 8 | UInt16(NFT_MSG_NEWRULE.rawValue) }
    static var messageGetRule: UInt16 { UInt16(CNETFILTER_SUBSYS_NFTABLES) << 8 | UInt16(NFT_MSG_GETRULE.rawValue) }

    static var familyIPv4: UInt8 { UInt8(AF_INET) }
    static var familyIPv6: UInt8 { UInt8(AF_INET6) }
    static var familyUnspecified: UInt8 { UInt8(AF_UNSPEC) }
}
