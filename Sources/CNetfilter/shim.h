// libmnl, libnetfilter_conntrack and the kernel's netfilter headers in one module: apart, their copies of the
// nfnetlink enums clash.
#pragma once
#include <libmnl/libmnl.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack_tcp.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/xt_CT.h>

// NFNL_SUBSYS_NFTABLES of linux/netfilter/nfnetlink.h: libnfnetlink's copy of that header is older than nf_tables.
enum { CNETFILTER_SUBSYS_NFTABLES = 10 };
