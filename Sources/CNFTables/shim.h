// The kernel's own headers of nf_tables. A module apart from CNetfilter, whose libraries bring an older copy of the
// nfnetlink enums that clashes with them.
#pragma once
// The C library's first: the kernel's then leave out what both declare.
#include <netinet/in.h>
#include <net/if.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
