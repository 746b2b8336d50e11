// SPDX-License-Identifier: Apache-2.0
// The functions of this shim are inline; a C target needs one source file.
#define _GNU_SOURCE
#include "CLinux.h"
#include <link.h>
#include <malloc.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

#if defined(__x86_64__)
#define ROOST_AUDIT_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ROOST_AUDIT_ARCH AUDIT_ARCH_AARCH64
#endif
#include <spawn.h>

_Static_assert(F_OFD_GETLK == ROOST_F_OFD_GETLK && F_OFD_SETLK == ROOST_F_OFD_SETLK, "fcntl");
_Static_assert(SEEK_DATA == ROOST_SEEK_DATA && SEEK_HOLE == ROOST_SEEK_HOLE, "lseek");
_Static_assert(FALLOC_FL_KEEP_SIZE == ROOST_FALLOC_KEEP_SIZE && FALLOC_FL_PUNCH_HOLE == ROOST_FALLOC_PUNCH_HOLE
                   && FALLOC_FL_ZERO_RANGE == ROOST_FALLOC_ZERO_RANGE, "fallocate");

const int roost_o_direct = O_DIRECT;
const int roost_spawn_new_session = POSIX_SPAWN_SETSID;

int roost_fallocate(int fd, int mode, int64_t offset, int64_t length) { return fallocate(fd, mode, offset, length); }

ssize_t roost_copy_range(int from, int64_t from_offset, int to, int64_t to_offset, size_t count) {
    off64_t source = from_offset, target = to_offset;
    return copy_file_range(from, &source, to, &target, count, 0);
}

static int release_object(struct dl_phdr_info *object, size_t size, void *page) {
    (void)size;
    uintptr_t mask = *(uintptr_t *)page - 1;
    for (int index = 0; index < object->dlpi_phnum; index++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[index];
        // Segments that are never written are clean mappings of their files, which the kernel reads again on demand.
        if (header->p_type != PT_LOAD || header->p_flags & PF_W) continue;
        uintptr_t start = object->dlpi_addr + header->p_vaddr, end = (start + header->p_memsz + mask) & ~mask;
        madvise((void *)(start & ~mask), end - (start & ~mask), MADV_DONTNEED);
    }
    return 0;
}

void roost_release_program_pages(void) {
    malloc_trim(0);
    uintptr_t page = sysconf(_SC_PAGESIZE);
    dl_iterate_phdr(release_object, &page);
}

int roost_fork(void) { return fork(); }

long roost_receive(int fd, void *buffer, size_t length, int *descriptors, int *descriptors_count) {
    char control[CMSG_SPACE(sizeof(int) * 16)];
    struct iovec part = {buffer, length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof control};
    int room = *descriptors_count;
    *descriptors_count = 0;
    long count = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (count < 0) return count;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
        size_t received = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t index = 0; index < received; index++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(head) + index * sizeof(int), sizeof descriptor);
            if (*descriptors_count < room) descriptors[(*descriptors_count)++] = descriptor;
            else close(descriptor);
        }
    }
    return count;
}

