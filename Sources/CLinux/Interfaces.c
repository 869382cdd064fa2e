#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

_Static_assert(sizeof((struct clinux_interface_entry *)0)->name == IFNAMSIZ, "an interface name fits");

int clinux_interface_monitor_open(void) {
    int created = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (created < 0) return -errno;
    struct sockaddr_nl address = {
        .nl_family = AF_NETLINK,
        .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
    };
    if (bind(created, (struct sockaddr *)&address, sizeof address) < 0) {
        int failure = -errno;
        close(created);
        return failure;
    }
    return created;
}

int clinux_interface_monitor_drain(int socket) {
    int is_changed = 0;
    for (;;) {
        char first;
        // One byte is enough: a message is taken off the queue whole, what does not fit is dropped.
        if (recv(socket, &first, 1, MSG_DONTWAIT) >= 0) {
            is_changed = 1;
        } else if (errno == ENOBUFS) {
            is_changed = 1;
        } else if (errno == EAGAIN) {
            return is_changed;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
}

static void describe_interface(struct clinux_interface_entry *entry, const struct ifaddrs *part, int socket) {
    const struct sockaddr_ll *link = (const struct sockaddr_ll *)(const void *)part->ifa_addr;
    entry->index = (uint32_t)link->sll_ifindex;
    struct ifreq request;
    memset(&request, 0, sizeof request);
    memcpy(request.ifr_name, entry->name, IFNAMSIZ);
    // It fails if the interface went away meanwhile; the monitor then has a message about that already.
    if (ioctl(socket, SIOCGIFMTU, &request) == 0) entry->mtu = (uint32_t)request.ifr_mtu;
}

static void describe_address(struct clinux_interface_entry *entry, const struct ifaddrs *part) {
    if (part->ifa_addr->sa_family == AF_INET) {
        const struct sockaddr_in *address = (const struct sockaddr_in *)(const void *)part->ifa_addr;
        entry->address.family = 4;
        memcpy(entry->address.address, &address->sin_addr, 4);
    } else {
        const struct sockaddr_in6 *address = (const struct sockaddr_in6 *)(const void *)part->ifa_addr;
        entry->address.family = 6;
        entry->address.scope = address->sin6_scope_id;
        memcpy(entry->address.address, &address->sin6_addr, 16);
    }
}

int clinux_interfaces(struct clinux_interface_entry *entries, int capacity) {
    int query = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (query < 0) return -errno;
    struct ifaddrs *list;
    if (getifaddrs(&list) < 0) {
        int failure = -errno;
        close(query);
        return failure;
    }
    int count = 0;
    for (const struct ifaddrs *part = list; part != NULL; part = part->ifa_next) {
        if (part->ifa_addr == NULL) continue;
        int family = part->ifa_addr->sa_family;
        if (family != AF_PACKET && family != AF_INET && family != AF_INET6) continue;
        if (count++ >= capacity) continue;
        struct clinux_interface_entry *entry = &entries[count - 1];
        memset(entry, 0, sizeof *entry);
        // An IPv4 address with a label comes under that label ("eth0:vip"); interface names hold no colon.
        size_t length = strcspn(part->ifa_name, ":");
        memcpy(entry->name, part->ifa_name, length < IFNAMSIZ ? length : IFNAMSIZ - 1);
        entry->is_up = (part->ifa_flags & IFF_UP) != 0;
        entry->is_running = (part->ifa_flags & IFF_RUNNING) != 0;
        if (family == AF_PACKET) {
            describe_interface(entry, part, query);
        } else {
            describe_address(entry, part);
        }
    }
    freeifaddrs(list);
    close(query);
    return count;
}
