// libmnl, libnetfilter_conntrack and the kernel's netfilter headers in one module: apart, their copies of the
// nfnetlink enums clash.
#pragma once
#include <libmnl/libmnl.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack_tcp.h>
