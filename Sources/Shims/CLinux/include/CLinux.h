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
#include <sys/random.h>
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

/// CPUID of the host's processor: EAX, EBX, ECX and EDX; zeros on other processors.
static inline void roost_host_cpuid(uint32_t leaf, uint32_t index, uint32_t out[4]) {
    out[0] = out[1] = out[2] = out[3] = 0;
#if defined(__x86_64__)
    __asm__ volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3]) : "0"(leaf), "2"(index));
#endif
}

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

/// The kernel's number of the calling thread; the C library hides gettid(2) behind _GNU_SOURCE.
static inline int roost_thread_number(void) { return (int)syscall(SYS_gettid); }

/// syscall(2) is variadic; FUTEX_WAIT with a relative timeout (null for none).
static inline long roost_futex_wait(uint32_t *word, uint32_t expected, const struct timespec *timeout) {
    return syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout, 0, 0);
}
static inline long roost_futex_wake(uint32_t *word, int waiters) {
    return syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, waiters, 0, 0, 0);
}

// Request numbers of /dev/kvm: macros with casts.
static const unsigned long ROOST_KVM_GET_API_VERSION = KVM_GET_API_VERSION;
static const unsigned long ROOST_KVM_CREATE_VM = KVM_CREATE_VM;
static const unsigned long ROOST_KVM_CHECK_EXTENSION = KVM_CHECK_EXTENSION;
static const unsigned long ROOST_KVM_GET_VCPU_MMAP_SIZE = KVM_GET_VCPU_MMAP_SIZE;
static const unsigned long ROOST_KVM_CREATE_VCPU = KVM_CREATE_VCPU;
static const unsigned long ROOST_KVM_SET_USER_MEMORY_REGION = KVM_SET_USER_MEMORY_REGION;
static const unsigned long ROOST_KVM_GET_DIRTY_LOG = KVM_GET_DIRTY_LOG;
static const unsigned long ROOST_KVM_SET_TSS_ADDR = KVM_SET_TSS_ADDR;
static const unsigned long ROOST_KVM_SET_IDENTITY_MAP_ADDR = KVM_SET_IDENTITY_MAP_ADDR;
static const unsigned long ROOST_KVM_CREATE_IRQCHIP = KVM_CREATE_IRQCHIP;
static const unsigned long ROOST_KVM_GET_IRQCHIP = KVM_GET_IRQCHIP;
static const unsigned long ROOST_KVM_SET_IRQCHIP = KVM_SET_IRQCHIP;
static const unsigned long ROOST_KVM_CREATE_PIT2 = KVM_CREATE_PIT2;
static const unsigned long ROOST_KVM_IRQ_LINE = KVM_IRQ_LINE;
static const unsigned long ROOST_KVM_SIGNAL_MSI = KVM_SIGNAL_MSI;
static const unsigned long ROOST_KVM_SET_GSI_ROUTING = KVM_SET_GSI_ROUTING;
static const unsigned long ROOST_KVM_IRQFD = KVM_IRQFD;
static const unsigned long ROOST_KVM_IOEVENTFD = KVM_IOEVENTFD;
static const unsigned long ROOST_KVM_RUN = KVM_RUN;
static const unsigned long ROOST_KVM_GET_REGS = KVM_GET_REGS;
static const unsigned long ROOST_KVM_SET_REGS = KVM_SET_REGS;
static const unsigned long ROOST_KVM_GET_SREGS = KVM_GET_SREGS;
static const unsigned long ROOST_KVM_SET_SREGS = KVM_SET_SREGS;
static const unsigned long ROOST_KVM_GET_FPU = KVM_GET_FPU;
static const unsigned long ROOST_KVM_SET_FPU = KVM_SET_FPU;
static const unsigned long ROOST_KVM_GET_XSAVE = KVM_GET_XSAVE;
static const unsigned long ROOST_KVM_SET_XSAVE = KVM_SET_XSAVE;
static const unsigned long ROOST_KVM_GET_XCRS = KVM_GET_XCRS;
static const unsigned long ROOST_KVM_SET_XCRS = KVM_SET_XCRS;
static const unsigned long ROOST_KVM_GET_MSRS = KVM_GET_MSRS;
static const unsigned long ROOST_KVM_SET_MSRS = KVM_SET_MSRS;
static const unsigned long ROOST_KVM_GET_MSR_INDEX_LIST = KVM_GET_MSR_INDEX_LIST;
static const unsigned long ROOST_KVM_SET_CPUID2 = KVM_SET_CPUID2;
static const unsigned long ROOST_KVM_GET_SUPPORTED_CPUID = KVM_GET_SUPPORTED_CPUID;
static const unsigned long ROOST_KVM_GET_LAPIC = KVM_GET_LAPIC;
static const unsigned long ROOST_KVM_SET_LAPIC = KVM_SET_LAPIC;
static const unsigned long ROOST_KVM_GET_MP_STATE = KVM_GET_MP_STATE;
static const unsigned long ROOST_KVM_SET_MP_STATE = KVM_SET_MP_STATE;
static const unsigned long ROOST_KVM_GET_VCPU_EVENTS = KVM_GET_VCPU_EVENTS;
static const unsigned long ROOST_KVM_SET_VCPU_EVENTS = KVM_SET_VCPU_EVENTS;
static const unsigned long ROOST_KVM_GET_DEBUGREGS = KVM_GET_DEBUGREGS;
static const unsigned long ROOST_KVM_SET_DEBUGREGS = KVM_SET_DEBUGREGS;
static const unsigned long ROOST_KVM_SET_GUEST_DEBUG = KVM_SET_GUEST_DEBUG;
static const unsigned long ROOST_KVM_TRANSLATE = KVM_TRANSLATE;
static const unsigned long ROOST_KVM_INTERRUPT = KVM_INTERRUPT;
static const unsigned long ROOST_KVM_NMI = KVM_NMI;
static const unsigned long ROOST_KVM_ENABLE_CAP = KVM_ENABLE_CAP;
static const unsigned long ROOST_KVM_SET_SIGNAL_MASK = KVM_SET_SIGNAL_MASK;
static const unsigned long ROOST_KVM_GET_CLOCK = KVM_GET_CLOCK;
static const unsigned long ROOST_KVM_SET_CLOCK = KVM_SET_CLOCK;
static const unsigned long ROOST_KVM_GET_TSC_KHZ = KVM_GET_TSC_KHZ;
static const unsigned long ROOST_KVM_SET_TSC_KHZ = KVM_SET_TSC_KHZ;
static const unsigned long ROOST_KVM_KVMCLOCK_CTRL = KVM_KVMCLOCK_CTRL;
static const unsigned long ROOST_KVM_MEM_READONLY = KVM_MEM_READONLY;
static const unsigned long ROOST_KVM_MEM_LOG_DIRTY_PAGES = KVM_MEM_LOG_DIRTY_PAGES;
static const unsigned long ROOST_KVM_IRQFD_FLAG_DEASSIGN = KVM_IRQFD_FLAG_DEASSIGN;
static const unsigned long ROOST_KVM_IOEVENTFD_DATAMATCH = KVM_IOEVENTFD_FLAG_DATAMATCH;
static const unsigned long ROOST_KVM_IOEVENTFD_PIO = KVM_IOEVENTFD_FLAG_PIO;
static const unsigned long ROOST_KVM_IOEVENTFD_DEASSIGN = KVM_IOEVENTFD_FLAG_DEASSIGN;

