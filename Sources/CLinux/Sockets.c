#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int result(int value) { return value < 0 ? -errno : value; }

static int set_int(int socket, int level, int option, int value) {
    return result(setsockopt(socket, level, option, &value, sizeof value));
}

/// Any address the kernel takes or gives here. The union keeps accesses by family free of aliasing questions.
union socket_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t to_socket_address(union socket_address *address, const struct clinux_endpoint *endpoint) {
    memset(address, 0, sizeof *address);
    if (endpoint->family == 4) {
        address->v4.sin_family = AF_INET;
        address->v4.sin_port = htons(endpoint->port);
        memcpy(&address->v4.sin_addr, endpoint->address, 4);
        return sizeof address->v4;
    }
    address->v6.sin6_family = AF_INET6;
    address->v6.sin6_port = htons(endpoint->port);
    address->v6.sin6_scope_id = endpoint->scope;
    memcpy(&address->v6.sin6_addr, endpoint->address, 16);
    return sizeof address->v6;
}

static void from_socket_address(struct clinux_endpoint *endpoint, const union socket_address *address) {
    memset(endpoint, 0, sizeof *endpoint);
    if (address->any.sa_family == AF_INET) {
        endpoint->family = 4;
        endpoint->port = ntohs(address->v4.sin_port);
        memcpy(endpoint->address, &address->v4.sin_addr, 4);
    } else if (address->any.sa_family == AF_INET6) {
        endpoint->family = 6;
        endpoint->port = ntohs(address->v6.sin6_port);
        endpoint->scope = address->v6.sin6_scope_id;
        memcpy(endpoint->address, &address->v6.sin6_addr, 16);
    }
}

// -- opening and options ----------------------------------------------------------------------------------------------

int clinux_udp_open(int family) {
    int domain = family == 4 ? AF_INET : AF_INET6;
    int created = socket(domain, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (created < 0) return -errno;
    int failure;
    if (family == 4) {
        failure = set_int(created, IPPROTO_IP, IP_PKTINFO, 1);
    } else {
        failure = set_int(created, IPPROTO_IPV6, IPV6_V6ONLY, 1);
        if (failure == 0) failure = set_int(created, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    }
    if (failure < 0) {
        close(created);
        return failure;
    }
    return created;
}

int clinux_bind(int socket, struct clinux_endpoint local) {
    union socket_address address;
    socklen_t length = to_socket_address(&address, &local);
    return result(bind(socket, &address.any, length));
}

int clinux_bind_to_device(int socket, const char *interface_name) {
    socklen_t length = (socklen_t)strlen(interface_name);
    return result(setsockopt(socket, SOL_SOCKET, SO_BINDTODEVICE, interface_name, length));
}

int clinux_set_reuse_address(int socket, int is_on) { return set_int(socket, SOL_SOCKET, SO_REUSEADDR, is_on); }

static int join_group_v4(int socket, struct clinux_endpoint group, unsigned interface_index) {
    struct ip_mreqn request = {.imr_ifindex = (int)interface_index};
    memcpy(&request.imr_multiaddr, group.address, 4);
    if (setsockopt(socket, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof request) < 0) return -errno;
    if (setsockopt(socket, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request) < 0) return -errno;
    int failure = set_int(socket, IPPROTO_IP, IP_MULTICAST_TTL, 1);
    return failure < 0 ? failure : set_int(socket, IPPROTO_IP, IP_MULTICAST_LOOP, 0);
}

static int join_group_v6(int socket, struct clinux_endpoint group, unsigned interface_index) {
    struct ipv6_mreq request = {.ipv6mr_interface = interface_index};
    memcpy(&request.ipv6mr_multiaddr, group.address, 16);
    int failure = set_int(socket, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)interface_index);
    if (failure < 0) return failure;
    if (setsockopt(socket, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &request, sizeof request) < 0) return -errno;
    failure = set_int(socket, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 1);
    return failure < 0 ? failure : set_int(socket, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0);
}

int clinux_join_group(int socket, struct clinux_endpoint group, unsigned interface_index) {
    return group.family == 4
        ? join_group_v4(socket, group, interface_index)
        : join_group_v6(socket, group, interface_index);
}

int clinux_discard_everything(int socket) {
    struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog program = {.len = 1, .filter = code};
    return result(setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
}

int64_t clinux_drop_count(int socket) {
    uint32_t values[SK_MEMINFO_VARS];
    socklen_t length = sizeof values;
    if (getsockopt(socket, SOL_SOCKET, SO_MEMINFO, values, &length) < 0) return -errno;
    return length > SK_MEMINFO_DROPS * sizeof values[0] ? values[SK_MEMINFO_DROPS] : 0;
}

static int set_buffer(int socket, int force, int plain, int byte_count) {
    // FORCE needs CAP_NET_ADMIN; without it the system's limit (net.core.rmem_max, wmem_max) caps the wish silently.
    if (set_int(socket, SOL_SOCKET, force, byte_count) < 0) {
        int failure = set_int(socket, SOL_SOCKET, plain, byte_count);
        if (failure < 0) return failure;
    }
    int value = 0;
    socklen_t length = sizeof value;
    if (getsockopt(socket, SOL_SOCKET, plain, &value, &length) < 0) return -errno;
    // The kernel doubles what it is given, for its own overhead, and reports the double.
    return value / 2;
}

int clinux_set_receive_buffer(int socket, int byte_count) {
    return set_buffer(socket, SO_RCVBUFFORCE, SO_RCVBUF, byte_count);
}

int clinux_set_send_buffer(int socket, int byte_count) {
    return set_buffer(socket, SO_SNDBUFFORCE, SO_SNDBUF, byte_count);
}

// -- datagrams --------------------------------------------------------------------------------------------------------

/// Room for the one control message that is asked for, of either family, aligned as CMSG_FIRSTHDR needs it.
union control {
    struct cmsghdr alignment;
    char v4[CMSG_SPACE(sizeof(struct in_pktinfo))];
    char v6[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

static uint32_t arrival_interface(struct msghdr *message) {
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(part), sizeof info);
            return (uint32_t)info.ipi_ifindex;
        }
        if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(part), sizeof info);
            return info.ipi6_ifindex;
        }
    }
    return 0;
}

