#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

static int result(int value) { return value < 0 ? -errno : value; }

// -- epoll ------------------------------------------------------------------------------------------------------------

int clinux_epoll_create(void) { return result(epoll_create1(EPOLL_CLOEXEC)); }

static int epoll_change(int epoll, int operation, int descriptor, uint64_t token, uint32_t interest) {
    struct epoll_event event = {0};
    if (interest & CLINUX_READABLE) event.events |= EPOLLIN;
    if (interest & CLINUX_WRITABLE) event.events |= EPOLLOUT;
    // The kernel adds EPOLLERR and EPOLLHUP to every mask. Level-triggered, a parked socket with an error pending (a
    // netlink overrun) would turn the loop into a busy one; edge-triggered it wakes once.
    if (event.events == 0) event.events = EPOLLET;
    event.data.u64 = token;
    return result(epoll_ctl(epoll, operation, descriptor, &event));
}

int clinux_epoll_add(int epoll, int descriptor, uint64_t token, uint32_t interest) {
    return epoll_change(epoll, EPOLL_CTL_ADD, descriptor, token, interest);
}

int clinux_epoll_modify(int epoll, int descriptor, uint64_t token, uint32_t interest) {
    return epoll_change(epoll, EPOLL_CTL_MOD, descriptor, token, interest);
}

int clinux_epoll_remove(int epoll, int descriptor) {
    return result(epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, NULL));
}

int clinux_epoll_wait(int epoll, struct clinux_ready *ready, int capacity, int timeout_milliseconds) {
    struct epoll_event events[256];
    if (capacity > 256) capacity = 256;
    int count = epoll_wait(epoll, events, capacity, timeout_milliseconds);
    if (count < 0) return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++) {
        uint32_t interest = 0;
        // An error is told to whoever waits, reader or writer: their next call brings the errno to light.
        if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) interest |= CLINUX_READABLE;
        if (events[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) interest |= CLINUX_WRITABLE;
        ready[i].token = events[i].data.u64;
        ready[i].interest = interest;
    }
    return count;
}

// -- eventfd, signalfd ------------------------------------------------------------------------------------------------

int clinux_eventfd_create(void) { return result(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

int clinux_eventfd_signal(int descriptor) {
    // EAGAIN means that the counter is full, hence that the reader has been told already.
    if (eventfd_write(descriptor, 1) < 0 && errno != EAGAIN) return -errno;
    return 0;
}

int clinux_eventfd_drain(int descriptor) {
    eventfd_t value;
    if (eventfd_read(descriptor, &value) < 0 && errno != EAGAIN) return -errno;
    return 0;
}

int clinux_signalfd_create(const int *signals, size_t count) {
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < count; i++) {
        if (sigaddset(&set, signals[i]) < 0) return -errno;
    }
    int failure = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (failure != 0) return -failure;
    return result(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

int clinux_signalfd_read(int descriptor) {
    struct signalfd_siginfo info;
    ssize_t count;
    do {
        count = read(descriptor, &info, sizeof info);
    } while (count < 0 && errno == EINTR);
    if (count < 0) return errno == EAGAIN ? 0 : -errno;
    return count == sizeof info ? (int)info.ssi_signo : -EIO;
}

// -- threads, namespaces, names ---------------------------------------------------------------------------------------

struct thread_start {
    void (*body)(void *);
    void *context;
    char name[16];
};

static void *thread_main(void *argument) {
    struct thread_start start = *(struct thread_start *)argument;
    free(argument);
    pthread_setname_np(pthread_self(), start.name);
    start.body(start.context);
    return NULL;
}

int clinux_thread_start(unsigned long *thread, const char *name, void (*body)(void *), void *context) {
    struct thread_start *start = calloc(1, sizeof *start);
    if (start == NULL) return -ENOMEM;
    start->body = body;
    start->context = context;
    strncpy(start->name, name, sizeof start->name - 1);
    // The thread inherits the mask of its creator, so it is closed from its first instruction on.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t created;
    int failure = pthread_create(&created, NULL, thread_main, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure != 0) {
        free(start);
        return -failure;
    }
    _Static_assert(sizeof(pthread_t) == sizeof(unsigned long), "pthread_t is a word in glibc");
    *thread = created;
    return 0;
}

int clinux_thread_join(unsigned long thread) { return -pthread_join(thread, NULL); }

int clinux_enter_network_namespace(int descriptor) { return result(setns(descriptor, CLONE_NEWNET)); }

int clinux_enter_new_network_namespace(void) { return result(unshare(CLONE_NEWNET)); }

const char *clinux_errno_name(int number) { return strerrorname_np(number); }

const char *clinux_errno_text(int number) { return strerrordesc_np(number); }
