// SPDX-License-Identifier: Apache-2.0
// The functions of this shim are inline; a C target needs one source file.
#define _GNU_SOURCE
#include "CLinux.h"

_Static_assert(F_OFD_GETLK == ROOST_F_OFD_GETLK && F_OFD_SETLK == ROOST_F_OFD_SETLK, "fcntl");
_Static_assert(SEEK_DATA == ROOST_SEEK_DATA && SEEK_HOLE == ROOST_SEEK_HOLE, "lseek");
_Static_assert(FALLOC_FL_KEEP_SIZE == ROOST_FALLOC_KEEP_SIZE && FALLOC_FL_PUNCH_HOLE == ROOST_FALLOC_PUNCH_HOLE
                   && FALLOC_FL_ZERO_RANGE == ROOST_FALLOC_ZERO_RANGE, "fallocate");

const int roost_o_direct = O_DIRECT;

int roost_fallocate(int fd, int mode, int64_t offset, int64_t length) { return fallocate(fd, mode, offset, length); }

int64_t roost_copy_file_range(int from, int64_t from_offset, int to, int64_t to_offset, size_t length) {
    return copy_file_range(from, &from_offset, to, &to_offset, length, 0);
}