int clinux_receive(int socket, uint8_t *bytes, size_t stride, struct clinux_datagram *datagrams, unsigned count) {
    struct mmsghdr messages[CLINUX_DATAGRAM_COUNT_MAX];
    struct iovec parts[CLINUX_DATAGRAM_COUNT_MAX];
    union socket_address sources[CLINUX_DATAGRAM_COUNT_MAX];
    union control controls[CLINUX_DATAGRAM_COUNT_MAX];
    if (count > CLINUX_DATAGRAM_COUNT_MAX) count = CLINUX_DATAGRAM_COUNT_MAX;
    for (unsigned i = 0; i < count; i++) {
        parts[i] = (struct iovec){.iov_base = bytes + i * stride, .iov_len = stride};
        sources[i].any.sa_family = AF_UNSPEC;
        messages[i] = (struct mmsghdr){.msg_hdr = {
            .msg_name = &sources[i], .msg_namelen = sizeof sources[i],
            .msg_iov = &parts[i], .msg_iovlen = 1,
            .msg_control = &controls[i], .msg_controllen = sizeof controls[i],
        }};
    }
    int received;
    do {
        received = recvmmsg(socket, messages, count, MSG_DONTWAIT, NULL);
    } while (received < 0 && errno == EINTR);
    if (received < 0) return errno == EAGAIN ? 0 : -errno;
    for (int i = 0; i < received; i++) {
        struct msghdr *message = &messages[i].msg_hdr;
        from_socket_address(&datagrams[i].source, &sources[i]);
        datagrams[i].interface_index = arrival_interface(message);
        datagrams[i].byte_count = messages[i].msg_len;
        datagrams[i].is_truncated = (message->msg_flags & MSG_TRUNC) != 0;
    }
    return received;
}

int clinux_receive_messages(
    int socket, uint8_t *bytes, size_t stride, uint32_t *byte_counts, unsigned count) {
    struct mmsghdr messages[CLINUX_DATAGRAM_COUNT_MAX];
    struct iovec parts[CLINUX_DATAGRAM_COUNT_MAX];
    if (count > CLINUX_DATAGRAM_COUNT_MAX) count = CLINUX_DATAGRAM_COUNT_MAX;
    for (unsigned i = 0; i < count; i++) {
        parts[i] = (struct iovec){.iov_base = bytes + i * stride, .iov_len = stride};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1}};
    }
    int received;
    do {
        received = recvmmsg(socket, messages, count, MSG_DONTWAIT, NULL);
    } while (received < 0 && errno == EINTR);
    if (received < 0) return errno == EAGAIN ? 0 : -errno;
    for (int i = 0; i < received; i++) byte_counts[i] = messages[i].msg_len;
    return received;
}

