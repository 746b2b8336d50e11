// SPDX-License-Identifier: Apache-2.0
//
// Instructions of the host that Swift has no name for.

#ifndef ROOST_CX86NATIVE_H
#define ROOST_CX86NATIVE_H

#include <stdint.h>

/// memfd_create(2), which the C library declares for GNU sources only; close-on-exec. -1 and errno on failure.
int roost_memfd(const char *name);

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

/// PAUSE.
static inline void roost_pause(void) { __asm__ volatile("pause"); }

/// MFENCE.
static inline void roost_fence(void) { __asm__ volatile("mfence" ::: "memory"); }

// Atomic operations on guest memory and on words shared between vCPU threads, sequentially consistent. Operands in guest
// memory may be unaligned, which x86's LOCK allows.
#define ROOST_ATOMICS(bits)                                                                                          \
    static inline uint##bits##_t roost_atomic_or##bits(uint##bits##_t *place, uint##bits##_t value) {                \
        return __atomic_fetch_or(place, value, __ATOMIC_SEQ_CST);                                                    \
    }                                                                                                                \
    static inline uint##bits##_t roost_atomic_and##bits(uint##bits##_t *place, uint##bits##_t value) {               \
        return __atomic_fetch_and(place, value, __ATOMIC_SEQ_CST);                                                   \
    }                                                                                                                \
    static inline uint##bits##_t roost_atomic_load##bits(const uint##bits##_t *place) {                              \
        return __atomic_load_n(place, __ATOMIC_SEQ_CST);                                                             \
    }                                                                                                                \
    static inline uint##bits##_t roost_locked_exchange##bits(void *place, uint##bits##_t value) {                    \
        __asm__ volatile("xchg %0, %1" : "+r"(value), "+m"(*(uint##bits##_t *)place) : : "memory");                  \
        return value;                                                                                                \
    }                                                                                                                \
    /* Stores `value` if the place holds `expected`; returns what it held. */                                        \
    static inline uint##bits##_t roost_locked_compare##bits(void *place, uint##bits##_t expected,                    \
                                                            uint##bits##_t value) {                                  \
        __asm__ volatile("lock cmpxchg %2, %1"                                                                       \
                         : "+a"(expected), "+m"(*(uint##bits##_t *)place)                                            \
                         : "r"(value)                                                                                \
                         : "memory", "cc");                                                                          \
        return expected;                                                                                             \
    }
ROOST_ATOMICS(8)
ROOST_ATOMICS(16)
ROOST_ATOMICS(32)
ROOST_ATOMICS(64)

/// CMPXCHG16B; `expected` becomes what the place held. The place is 16-byte aligned, and the host has the instruction
/// (every x86-64 processor of the last fifteen years).
static inline int roost_locked_compare128(void *place, uint64_t expected[2], uint64_t low, uint64_t high) {
    unsigned char equal;
    __asm__ volatile("lock cmpxchg16b %1\n\tsete %0"
                     : "=q"(equal), "+m"(*(uint64_t (*)[2])place), "+a"(expected[0]), "+d"(expected[1])
                     : "b"(low), "c"(high)
                     : "memory", "cc");
    return equal;
}

/// Makes a floating-point trap inside the code from `start` on return to the code's caller, with the MXCSR of the moment
/// and bit 31 stored at RCX + `offset` and `mxcsr` loaded. Traps elsewhere go where they went before. Call it once.
/// - Returns: 0, or -1 and errno.
int roost_catch_vector_traps(const void *start, uint64_t bytes, int32_t offset, uint32_t mxcsr);

/// XGETBV of the host; only where CPUID.1:ECX.OSXSAVE is set.
static inline uint64_t roost_xgetbv(uint32_t index) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
    return (uint64_t)high << 32 | low;
}

#endif
