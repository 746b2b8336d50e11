// SPDX-License-Identifier: Apache-2.0
//
// Instructions of the host that Swift has no name for.

#ifndef ROOST_CX86NATIVE_H
#define ROOST_CX86NATIVE_H

#include <stdint.h>

/// CPUID of the host.
static inline void roost_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) {
    __asm__ volatile("cpuid"
                     : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
                     : "a"(leaf), "c"(subleaf));
}

/// The host's time-stamp counter.
static inline uint64_t roost_rdtsc(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

#endif