int roost_deny_calls(const int *numbers, int count, int kills) {
    enum { limit = 128 };
    struct sock_filter code[6 * limit + 6];
    if (count < 0 || count > limit) return errno = EINVAL, -1;
    int size = 0;
    // Another architecture's calls have other numbers: none of them is allowed.
    code[size++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    code[size++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ROOST_AUDIT_ARCH, 1, 0);
    code[size++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    code[size++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    unsigned denied = kills ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | EPERM;
    for (int index = 0; index < count; index++) {
        if (numbers[index] < 0) continue;
        if (numbers[index] == SYS_clone3) {
            // Its flags lie in memory, out of a filter's sight: the C library then takes clone.
            code[size++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1);
            code[size++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
            continue;
        }
        if (numbers[index] == SYS_clone) {
            // Threads are made with it as well, and stay allowed.
            code[size++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4);
            code[size++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                                        offsetof(struct seccomp_data, args[0]));
            code[size++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1);
            code[size++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
            code[size++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, denied);
            continue;
        }
        code[size++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)numbers[index], 0, 1);
        code[size++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, denied);
    }
    code[size++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {(unsigned short)size, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}

// One line for each call that a filter can name.
#define CALL(name) {#name, SYS_##name}
static const struct { const char *name; int number; } calls[] = {
    CALL(reboot), CALL(swapon), CALL(swapoff), CALL(syslog), CALL(mount), CALL(umount2), CALL(kexec_load),
    CALL(kexec_file_load), CALL(afs_syscall), CALL(create_module), CALL(get_kernel_syms), CALL(getpmsg),
    CALL(init_module), CALL(finit_module), CALL(delete_module), CALL(lookup_dcookie), CALL(nfsservctl),
    CALL(putpmsg), CALL(query_module), CALL(security), CALL(tuxcall), CALL(vserver), CALL(acct),
    CALL(add_key), CALL(request_key), CALL(keyctl), CALL(ioperm), CALL(iopl), CALL(pivot_root), CALL(chroot),
    CALL(settimeofday), CALL(clock_settime), CALL(adjtimex), CALL(clock_adjtime), CALL(sethostname),
    CALL(setdomainname), CALL(quotactl), CALL(bpf), CALL(userfaultfd), CALL(_sysctl), CALL(uselib), CALL(ustat),
    CALL(sysfs), CALL(setuid), CALL(setgid), CALL(setpgid), CALL(setsid), CALL(setreuid), CALL(setregid),
    CALL(setresuid), CALL(setresgid), CALL(setfsuid), CALL(setfsgid), CALL(fork), CALL(vfork), CALL(execve),
    CALL(execveat), CALL(setpriority), CALL(sched_setparam), CALL(sched_setscheduler), CALL(sched_setaffinity),
    CALL(clone), CALL(clone3), CALL(setns), CALL(unshare), CALL(ptrace), CALL(process_vm_readv),
    CALL(process_vm_writev), CALL(perf_event_open), CALL(open_by_handle_at), CALL(open_tree), CALL(move_mount),
    CALL(fsopen), CALL(fsmount), CALL(mount_setattr),
};

int roost_call_number(const char *name) {
    for (size_t index = 0; index < sizeof calls / sizeof calls[0]; index++) {
        if (!strcmp(calls[index].name, name)) return calls[index].number;
    }
    return -1;
}

int64_t roost_copy_file_range(int from, int64_t from_offset, int to, int64_t to_offset, size_t length) {
    return copy_file_range(from, &from_offset, to, &to_offset, length, 0);
}

int roost_peer_credentials(int fd, int *process, unsigned *user, unsigned *group) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length)) return -1;
    *process = peer.pid;
    *user = peer.uid;
    *group = peer.gid;
    return 0;
}

enum { ROOST_DESCRIPTORS = 32 };

ssize_t roost_receive_passed(int fd, void *bytes, size_t count, int *descriptors, int limit, int *received) {
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(ROOST_DESCRIPTORS * sizeof(int))];
    struct iovec part = {bytes, count};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    *received = 0;
    ssize_t result = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (result < 0) return result;
    for (struct cmsghdr *each = CMSG_FIRSTHDR(&message); each; each = CMSG_NXTHDR(&message, each)) {
        if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) continue;
        size_t passed = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < passed; i++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(each) + i * sizeof(int), sizeof(int));
            if (*received < limit) descriptors[(*received)++] = descriptor;
            else close(descriptor);
        }
    }
    return result;
}

ssize_t roost_send(int fd, const void *bytes, size_t count, int descriptor) {
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct iovec part = {(void *)bytes, count};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (descriptor >= 0) {
        memset(control, 0, sizeof control);
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
    }
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

int roost_set_affinity(int thread, const uint8_t *map, size_t length) {
    return (int)syscall(SYS_sched_setaffinity, thread, length, map);
}

long roost_get_affinity(int thread, uint8_t *map, size_t length) {
    return syscall(SYS_sched_getaffinity, thread, length, map);
}

ssize_t roost_get_attribute(const char *path, const char *name, void *value, size_t length) {
    return getxattr(path, name, value, length);
}

int roost_set_attribute(const char *path, const char *name, const void *value, size_t length) {
    return setxattr(path, name, value, length, 0);
}

int roost_remove_attribute(const char *path, const char *name) { return removexattr(path, name); }

int64_t roost_filesystem_type(const char *path) {
    struct statfs information;
    return statfs(path, &information) ? -1 : (int64_t)(uint32_t)information.f_type;
}
