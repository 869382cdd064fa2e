// The system calls that Swift's Glibc module lacks, with flat types that Swift can hold without C pointers inside.
//
// Rules of this header: nothing of the kernel's or of GNU's leaks out of it (`_GNU_SOURCE` in a module header changes
// types of the Glibc module, and kernel headers would clash with those of CNetfilter). Every function that can fail
// returns a value below zero, which is -errno: the number cannot be lost between the call and its reader.
#ifndef CLINUX_H
#define CLINUX_H

#include <stddef.h>
#include <stdint.h>

// -- epoll ------------------------------------------------------------------------------------------------------------

enum {
    CLINUX_READABLE = 1,
    CLINUX_WRITABLE = 2,
};

/// One descriptor that became ready.
struct clinux_ready {
    uint64_t token;
    uint32_t interest;
};

int clinux_epoll_create(void);
int clinux_epoll_add(int epoll, int descriptor, uint64_t token, uint32_t interest);
int clinux_epoll_modify(int epoll, int descriptor, uint64_t token, uint32_t interest);
int clinux_epoll_remove(int epoll, int descriptor);
/// Fills `ready` with up to `capacity` (at most 256) descriptors and returns how many.
int clinux_epoll_wait(int epoll, struct clinux_ready *ready, int capacity, int timeout_milliseconds);

// -- eventfd, signalfd ------------------------------------------------------------------------------------------------

int clinux_eventfd_create(void);
int clinux_eventfd_signal(int descriptor);
int clinux_eventfd_drain(int descriptor);

/// Blocks the given signals in the calling thread and returns a descriptor that reads them.
int clinux_signalfd_create(const int *signals, size_t count);
/// Returns the number of a pending signal, 0 if none is pending.
int clinux_signalfd_read(int descriptor);

// -- threads, namespaces, names ---------------------------------------------------------------------------------------

/// Starts a thread in which every signal is blocked. The name is cut to 15 bytes.
int clinux_thread_start(unsigned long *thread, const char *name, void (*body)(void *), void *context);
int clinux_thread_join(unsigned long thread);

/// Moves the calling thread into the network namespace that `descriptor` refers to.
int clinux_enter_network_namespace(int descriptor);
/// Moves the calling thread into a network namespace of its own, which goes with the last thread and socket in it.
int clinux_enter_new_network_namespace(void);

/// The constant's name ("EPERM"), or NULL for a number that is no errno.
const char *clinux_errno_name(int number);
/// The errno's text in English ("Operation not permitted"), or NULL for a number that is no errno.
const char *clinux_errno_text(int number);

// -- sockets ----------------------------------------------------------------------------------------------------------

/// An IPv4 or IPv6 address, with a port where one is meant.
struct clinux_endpoint {
    uint64_t address[2];  // the bytes as they stand on the wire; IPv4 in the first four
    uint32_t scope;       // interface index for IPv6 addresses of link scope, else 0
    uint16_t port;        // host order
    uint8_t family;       // 4 or 6; 0 is no address
};

/// What the kernel says of one received datagram.
struct clinux_datagram {
    struct clinux_endpoint source;
    uint32_t interface_index;  // by which interface it came in; 0 if the kernel did not say
    uint32_t byte_count;
    uint8_t is_truncated;
};

/// A non-blocking UDP socket of `family` (4 or 6) that reports the arrival interface of each datagram.
int clinux_udp_open(int family);
int clinux_bind(int socket, struct clinux_endpoint local);
int clinux_bind_to_device(int socket, const char *interface_name);
int clinux_set_reuse_address(int socket, int is_on);
/// Joins the group on the interface and fixes what is sent there: that interface, one hop, not looped back.
int clinux_join_group(int socket, struct clinux_endpoint group, unsigned interface_index);

/// Lets the kernel discard every datagram for this socket before it is queued; each counts in `clinux_drop_count`.
int clinux_discard_everything(int socket);
/// Datagrams that the kernel discarded at this socket: full buffer, or refused by a filter.
int64_t clinux_drop_count(int socket);

/// Sets the size past the system's limit, or as far as that limit goes; returns the size that is in force.
int clinux_set_receive_buffer(int socket, int byte_count);
int clinux_set_send_buffer(int socket, int byte_count);

/// Datagrams taken or given in one call, at most.
enum { CLINUX_DATAGRAM_COUNT_MAX = 64 };

/// Receives up to `count` datagrams; number i lies at `bytes + i * stride`. Returns how many.
int clinux_receive(int socket, uint8_t *bytes, size_t stride, struct clinux_datagram *datagrams, unsigned count);
/// Receives up to `count` messages, whoever sent them; number i lies at `bytes + i * stride` and is `byte_counts[i]`
/// long, cut off at `stride`. Returns how many, 0 if none waits.
int clinux_receive_messages(
    int socket, uint8_t *bytes, size_t stride, uint32_t *byte_counts, unsigned count);
/// Sends `count` datagrams; number i lies at `bytes + i * stride` and is `byte_counts[i]` long. Returns how many went.
int clinux_send(
    int socket, const uint8_t *bytes, size_t stride, const uint32_t *byte_counts, unsigned count,
    struct clinux_endpoint destination);

/// A non-blocking TCP socket of `family` (4 or 6).
int clinux_tcp_open(int family);
/// Sends small writes at once, and gives up a peer that acknowledges nothing, or a silent one that is gone, after
/// `timeout_milliseconds`.
int clinux_tcp_set_up(int socket, int timeout_milliseconds);
/// Makes the close of this socket a reset: nothing is sent any more, and no port waits for late segments.
int clinux_tcp_reset_on_close(int socket);
int clinux_tcp_listen(int socket, int backlog);
/// Takes one waiting connection, non-blocking, and returns its descriptor; -EAGAIN if none waits.
int clinux_tcp_accept(int socket, struct clinux_endpoint *source);
/// Begins to connect. Returns 0 once connected, -EINPROGRESS while that takes time.
int clinux_tcp_connect(int socket, struct clinux_endpoint destination);
/// Fetches the error that waits at the socket: 0 or -errno.
int clinux_socket_error(int socket);
/// Returns how many bytes the kernel took: 0 if there is no room.
int clinux_stream_send(int socket, const uint8_t *bytes, size_t byte_count);
/// Returns how many bytes came: 0 at the end of the stream, -EAGAIN if none wait.
int clinux_stream_receive(int socket, uint8_t *bytes, size_t byte_count);

/// A socket for sending datagrams to a Unix socket.
int clinux_unix_datagram_open(void);
/// Sends one datagram to a Unix socket. A path that begins with '@' means the abstract namespace.
int clinux_send_to_path(int socket, const char *path, const uint8_t *bytes, size_t byte_count);

// -- interfaces -------------------------------------------------------------------------------------------------------

/// An rtnetlink socket that tells of changed links and addresses.
int clinux_interface_monitor_open(void);
/// Throws away what the monitor has to say; returns 1 if there was anything, or if messages were lost.
int clinux_interface_monitor_drain(int socket);

/// One interface, or one address of it.
struct clinux_interface_entry {
    char name[16];
    uint32_t index;                  // 0 in an address's entry
    uint32_t mtu;                    // 0 in an address's entry
    uint8_t is_up;
    uint8_t is_running;
    struct clinux_endpoint address;  // family 0: this entry is the interface itself
};
/// Writes up to `capacity` entries and returns how many there are, which may be more.
int clinux_interfaces(struct clinux_interface_entry *entries, int capacity);

#endif