int clinux_send(
    int socket, const uint8_t *bytes, size_t stride, const uint32_t *byte_counts, unsigned count,
    struct clinux_endpoint destination) {
    struct mmsghdr messages[CLINUX_DATAGRAM_COUNT_MAX];
    struct iovec parts[CLINUX_DATAGRAM_COUNT_MAX];
    union socket_address address;
    socklen_t length = to_socket_address(&address, &destination);
    if (count > CLINUX_DATAGRAM_COUNT_MAX) count = CLINUX_DATAGRAM_COUNT_MAX;
    for (unsigned i = 0; i < count; i++) {
        // sendmmsg only reads: iovec has no const form.
        parts[i] = (struct iovec){.iov_base = (uint8_t *)bytes + i * stride, .iov_len = byte_counts[i]};
        messages[i] = (struct mmsghdr){.msg_hdr = {
            .msg_name = &address, .msg_namelen = length, .msg_iov = &parts[i], .msg_iovlen = 1,
        }};
    }
    int sent;
    do {
        sent = sendmmsg(socket, messages, count, MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return result(sent);
}

// -- TCP --------------------------------------------------------------------------------------------------------------

int clinux_tcp_open(int family) {
    int domain = family == 4 ? AF_INET : AF_INET6;
    int created = socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (created < 0) return -errno;
    int failure = family == 4 ? 0 : set_int(created, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (failure < 0) {
        close(created);
        return failure;
    }
    return created;
}

int clinux_tcp_set_up(int socket, int timeout_milliseconds) {
    int failure = set_int(socket, IPPROTO_TCP, TCP_NODELAY, 1);
    // Unacknowledged data, a window that stays closed, and keepalive probes all end with this timeout.
    if (failure == 0) failure = set_int(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, timeout_milliseconds);
    if (failure == 0) failure = set_int(socket, IPPROTO_TCP, TCP_KEEPIDLE, 1);
    if (failure == 0) failure = set_int(socket, IPPROTO_TCP, TCP_KEEPINTVL, 1);
    return failure == 0 ? set_int(socket, SOL_SOCKET, SO_KEEPALIVE, 1) : failure;
}

int clinux_tcp_reset_on_close(int socket) {
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    return result(setsockopt(socket, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
}

int clinux_tcp_listen(int socket, int backlog) { return result(listen(socket, backlog)); }

int clinux_tcp_accept(int socket, struct clinux_endpoint *source) {
    for (;;) {
        union socket_address address = {.any.sa_family = AF_UNSPEC};
        socklen_t length = sizeof address;
        int accepted = accept4(socket, &address.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted >= 0) {
            from_socket_address(source, &address);
            return accepted;
        }
        // A connection that was reset before it was taken concerns nobody.
        if (errno != EINTR && errno != ECONNABORTED) return -errno;
    }
}

int clinux_tcp_connect(int socket, struct clinux_endpoint destination) {
    union socket_address address;
    socklen_t length = to_socket_address(&address, &destination);
    if (connect(socket, &address.any, length) == 0) return 0;
    // Interrupted, it goes on by itself.
    return errno == EINTR ? -EINPROGRESS : -errno;
}

int clinux_socket_error(int socket) {
    int value = 0;
    socklen_t length = sizeof value;
    if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &value, &length) < 0) return -errno;
    return -value;
}

int clinux_stream_send(int socket, const uint8_t *bytes, size_t byte_count) {
    if (byte_count > INT_MAX) byte_count = INT_MAX;
    ssize_t sent;
    do {
        sent = send(socket, bytes, byte_count, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) return errno == EAGAIN ? 0 : -errno;
    return (int)sent;
}

int clinux_stream_receive(int socket, uint8_t *bytes, size_t byte_count) {
    if (byte_count > INT_MAX) byte_count = INT_MAX;
    ssize_t received;
    do {
        received = recv(socket, bytes, byte_count, MSG_DONTWAIT);
    } while (received < 0 && errno == EINTR);
    return received < 0 ? -errno : (int)received;
}

// -- Unix sockets -----------------------------------------------------------------------------------------------------

int clinux_unix_datagram_open(void) { return result(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)); }

int clinux_send_to_path(int socket, const char *path, const uint8_t *bytes, size_t byte_count) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof address.sun_path) return -ENAMETOOLONG;
    memcpy(address.sun_path, path, length);
    socklen_t address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    if (path[0] == '@') {
        // The abstract namespace: a leading NUL, and the length says where the name ends.
        address.sun_path[0] = 0;
        address_length -= 1;
    }
    ssize_t sent;
    // A receiver that does not read must not stop the sender: its queue is short, and then the message is lost.
    do {
        sent = sendto(socket, bytes, byte_count, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&address,
                      address_length);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}
