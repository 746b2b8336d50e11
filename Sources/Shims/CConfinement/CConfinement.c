// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CConfinement.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

// The struct has grown with the kernel; what a kernel does not know must be zero or left out.
struct ruleset {
    uint64_t files, network, scoped;
};

int roost_unshare_views(void) { return unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS); }

int roost_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data) {
    return mount(source, target, type, flags, data);
}

int roost_open_tree(const char *path, int recursive) {
    enum { clone = 1, empty_recursive = 0x8000 };
    return (int)syscall(SYS_open_tree, AT_FDCWD, path, clone | O_CLOEXEC | (recursive ? empty_recursive : 0));
}

int roost_move_mount(int tree, const char *target) {
    enum { from_empty_path = 4 };
    return (int)syscall(SYS_move_mount, tree, "", AT_FDCWD, target, from_empty_path);
}

int roost_restrict_mount(const char *target, int read_only, int devices) {
    unsigned long flags = MS_REMOUNT | MS_BIND | MS_NOSUID;
    if (read_only) flags |= MS_RDONLY;
    if (!devices) flags |= MS_NODEV;
    return mount(0, target, 0, flags, 0);
}

int roost_unmount(const char *target) {
    return umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno == EINVAL ? 0 : -1;
}

int roost_pivot_here(void) {
    if (syscall(SYS_pivot_root, ".", ".")) return -1;
    // The old root lies on top of the new one now.
    if (umount2(".", MNT_DETACH)) return -1;
    return chdir("/");
}

int roost_enter_mounts(int process) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/mnt", process);
    int space = open(path, O_RDONLY | O_CLOEXEC);
    if (space < 0) return -1;
    int result = setns(space, CLONE_NEWNS);
    int saved = errno;
    close(space);
    errno = saved;
    return result;
}

int roost_become(unsigned user, unsigned group, const unsigned *groups, int count) {
    if (setgroups(count, groups)) return -1;
    if (setresgid(group, group, group)) return -1;
    return setresuid(user, user, user);
}

int roost_forbid_new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }

int roost_landlock_version(void) {
    long version = syscall(SYS_landlock_create_ruleset, 0, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return version < 0 ? 0 : (int)version;
}

static uint64_t accesses(int classes) {
    int version = roost_landlock_version();
    uint64_t files = 0;
    if (classes & ROOST_LANDLOCK_EXECUTE) files |= LANDLOCK_ACCESS_FS_EXECUTE;
    if (classes & ROOST_LANDLOCK_WRITE) {
        files |= LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                 LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
                 LANDLOCK_ACCESS_FS_MAKE_SYM;
        if (version >= 2) files |= LANDLOCK_ACCESS_FS_REFER;
        if (version >= 3) files |= LANDLOCK_ACCESS_FS_TRUNCATE;
    }
    return files;
}

int roost_landlock_create(int classes, int scoped) {
    enum { abstract_sockets = 1, signals = 2, scoping_version = 6, network_version = 4 };
    int version = roost_landlock_version();
    struct ruleset rules = {accesses(classes), 0, 0};
    size_t size = version >= scoping_version ? sizeof rules : version >= network_version ? 16 : 8;
    if (scoped && version >= scoping_version) rules.scoped = abstract_sockets | signals;
    return (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
}

int roost_landlock_allow(int rules, int classes, int place) {
    struct stat information;
    if (fstat(place, &information)) return -1;
    uint64_t files = accesses(classes);
    // Only some kinds of access mean anything for what is no folder.
    if (!S_ISDIR(information.st_mode)) {
        files &= LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE;
    }
    struct landlock_path_beneath_attr rule = {.allowed_access = files, .parent_fd = place};
    return (int)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

int roost_landlock_restrict(int rules) {
    if (roost_forbid_new_privileges()) return -1;
    return (int)syscall(SYS_landlock_restrict_self, rules, 0);
}
