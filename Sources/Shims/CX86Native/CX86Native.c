// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CX86Native.h"

#include <sys/mman.h>

int roost_memfd(const char *name) { return memfd_create(name, MFD_CLOEXEC); }
