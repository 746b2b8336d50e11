// SPDX-License-Identifier: Apache-2.0
//
// What Swift cannot import from the C library's headers: variadic calls and macros with arguments or casts.
// Each function here is one such call and nothing more.

#ifndef ROOST_CLINUX_H
#define ROOST_CLINUX_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/futex.h>
#include <linux/kvm.h>

/// open(2) is variadic.
static inline int roost_open(const char *path, int flags, unsigned mode) { return open(path, flags, mode); }

/// fcntl(2) is variadic.
static inline int roost_fcntl(int fd, int command, long argument) { return fcntl(fd, command, argument); }
static inline int roost_fcntl_lock(int fd, int command, struct flock *lock) { return fcntl(fd, command, lock); }

/// ioctl(2) is variadic.
static inline int roost_ioctl(int fd, unsigned long request, unsigned long argument) {
    return ioctl(fd, request, argument);
}
static inline int roost_ioctl_pointer(int fd, unsigned long request, void *argument) {
    return ioctl(fd, request, argument);
}

/// MAP_FAILED is a cast that Swift does not import; the error is turned into a null pointer.
static inline void *roost_mmap(void *address, size_t length, int protection, int flags, int fd, int64_t offset) {
    void *p = mmap(address, length, protection, flags, fd, offset);
    return p == MAP_FAILED ? 0 : p;
}

/// prctl(2) is variadic; names the calling thread (15 bytes are kept).
static inline int roost_name_thread(const char *name) { return prctl(PR_SET_NAME, name, 0, 0, 0); }

/// syscall(2) is variadic; FUTEX_WAIT with a relative timeout (null for none).
static inline long roost_futex_wait(uint32_t *word, uint32_t expected, const struct timespec *timeout) {
    return syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout, 0, 0);
}
static inline long roost_futex_wake(uint32_t *word, int waiters) {
    return syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, waiters, 0, 0, 0);
}

#endif
