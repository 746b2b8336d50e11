// SPDX-License-Identifier: Apache-2.0
//
// Operands in a device's memory (the RAM of pc-testdev), which no processor keeps translations of: stack, atomic operations,
// strings, vectors, descriptors and code. Segment registers whose selectors are taken away.
#include "program.h"

static u8 *const device = (u8 *)0xFF000000;
static u64 memory[1024] __attribute__((aligned(4096)));
/// Two pages of the device, mapped behind each other at another address.
static u64 leaf[512] __attribute__((aligned(4096)));
static u8 *const window = (u8 *)0x40000000;

static void stack_in(u8 *place, const char *name) {
    u64 *top = (u64 *)(place + 2048), value = 0x123456789ABCDEF, popped, old;
    asm volatile("mov %%rsp, %0\n mov %2, %%rsp\n pushq $-7\n pushq %3\n pushq (%4)\n popq %1\n mov %0, %%rsp"
                 : "=&r"(old), "=&r"(popped)
                 : "r"(top), "r"(~value), "r"(&value)
                 : "memory");
    check(top[-1] == (u64)-7 && top[-2] == ~value && popped == value, name);
    asm volatile("mov %%rsp, %0\n mov %1, %%rsp\n lea 1f(%%rip), %%rax\n push %%rax\n ret\n ud2\n 1: mov %0, %%rsp"
                 : "=&r"(old)
                 : "r"(top)
                 : "rax", "memory");
    check(true, "RET through it");
    asm volatile("mov %%rsp, %%r8\n mov %%rbp, %%r9\n mov %2, %%rsp\n mov %3, %%rbp\n enter $0x120, $0\n mov %%rsp, %0\n"
                 "leave\n mov %%rsp, %1\n mov %%r8, %%rsp\n mov %%r9, %%rbp"
                 : "=&r"(old), "=&r"(popped)
                 : "r"(top), "r"(value)
                 : "r8", "r9", "memory");
    check((u64)top - old == 0x128 && popped == (u64)top && top[-1] == value, "ENTER and LEAVE on it");
}

TEST(atomic_operations) {
    volatile u64 *place = (u64 *)device;
    u64 a = 5, b = 0;
    *place = 0x123456789ABCDEF;
    asm volatile("lock xaddw %w0, %1" : "+a"(a), "+m"(*place)::"cc");
    check(a == 0xCDEF && *place == 0x123456789ABCDF4, "LOCK XADD");
    asm volatile("xchgb %b0, %1" : "+a"(a), "+m"(*place));
    check(a == 0xCDF4 && *place == 0x123456789ABCDEF, "XCHG");
    asm volatile("lock negq %0\n lock notq %0" : "+m"(*place)::"cc");
    check(*place == 0x123456789ABCDEE, "LOCK NEG, LOCK NOT");
    asm volatile("lock btsq $0, %0" : "+m"(*place)::"cc");
    a = 0x123456789ABCDEF;
    asm volatile("lock cmpxchgq %2, %1" : "+a"(a), "+m"(*place) : "r"(77ul) : "cc");
    check(*place == 77, "LOCK BTS, LOCK CMPXCHG");
    place[1] = 88;
    a = 77;
    b = 88;
    asm volatile("lock cmpxchg16b %0" : "+m"(*place), "+a"(a), "+d"(b) : "b"(1ul), "c"(2ul) : "cc", "memory");
    check(place[0] == 1 && place[1] == 2, "LOCK CMPXCHG16B");
    u32 *words = (u32 *)device;
    asm volatile("btcl %1, %0" ::"m"(words[4]), "r"(-1) : "memory", "cc");
    check(words[3] == 0x80000000, "BTC with a negative offset");
}

TEST(strings) {
    void *from = device, *to = device + 16;
    u64 count = 33;
    for (int index = 0; index < 16; index++) device[index] = (u8)(index + 1);
    asm volatile("cld; rep movsb" : "+S"(from), "+D"(to), "+c"(count)::"memory");
    check(device[48] == 1 && device[31] == 16 && count == 0, "overlapping REP MOVS within it");
    from = device;
    to = memory;
    count = 4;
    asm volatile("rep movsq" : "+S"(from), "+D"(to), "+c"(count)::"memory");
    check(memory[0] == 0x0807060504030201, "REP MOVS out of it");
    device[20] ^= 0x80;
    from = device;
    to = memory;
    count = 32;
    asm volatile("repe cmpsb" : "+S"(from), "+D"(to), "+c"(count)::"memory", "cc");
    check(count == 11 && from == device + 21, "REPE CMPS finds the difference");
    // Over the end of the window's first page.
    to = window + 4032;
    count = 128;
    out16(0xE0, 0x9999);
    asm volatile("rep insb" : "+D"(to), "+c"(count) : "d"(0xE0) : "memory");
    check(window[4032] == 0x99 && window[4096 + 63] == 0x99, "REP INS into it");
}

TEST(boundaries) {
    volatile u8 *bytes = window;
    volatile u16 *two = (u16 *)(window + 4095);
    bytes[4095] = 0x99;
    bytes[4096] = 0x77;
    check(*two == 0x7799, "load over two pages");
    *two = 0x88AA;
    check(bytes[4095] == 0xAA && bytes[4096] == 0x88, "store over two pages");
    volatile u64 *eight = (u64 *)(window + 4091);
    *eight = 0x1122334455667788;
    check(*eight == 0x1122334455667788 && bytes[4096] == 0x33, "8 bytes over two pages");
}