static const unsigned long ROOST_KVM_GUESTDBG_USE_HW_BP = KVM_GUESTDBG_USE_HW_BP;
// What <fcntl.h> and <unistd.h> declare for _GNU_SOURCE alone: the locks of open files, holes and direct I/O.
enum { ROOST_F_OFD_GETLK = 36, ROOST_F_OFD_SETLK = 37 };
enum { ROOST_SEEK_DATA = 3, ROOST_SEEK_HOLE = 4 };
enum { ROOST_FALLOC_KEEP_SIZE = 1, ROOST_FALLOC_PUNCH_HOLE = 2, ROOST_FALLOC_ZERO_RANGE = 16 };
extern const int roost_o_direct;
int roost_fallocate(int fd, int mode, int64_t offset, int64_t length);
/// copy_file_range(2) at given offsets.
ssize_t roost_copy_range(int from, int64_t from_offset, int to, int64_t to_offset, size_t count);
int64_t roost_copy_file_range(int from, int64_t from_offset, int to, int64_t to_offset, size_t length);

/// malloc_trim(3), which Swift does not import, and madvise(MADV_DONTNEED) for the code and constants of the program and its
/// libraries (dl_iterate_phdr needs _GNU_SOURCE).
void roost_release_program_pages(void);

/// The process's environment, for posix_spawn(3): a variable that Swift does not let through.
static inline char *const *roost_environment(void) {
    extern char **environ;
    return environ;
}

/// fork(2), which Swift does not import; only while the process has one thread.
int roost_fork(void);

/// recvmsg(2) for one buffer, with the descriptors that came along (SCM_RIGHTS): the macros for control messages are not
/// imported. `*descriptors_count` is the room on entry and the number received on return.
long roost_receive(int fd, void *buffer, size_t length, int *descriptors, int *descriptors_count);

/// Installs a system call filter for all threads of the process: the numbers listed, which it may not call from then on,
/// fail with EPERM or end the process. Returns 0, or -1 with errno.
int roost_deny_calls(const int *numbers, int count, int kills);

/// syscall(2) numbers of calls by name; -1 for one that this architecture does not have.
int roost_call_number(const char *name);

/// POSIX_SPAWN_SETSID is declared for _GNU_SOURCE alone.
extern const int roost_spawn_new_session;
/// The credentials of the process at the other end of a UNIX socket (SO_PEERCRED; struct ucred needs _GNU_SOURCE).
int roost_peer_credentials(int fd, int *process, unsigned *user, unsigned *group);
/// recvmsg(2) with at most `limit` descriptors (SCM_RIGHTS), close-on-exec; CMSG_* are macros with arguments.
ssize_t roost_receive_passed(int fd, void *bytes, size_t count, int *descriptors, int limit, int *received);
/// sendmsg(2) without SIGPIPE, with one descriptor, or none when it is negative.
ssize_t roost_send(int fd, const void *bytes, size_t count, int descriptor);
/// sched_setaffinity(2) and sched_getaffinity(2) with plain bytes, a bit for each processor (cpu_set_t needs _GNU_SOURCE).
/// The second one gives the number of bytes that the kernel filled.
int roost_set_affinity(int thread, const uint8_t *map, size_t length);
long roost_get_affinity(int thread, uint8_t *map, size_t length);

/// The kind of file system that a path is on (statfs(2)), the kernel's magic number; -1 with errno.
int64_t roost_filesystem_type(const char *path);
/// getxattr(2), setxattr(2) and removexattr(2): their header would make struct stat this module's.
ssize_t roost_get_attribute(const char *path, const char *name, void *value, size_t length);
int roost_set_attribute(const char *path, const char *name, const void *value, size_t length);
int roost_remove_attribute(const char *path, const char *name);

#endif
