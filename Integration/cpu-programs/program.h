// SPDX-License-Identifier: Apache-2.0
//
// What the processor programs share: registers, ports, output, exceptions that are expected.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef unsigned long word;

/// What the stubs leave on the stack.
struct frame {
#ifdef __x86_64__
    word ax, bx, cx, dx, si, di, bp, r8, r9, r10, r11, r12, r13, r14, r15;
#else
    word ax, bx, cx, dx, si, di, bp;
#endif
    word vector, error, ip, cs, flags, sp, ss;
};

extern u64 table[];
extern u8 task[];
extern u8 stubs[];
extern char ap_start[], ap_end[];
extern word ap_stack, kernel_stack;
extern u64 level4[], level3[], level2[];
extern u32 boot_information;

int main(void);
word run_user(word (*function)(word), word argument);

void print(const char *format, ...);
_Noreturn void leave(int failures);
/// Counts a check; prints it where it fails.
void check(bool holds, const char *name);
void check_equal(u64 value, u64 wanted, const char *name);
int failures(void);

/// The gate of a vector; `dpl` for INT n.
void set_gate(int vector, void *handler, int dpl, int stack);
void set_handler(int vector, void (*handler)(struct frame *));
void set_up(void);

/// The last exception that ATTEMPT saw: vector or -1, error code, address of the instruction, CR2, saved flags.
extern volatile int trap_vector;
extern volatile word trap_error, trap_ip, trap_cr2, trap_flags, trap_resume;
extern volatile int trap_count;

#ifdef __x86_64__
#define SET_RESUME "leaq 1f(%%rip), %%r15\n movq %%r15, trap_resume(%%rip)\n movl $-1, trap_vector(%%rip)\n"
#define RESUME_CLOBBER "r15", "memory", "cc"
#else
#define SET_RESUME "movl $1f, trap_resume\n movl $-1, trap_vector\n"
#define RESUME_CLOBBER "memory", "cc"
#endif
/// Runs instructions; an exception in them goes on behind them. `trap_vector` says which.
#define ATTEMPT(code, ...)                                                                                             \
    do {                                                                                                               \
        asm volatile(SET_RESUME code "\n1:\n" __VA_ARGS__);                                                            \
        trap_resume = 0;                                                                                               \
    } while (0)

static inline void out8(u16 port, u8 value) { asm volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }
static inline void out16(u16 port, u16 value) { asm volatile("outw %0, %1" ::"a"(value), "Nd"(port)); }
static inline void out32(u16 port, u32 value) { asm volatile("outl %0, %1" ::"a"(value), "Nd"(port)); }
static inline u8 in8(u16 port) {
    u8 value;
    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static inline u64 read_msr(u32 index) {
    u32 low, high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
    return (u64)high << 32 | low;
}
static inline void write_msr(u32 index, u64 value) {
    asm volatile("wrmsr" ::"a"((u32)value), "d"((u32)(value >> 32)), "c"(index) : "memory");
}
/// The vector that RDMSR or WRMSR raises, or -1.
int try_read_msr(u32 index);
int try_write_msr(u32 index, u64 value);
static inline void cpuid(u32 leaf, u32 index, u32 *a, u32 *b, u32 *c, u32 *d) {
    asm volatile("cpuid" : "=a"(*a), "=b"(*b), "=c"(*c), "=d"(*d) : "a"(leaf), "c"(index));
}
u32 cpuid_word(u32 leaf, u32 index, int which);
static inline bool has(u32 leaf, int which, int bit) { return cpuid_word(leaf, 0, which) >> bit & 1; }
static inline u64 time_stamp(void) {
    u32 low, high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high));
    return (u64)high << 32 | low;
}
#define REGISTER(name)                                                                                                 \
    static inline word read_##name(void) {                                                                             \
        word value;                                                                                                    \
        asm volatile("mov %%" #name ", %0" : "=r"(value));                                                             \
        return value;                                                                                                  \
    }                                                                                                                  \
    static inline void write_##name(word value) { asm volatile("mov %0, %%" #name ::"r"(value) : "memory"); }
REGISTER(cr0)
REGISTER(cr2)
REGISTER(cr3)
REGISTER(cr4)
REGISTER(dr0)
REGISTER(dr1)
REGISTER(dr2)
REGISTER(dr3)
REGISTER(dr6)
REGISTER(dr7)
#ifdef __x86_64__
REGISTER(cr8)
#endif
static inline void invalidate(const volatile void *place) { asm volatile("invlpg (%0)" ::"r"(place) : "memory"); }
static inline word read_flags(void) {
    word value;
    asm volatile("pushf; pop %0" : "=r"(value));
    return value;
}
static inline void write_flags(word value) { asm volatile("push %0; popf" ::"r"(value) : "memory", "cc"); }
static inline void pause_loop(int count) {
    while (count--) asm volatile("pause");
}

enum { DE = 0, DB = 1, NMI = 2, BP = 3, OF = 4, BR = 5, UD = 6, NM = 7, DF = 8, TS = 10, NP = 11, SS = 12, GP = 13, PF = 14, MF = 16, AC = 17, XM = 19 };
void *memset(void *place, int value, size_t count);
void *memcpy(void *to, const void *from, size_t count);
#define TEST(name) static void name(void)
