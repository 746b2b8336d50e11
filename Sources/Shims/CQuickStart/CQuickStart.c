// SPDX-License-Identifier: Apache-2.0
#include "CQuickStart.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

// Linux 5.14; older kernels refuse it, which costs nothing.
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

// Symbols of the linker around the variables that begin as zero.
extern char __bss_start, end;

/// The Swift runtime's start touches half of these pages, each with a fault of its own that costs more than all pages
/// cost in one call. Runs before the runtime's own constructors.
__attribute__((constructor(101))) static void fill_bss(void) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = (uintptr_t)&__bss_start & ~(page - 1);
    uintptr_t last = ((uintptr_t)&end + page - 1) & ~(page - 1);
    (void)madvise((void *)first, last - first, MADV_POPULATE_WRITE);
}
