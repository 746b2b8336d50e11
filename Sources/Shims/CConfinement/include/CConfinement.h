// SPDX-License-Identifier: Apache-2.0
//
// Calls that take a process's view of the host away from it. The C library declares them for _GNU_SOURCE alone, is
// variadic there, or does not have them yet. All return -1 with errno when they fail.

#ifndef ROOST_CCONFINEMENT_H
#define ROOST_CCONFINEMENT_H

#include <stdint.h>

/// unshare(2): mounts, System V objects and the host's name of the calling process become its own.
int roost_unshare_views(void);
/// mount(2).
int roost_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data);
/// open_tree(2): a copy of what is mounted at `path`, with all that is mounted below it when `recursive`.
int roost_open_tree(const char *path, int recursive);
/// move_mount(2): puts what open_tree gave at `target`.
int roost_move_mount(int tree, const char *target);
/// Makes what is mounted at `target`, and is no copy of anything else, read-only, without device nodes unless `devices`,
/// and without set-user-ID programs.
int roost_restrict_mount(const char *target, int read_only, int devices);
/// umount2(2), at once even while files are open below it; 0 also for a place where nothing is mounted.
int roost_unmount(const char *target);
/// pivot_root(2) to the current folder; the old root is unmounted.
int roost_pivot_here(void);
/// setns(2) to the mounts of another process.
int roost_enter_mounts(int process);
/// setgroups(2), setresgid(2), setresuid(2) and no way back: all capabilities go with the user 0.
int roost_become(unsigned user, unsigned group, const unsigned *groups, int count);
/// prctl(PR_SET_NO_NEW_PRIVS).
int roost_forbid_new_privileges(void);

/// The version of Landlock that the kernel has; 0 for none.
int roost_landlock_version(void);
/// Classes of access to files, of which Landlock denies those that no rule allows.
enum { ROOST_LANDLOCK_EXECUTE = 1, ROOST_LANDLOCK_WRITE = 2 };
/// A set of rules for the classes; `scoped` keeps signals and abstract sockets inside.
int roost_landlock_create(int classes, int scoped);
/// Allows the classes at and below an open file or folder.
int roost_landlock_allow(int rules, int classes, int place);
/// Restricts this process for good.
int roost_landlock_restrict(int rules);

#endif