extern char landed[];
TEST(control) {
    *(u64 *)device = (u64)landed;
    *(u16 *)(device + 8) = 8;
    bool came = true;
    asm volatile("rex64 ljmp *%1\n movb $0, %0\n landed:" : "+r"(came) : "m"(*device) : "memory");
    check(came, "far jump through it");
    static const u8 code[] = {0xB8, 0x78, 0x56, 0x34, 0x12, 0x48, 0xFF, 0xC0, 0xC3};
    u64 result;
    memcpy(device, code, sizeof code);
    asm volatile("call *%1" : "=a"(result) : "r"(device) : "memory");
    check(result == 0x12345679, "code in it");
    *(u64 *)device = 0x1111111111111111;
    ATTEMPT("jmp *%0", ::"m"(*device) : RESUME_CLOBBER);
    check(trap_vector == GP, "jump to a non-canonical address");
}

TEST(descriptors) {
    struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) old, loaded, *place = (void *)device;
    place->limit = 0xF234;
    place->base = 0x12345678ABCD;
    asm volatile("sgdt %0\n lgdt %2\n sgdt %1\n lgdt %0" : "=m"(old), "=m"(loaded) : "m"(*place) : "memory");
    check(loaded.limit == 0xF234 && loaded.base == 0x12345678ABCD, "LGDT from it");
    u16 task;
    asm volatile("str %0" : "=r"(task));
    table[task >> 3] &= ~((u64)1 << 41);
    *(volatile u16 *)device = task;
    asm volatile("ltr %0" ::"m"(*(volatile u16 *)device) : "memory");
    check(table[task >> 3] >> 41 & 1, "LTR from it");
    u16 stack, now;
    asm volatile("mov %%ss, %0" : "=r"(stack));
    *(volatile u16 *)device = 0;
    asm volatile("mov %1, %%ss\n mov %%ss, %0" : "=r"(now) : "m"(*(volatile u16 *)device));
    check(now == 0, "null SS");
    *(volatile u16 *)device = 3;
    ATTEMPT("mov %0, %%ss", ::"m"(*(volatile u16 *)device) : RESUME_CLOBBER);
    check(trap_vector == GP, "null SS of another level");
    asm volatile("mov %0, %%ss" ::"r"(stack));
}

TEST(vectors) {
    static u32 values[8] __attribute__((aligned(16))) = {1, 2, 3, 4};
    volatile u32 *words = (u32 *)device;
    asm volatile("movdqa (%0), %%xmm3\n movaps %%xmm3, (%1)\n paddd (%1), %%xmm3\n movups %%xmm3, 20(%1)" ::"r"(values),
                 "r"(device)
                 : "memory");
    check(words[0] == 1 && words[3] == 4 && words[5] == 2 && words[8] == 8, "SSE");
    ATTEMPT("movaps %%xmm3, 8(%0)", ::"r"(device) : RESUME_CLOBBER);
    check(trap_vector == GP, "MOVAPS that is not aligned");
    *(volatile u64 *)device = 0x0102030405060708;
    asm volatile("fninit\n movq (%0), %%mm1\n paddb (%0), %%mm1\n movq %%mm1, 8(%0)\n emms\n fldpi\n fistpll 16(%0)" ::"r"(
                     device)
                 : "memory");
    check(*(volatile u64 *)(device + 8) == 0x020406080A0C0E10 && device[16] == 3, "MMX and x87");
    u16 control = 0;
    word old = read_cr0();
    write_cr0(old | 0x20);
    asm volatile("fninit\n fldcw %0\n fldz\n fldz\n fdivp" ::"m"(control));
    ATTEMPT("movq %%mm0, (%0)", ::"r"(device) : RESUME_CLOBBER);
    check(trap_vector == MF, "MMX with an x87 exception pending");
    asm volatile("fnclex\n fninit");
    write_cr0(old);
}

static u64 far_word = 0x1122334455667788;
static word through_gs(word offset) {
    u64 value;
    asm volatile("mov %%gs:(%1), %0" : "=r"(value) : "r"(offset));
    return value;
}

/// IRET to user code takes a kernel's selector out of GS; its base stays and 64-bit code goes on with it.
TEST(dropped_segments) {
    enum { base = 0x400000 };
    u16 selector;
    u64 old = read_msr(0xC0000101);
    asm volatile("mov %0, %%gs" ::"r"(0x18));
    write_msr(0xC0000101, base);
    check_equal(run_user(through_gs, (word)&far_word - base), far_word, "the base of a dropped GS");
    asm volatile("mov %%gs, %0" : "=r"(selector));
    check(selector == 0, "the selector of a dropped GS");
    check(read_msr(0xC0000101) == base, "the base register of a dropped GS");
    asm volatile("mov %0, %%gs" ::"r"(0x18));
    write_msr(0xC0000101, old);
}

int main(void) {
    set_up();
    leaf[0] = leaf[1] = (u64)device | 7;
    // Two different pages: the second is the device's next.
    leaf[1] += 4096;
    level2[512] = (u64)leaf | 7;
    invalidate(window);
    stack_in((u8 *)memory, "stack in memory");
    stack_in(device, "stack in a device");
    atomic_operations();
    strings();
    boundaries();
    control();
    descriptors();
    vectors();
    dropped_segments();
    return failures();
}
