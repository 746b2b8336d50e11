// SPDX-License-Identifier: Apache-2.0
#include "program.h"
#include <stdarg.h>

static int failed, passed;

static void put(char character) { out8(0x3F8, (u8)character); }

static void put_number(u64 value, unsigned base, int width) {
    char digits[20];
    int count = 0;
    do {
        unsigned digit = 0;
        // No 64-bit division in 32-bit code: base is 16 or the value is small.
        if (base == 16) {
            digit = value & 15;
            value >>= 4;
        } else {
            digit = (u32)value % 10;
            value = (u32)value / 10;
        }
        digits[count++] = "0123456789abcdef"[digit];
    } while (value || count < width);
    while (count) put(digits[--count]);
}

/// %s %d %x (unsigned), %p (64 bits, hexadecimal).
void print(const char *format, ...) {
    va_list list;
    va_start(list, format);
    for (; *format; format++) {
        if (*format != '%') {
            put(*format);
            continue;
        }
        switch (*++format) {
        case 's':
            for (const char *text = va_arg(list, const char *); *text; text++) put(*text);
            break;
        case 'd': {
            int value = va_arg(list, int);
            if (value < 0) put('-');
            put_number((u32)(value < 0 ? -value : value), 10, 1);
            break;
        }
        case 'x': put_number(va_arg(list, u32), 16, 1); break;
        case 'p': put_number(va_arg(list, u64), 16, 1); break;
        default: put(*format);
        }
    }
    va_end(list);
}

void leave(int failures) {
    print("%d passed, %d failed\n", passed, failures);
    out32(0xF4, failures ? 1 : 0);
    for (;;) asm volatile("cli; hlt");
}

void check(bool holds, const char *name) {
    if (holds) {
        passed++;
    } else {
        failed++;
        print("FAIL %s\n", name);
    }
}

void check_equal(u64 value, u64 wanted, const char *name) {
    if (value != wanted) print("     %p, wanted %p\n", value, wanted);
    check(value == wanted, name);
}

int failures(void) { return failed; }

// Exceptions

volatile int trap_vector, trap_count;
volatile word trap_error, trap_ip, trap_cr2, trap_flags, trap_resume;
static void (*handlers[256])(struct frame *);

static struct gate {
    u16 low, selector;
    u8 stack, type;
    u16 middle;
#ifdef __x86_64__
    u32 high, zero;
#endif
} gates[256] __attribute__((aligned(4096)));

void set_gate(int vector, void *handler, int dpl, int stack) {
    word place = (word)handler;
    struct gate *gate = &gates[vector];
    gate->low = (u16)place;
    gate->middle = (u16)(place >> 16);
    gate->type = (u8)(0x8E | dpl << 5);
    gate->stack = (u8)stack;
#ifdef __x86_64__
    gate->selector = 0x08;
    gate->high = (u32)(place >> 32);
#else
    gate->selector = 0x10;
#endif
}

void set_handler(int vector, void (*handler)(struct frame *)) { handlers[vector] = handler; }

extern char user_return[];

void take(struct frame *frame) {
    if (handlers[frame->vector]) {
        handlers[frame->vector](frame);
        return;
    }
    if (frame->vector == 0x80) {
        // Back from user code.
        word result = frame->ax;
#ifdef __x86_64__
        asm volatile("mov %0, %%rax\n jmp user_return" ::"r"(result));
#else
        asm volatile("mov %0, %%eax\n jmp user_return" ::"r"(result));
#endif
    }
    trap_count++;
    trap_vector = (int)frame->vector;
    trap_error = frame->error;
    trap_ip = frame->ip;
    trap_flags = frame->flags;
    trap_cr2 = read_cr2();
    if (!trap_resume && frame->vector == 3) return;
    if (!trap_resume) {
        print("FAIL unexpected exception %d, error %x at %p, cr2 %p\n", (int)frame->vector, (u32)frame->error,
              (u64)frame->ip, (u64)read_cr2());
        leave(failed + 1);
    }
    frame->ip = trap_resume;
    trap_resume = 0;
    frame->flags &= ~(word)0x10100;
}

static void set_task_descriptor(void) {
    u64 base = (word)task;
    u64 limit = 8192 + 103;
    table[9] = limit | (base & 0xFFFFFF) << 16 | (u64)0x89 << 40 | (base >> 24 & 0xFF) << 56;
    table[10] = base >> 32;
    *(u16 *)(task + 0x66) = 104;
    for (int place = 104; place < 8192 + 104; place++) task[place] = 0xFF;
#ifndef __x86_64__
    *(u32 *)(task + 8) = 0x18;
#endif
    asm volatile("ltr %w0" ::"r"(0x48));
}

void set_up(void) {
    struct {
        u16 limit;
        word base;
    } __attribute__((packed)) pointer = {sizeof gates - 1, (word)gates};
    for (int vector = 0; vector < 256; vector++) set_gate(vector, stubs + vector * 16, 0, 0);
    set_gate(3, stubs + 3 * 16, 3, 0);
    set_gate(4, stubs + 4 * 16, 3, 0);
    set_gate(0x80, stubs + 0x80 * 16, 3, 0);
    asm volatile("lidt %0" ::"m"(pointer));
    set_task_descriptor();
}

int try_read_msr(u32 index) {
    u32 low, high;
    ATTEMPT("rdmsr", : "=a"(low), "=d"(high) : "c"(index) : RESUME_CLOBBER);
    (void)low, (void)high;
    return trap_vector;
}

int try_write_msr(u32 index, u64 value) {
    ATTEMPT("wrmsr", ::"a"((u32)value), "d"((u32)(value >> 32)), "c"(index) : RESUME_CLOBBER);
    return trap_vector;
}

u32 cpuid_word(u32 leaf, u32 index, int which) {
    u32 words[4];
    cpuid(leaf, index, words, words + 1, words + 2, words + 3);
    return words[which];
}

void *memset(void *place, int value, size_t count) {
    u8 *bytes = place;
    while (count--) *bytes++ = (u8)value;
    return place;
}

void *memcpy(void *to, const void *from, size_t count) {
    u8 *target = to;
    const u8 *source = from;
    while (count--) *target++ = *source++;
    return to;
}

/// What application processors do where a program does not say.
__attribute__((weak)) void ap_main(void) {}
