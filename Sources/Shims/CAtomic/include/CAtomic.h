// SPDX-License-Identifier: Apache-2.0
//
// Accesses to memory that a guest changes at the same time. Swift's Atomic types own their storage; a virtqueue lies
// where the guest has put it. Each load is made once: the compiler may neither repeat nor split it.

#ifndef ROOST_CATOMIC_H
#define ROOST_CATOMIC_H

#include <stdint.h>

static inline uint16_t roost_load16(const void *place) {
    return __atomic_load_n((const uint16_t *)place, __ATOMIC_RELAXED);
}
static inline uint16_t roost_load16_acquire(const void *place) {
    return __atomic_load_n((const uint16_t *)place, __ATOMIC_ACQUIRE);
}
static inline uint64_t roost_load64(const void *place) {
    return __atomic_load_n((const uint64_t *)place, __ATOMIC_RELAXED);
}
static inline void roost_store16(void *place, uint16_t value) {
    __atomic_store_n((uint16_t *)place, value, __ATOMIC_RELAXED);
}
static inline void roost_store16_release(void *place, uint16_t value) {
    __atomic_store_n((uint16_t *)place, value, __ATOMIC_RELEASE);
}
static inline void roost_store32(void *place, uint32_t value) {
    __atomic_store_n((uint32_t *)place, value, __ATOMIC_RELAXED);
}

/// Change bits of a byte in one step, and give back what it was; other bits may be changed by others at the same time.
static inline uint8_t roost_fetch_or8(void *place, uint8_t bits) {
    return __atomic_fetch_or((uint8_t *)place, bits, __ATOMIC_SEQ_CST);
}
static inline uint8_t roost_fetch_and8(void *place, uint8_t bits) {
    return __atomic_fetch_and((uint8_t *)place, bits, __ATOMIC_SEQ_CST);
}

/// Orders every earlier access before every later one, stores before loads included.
static inline void roost_full_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

#endif
