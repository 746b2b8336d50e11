// SPDX-License-Identifier: Apache-2.0
//
// Control and model-specific registers, CPUID, extended state, time stamps, instructions that CPUID hides.
#include "program.h"

#define FAULTS(code, vector, name, ...)                                                                                \
    do {                                                                                                               \
        ATTEMPT(code, ::__VA_ARGS__ : "rax", "rdx", RESUME_CLOBBER);                                                   \
        check_equal((u64)(int64_t)trap_vector, (u64)(int64_t)(vector), name);                                          \
    } while (0)

TEST(control) {
    word cr0 = read_cr0(), cr4 = read_cr4();
    FAULTS("mov %0, %%cr0", GP, "CR0: PG without PE", "r"(cr0 & ~(word)1));
    FAULTS("mov %0, %%cr0", GP, "CR0: NW without CD", "r"((cr0 & ~((word)1 << 30)) | (word)1 << 29));
    FAULTS("mov %0, %%cr0", GP, "CR0: PG off in 64-bit mode", "r"(cr0 & ~((word)1 << 31)));
    FAULTS("mov %0, %%cr0", GP, "CR0 above bit 31", "r"(cr0 | (word)1 << 32));
    FAULTS("mov %0, %%cr4", GP, "CR4: PAE off in long mode", "r"(cr4 & ~(word)0x20));
    FAULTS("mov %0, %%cr4", GP, "CR4: reserved bit", "r"(cr4 | (word)1 << 15));
    FAULTS("mov %0, %%cr4", GP, "CR4: bit 63", "r"(cr4 | (word)1 << 63));
    FAULTS("mov %0, %%cr4", GP, "CR4: LA57 in long mode", "r"(cr4 ^ (word)1 << 12));
    FAULTS("mov %0, %%cr3", GP, "CR3: bit 60", "r"(read_cr3() | (word)1 << 60));
    u16 status;
    asm volatile("smsw %0" : "=r"(status));
    check_equal(status, (u16)cr0, "SMSW");
    asm volatile("lmsw %w0" ::"r"(cr0 & ~(word)1));
    check_equal(read_cr0(), cr0, "LMSW cannot clear PE");
    asm volatile("lmsw %w0" ::"r"(cr0 | 8));
    check_equal(read_cr0(), cr0 | 8, "LMSW sets TS");
    asm volatile("clts");
    check_equal(read_cr0(), cr0, "CLTS");
    write_cr0(cr0 & ~(word)0x10);
    check_equal(read_cr0(), cr0, "CR0.ET stays");
    FAULTS("mov %0, %%cr4", has(7, 2, 2) ? -1 : GP, "CR4.UMIP by CPUID", "r"(cr4 | 1 << 11));
    write_cr4(cr4);
}

TEST(model_specific) {
    static const struct {
        u32 index;
        u64 value;
        const char *name;
    } kept[] = {
        {0x174, 0x1234, "SYSENTER_CS"}, {0x175, 0x123456789abc, "SYSENTER_ESP"}, {0x176, 0x123456789abc, "SYSENTER_EIP"},
        {0x277, 0x0007040600070406, "PAT"}, {0x277, 0x07070707, "PAT of UC-"}, {0xC0000081, 0x0123456789abcdef, "STAR"},
        {0xC0000082, 0x123456789abc, "LSTAR"}, {0xC0000083, 0x123456789abc, "CSTAR"}, {0xC0000084, 0x3F7FD5, "SFMASK"},
        {0xC0000100, 0x123456789abc, "FS_BASE"}, {0xC0000101, 0x123456789abc, "GS_BASE"},
        {0xC0000102, 0xffff800000000000, "KERNEL_GS_BASE"}, {0x200, 0x80000006, "MTRR base"},
        {0x201, 0xff80000800, "MTRR mask"}, {0x250, 0x0606060606060606, "fixed MTRR"}, {0x2FF, 0xC06, "MTRR default"},
        {0x17A, 5, "MCG_STATUS"},
    };
    for (unsigned index = 0; index < sizeof kept / sizeof *kept; index++) {
        u64 old = read_msr(kept[index].index);
        check(try_write_msr(kept[index].index, kept[index].value) == -1, kept[index].name);
        check_equal(read_msr(kept[index].index), kept[index].value, kept[index].name);
        write_msr(kept[index].index, old);
    }
    static const struct {
        u32 index;
        u64 value;
        const char *name;
    } refused[] = {
        {0xC0000082, (u64)1 << 63, "LSTAR"}, {0xC0000100, (u64)1 << 63, "FS_BASE"}, {0xC0000101, (u64)1 << 63, "GS_BASE"},
        {0xC0000102, (u64)1 << 63, "KERNEL_GS_BASE"}, {0x175, (u64)1 << 63, "SYSENTER_ESP"}, {0x277, 2, "PAT type 2"},
        {0x277, 8, "PAT type 8"}, {0x200, 2, "MTRR type 2"}, {0x200, (u64)1 << 60, "MTRR address"}, {0x250, 7, "fixed MTRR type 7"},
        {0xC0000080, (u64)1 << 40, "EFER"}, {0xC0000080, 1, "EFER without LME in long mode"}, {0x12345678, 0, "no register"},
        {0x2FF, 2, "MTRR default type 2"},
    };
    for (unsigned index = 0; index < sizeof refused / sizeof *refused; index++)
        check_equal((u64)(int64_t)try_write_msr(refused[index].index, refused[index].value), GP, refused[index].name);
    check(try_read_msr(0x12345678) == GP, "RDMSR of no register");
    check((read_msr(0xFE) & 0xFF) == 8, "eight variable MTRRs");
    check(try_write_msr(0xFE, 0) == GP, "MTRRcap is read-only");
    u64 banks = read_msr(0x179) & 0xFF;
    for (u32 bank = 0; bank < banks; bank++) {
        check(try_write_msr(0x400 + bank * 4, ~(u64)0) == -1 && read_msr(0x400 + bank * 4) == ~(u64)0, "bank control");
        check(try_write_msr(0x400 + bank * 4, 0x1234) == GP, "bank control takes all or nothing");
        check(try_write_msr(0x401 + bank * 4, 0) == -1 && try_write_msr(0x401 + bank * 4, 1) == GP, "bank status");
        check(try_write_msr(0x402 + bank * 4, 0x1234) == -1 && read_msr(0x402 + bank * 4) == 0x1234, "bank address");
        check(try_write_msr(0x403 + bank * 4, ~(u64)0) == -1, "bank miscellany");
    }
    check(try_read_msr(0x400 + (u32)banks * 4) == GP, "no further bank");
    u64 efer = read_msr(0xC0000080);
    check((efer & 0x500) == 0x500, "EFER.LMA and LME");
}

TEST(swapping) {
    write_msr(0xC0000101, 0x1111);
    write_msr(0xC0000102, 0x2222);
    asm volatile("swapgs");
    check(read_msr(0xC0000101) == 0x2222 && read_msr(0xC0000102) == 0x1111, "SWAPGS");
    u64 value = 0x5555;
    write_msr(0xC0000100, (word)&value - 8);
    u64 read;
    asm volatile("mov %%fs:8, %0" : "=r"(read));
    check_equal(read, 0x5555, "FS base in an address");
    if (has(7, 1, 0)) {
        word base;
        FAULTS("rdfsbase %%rax", UD, "RDFSBASE without CR4.FSGSBASE", "c"(0));
        write_cr4(read_cr4() | 1 << 16);
        asm volatile("rdfsbase %0" : "=r"(base));
        check_equal(base, (word)&value - 8, "RDFSBASE");
        asm volatile("wrgsbase %0" ::"r"((word)0x123456789));
        check_equal(read_msr(0xC0000101), 0x123456789, "WRGSBASE");
        asm volatile("wrgsbase %k0" ::"r"((word)0xFFFFFFFF87654321));
        check_equal(read_msr(0xC0000101), 0x87654321, "WRGSBASE of 32 bits");
        FAULTS("wrfsbase %0", GP, "WRFSBASE of a non-canonical address", "r"((word)1 << 63));
        write_cr4(read_cr4() & ~((word)1 << 16));
    }
    asm volatile("mov %0, %%fs" ::"r"(0x18));
    check_equal(read_msr(0xC0000100), 0, "a selector brings its base");
    asm volatile("mov %0, %%fs\n mov %0, %%gs" ::"r"(0));
}

TEST(time) {
    u64 first = time_stamp(), second = time_stamp();
    check(second > first, "the time stamp goes up");
    write_msr(0x10, 0);
    check(time_stamp() < 1000000000, "the time stamp can be written");
    if (has(7, 1, 1)) {
        u64 adjust = read_msr(0x3B), before = time_stamp();
        write_msr(0x3B, adjust + 1000000000000);
        u64 after = time_stamp();
        check(after - before >= 1000000000000 && after - before < 1100000000000, "TSC_ADJUST moves it");
        adjust = read_msr(0x3B);
        write_msr(0x10, time_stamp() + 5000000000000);
        check(read_msr(0x3B) - adjust >= 4900000000000, "a write of the time stamp shows in TSC_ADJUST");
    }
    if (has(0x80000001, 3, 27)) {
        write_msr(0xC0000103, 0x1234);
        u32 low, high, processor;
        asm volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(processor));
        check_equal(processor, 0x1234, "RDTSCP");
        check(try_write_msr(0xC0000103, (u64)1 << 32) == GP, "TSC_AUX above bit 31");
    } else {
        FAULTS("rdtscp", UD, "RDTSCP where CPUID has none", "c"(0));
    }
    FAULTS("rdpmc", GP, "RDPMC of no counter", "c"(0x1234));
}

TEST(extended_state) {
    if (!has(1, 2, 26)) {
        FAULTS("xgetbv", UD, "XGETBV where CPUID has none", "c"(0));
        FAULTS("mov %0, %%cr4", GP, "CR4.OSXSAVE", "r"(read_cr4() | 1 << 18));
        return;
    }
    FAULTS("xgetbv", UD, "XGETBV without CR4.OSXSAVE", "c"(0));
    check(!has(1, 2, 27), "CPUID.OSXSAVE is clear");
    write_cr4(read_cr4() | 1 << 18);
    check(has(1, 2, 27), "CPUID.OSXSAVE is set");
    u32 low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    check(low == 1 && high == 0, "XCR0 after reset");
    u32 offered = cpuid_word(0xD, 0, 0);
#define XSETBV(value, index, vector, name) FAULTS("mov %k1, %%eax\n xor %%edx, %%edx\n xsetbv", vector, name, "c"(index), "r"(value))
    XSETBV(0, 0, GP, "XCR0 without x87");
    XSETBV(2, 0, GP, "XCR0 of SSE alone");
    XSETBV(5, 0, GP, "XCR0 of AVX without SSE");
    XSETBV(3, 0, -1, "XCR0 of x87 and SSE");
    XSETBV(3, 1, GP, "no XCR1");
    XSETBV(0x80000001, 0, GP, "XCR0 of a component that is not there");
    XSETBV(offered, 0, -1, "XCR0 of all");
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    check_equal(low, offered, "XCR0 reads back");
    check(cpuid_word(0xD, 0, 1) == cpuid_word(0xD, 0, 2), "the area in use is the whole one");
    static u8 area[4096] __attribute__((aligned(64)));
    memset(area, 0xFF, 512);
    memset(area + 512, 0, 64);
    asm volatile("fninit\n xsave %0" : "+m"(area) : "a"(-1), "d"(-1) : "memory");
    check(*(u16 *)area == 0x37F, "XSAVE writes the control word");
    check((*(u64 *)(area + 512) & ~(u64)offered) == 0, "XSTATE_BV");
    ATTEMPT("xsave %0", : "+m"(*(area + 8)) : "a"(-1), "d"(-1) : RESUME_CLOBBER);
    check(trap_vector == GP, "XSAVE of an unaligned area");
    *(u64 *)(area + 512) = (u64)1 << 62;
    ATTEMPT("xrstor %0", ::"m"(area), "a"(-1), "d"(-1) : RESUME_CLOBBER);
    check(trap_vector == GP, "XRSTOR of a component that is not there");
    *(u64 *)(area + 512) = 0;
    *(u64 *)(area + 520) = (u64)1;
    ATTEMPT("xrstor %0", ::"m"(area), "a"(-1), "d"(-1) : RESUME_CLOBBER);
    check(trap_vector == GP, "XRSTOR with reserved header bytes");
    *(u64 *)(area + 520) = 0;
    ATTEMPT("xrstor %0", ::"m"(area), "a"(-1), "d"(-1) : RESUME_CLOBBER);
    check(trap_vector == -1, "XRSTOR of the initial state");
    if (has(1, 2, 28)) {
        FAULTS("vpxor %%xmm0, %%xmm0, %%xmm0", -1, "AVX with XCR0", "c"(0));
        XSETBV(3, 0, -1, "XCR0 without AVX");
        FAULTS("vpxor %%xmm0, %%xmm0, %%xmm0", UD, "AVX without XCR0", "c"(0));
        XSETBV(offered, 0, -1, "XCR0 of all again");
        write_cr0(read_cr0() | 8);
        FAULTS("vpxor %%xmm0, %%xmm0, %%xmm0", NM, "AVX with CR0.TS", "c"(0));
        asm volatile("clts");
        write_cr4(read_cr4() & ~((word)1 << 18));
        FAULTS("vpxor %%xmm0, %%xmm0, %%xmm0", UD, "AVX without CR4.OSXSAVE", "c"(0));
    } else {
        FAULTS("vpxor %%xmm0, %%xmm0, %%xmm0", UD, "AVX where CPUID has none", "c"(0));
    }
    write_cr4(read_cr4() & ~((word)1 << 18));
}

static u64 scratch[8] __attribute__((aligned(64)));

/// Instructions that are there exactly where CPUID shows them.
TEST(hidden) {
#define BY_CPUID(shown, code, name) FAULTS(code, (shown) ? -1 : UD, name, "b"(scratch), "c"(0))
    BY_CPUID(has(1, 2, 23), "popcnt %%rax, %%rax", "POPCNT");
    BY_CPUID(has(1, 2, 22), "movbe (%%rbx), %%eax", "MOVBE");
    BY_CPUID(has(1, 2, 20), "crc32 %%eax, %%eax", "CRC32");
    BY_CPUID(has(1, 2, 0), "haddps %%xmm0, %%xmm0", "SSE3");
    BY_CPUID(has(1, 2, 9), "pshufb %%xmm0, %%xmm0", "SSSE3");
    BY_CPUID(has(1, 2, 19), "pmulld %%xmm0, %%xmm0", "SSE4.1");
    BY_CPUID(has(1, 2, 25), "aesenc %%xmm0, %%xmm0", "AES");
    BY_CPUID(has(1, 2, 1), "pclmulqdq $0, %%xmm0, %%xmm0", "PCLMULQDQ");
    BY_CPUID(has(1, 2, 30), "rdrand %%eax", "RDRAND");
    BY_CPUID(has(7, 1, 18), "rdseed %%eax", "RDSEED");
    BY_CPUID(has(7, 1, 19), "adcx %%eax, %%eax", "ADX");
    BY_CPUID(has(7, 1, 29), "sha1msg1 %%xmm0, %%xmm0", "SHA");
    BY_CPUID(has(7, 1, 23), "clflushopt (%%rbx)", "CLFLUSHOPT");
    BY_CPUID(has(7, 1, 24), "clwb (%%rbx)", "CLWB");
    BY_CPUID(has(7, 1, 20), "clac", "CLAC");
    BY_CPUID(has(7, 2, 22), "rdpid %%rax", "RDPID");
    BY_CPUID(has(1, 2, 13), "cmpxchg16b (%%rbx)", "CMPXCHG16B");
    BY_CPUID(has(0x80000001, 2, 0), "lahf", "LAHF");
    BY_CPUID(has(1, 3, 11), "mov $0x174, %%ecx", "SYSENTER");
    u64 result = 0;
    asm volatile("tzcnt %1, %0" : "=r"(result) : "r"((u64)0x100));
    check_equal(result, 8, "TZCNT, or BSF");
    asm volatile("lzcnt %1, %0" : "=r"(result) : "r"((u64)0x100));
    check_equal(result, has(0x80000001, 2, 5) ? 55 : 8, "LZCNT, or BSR");
    FAULTS("vmcall", UD, "VMCALL", "c"(0));
    FAULTS("rdpkru", UD, "RDPKRU without CR4.PKE", "c"(0));
    FAULTS("mov %0, %%rax\n xor %%edx, %%edx\n monitor", has(1, 2, 3) ? -1 : UD, "MONITOR", "b"(scratch), "c"(0));
}

static word user_reads(word which) {
    word value[2] = {0, 0};
    switch (which) {
    case 0: asm volatile("sgdt %0" : "=m"(value)); break;
    case 1: asm volatile("sidt %0" : "=m"(value)); break;
    case 2: asm volatile("sldt %0" : "=r"(value[0])); break;
    case 3: asm volatile("str %0" : "=r"(value[0])); break;
    case 4: asm volatile("smsw %0" : "=r"(value[0])); break;
    case 5: asm volatile("rdtsc" ::: "eax", "edx"); break;
    }
    return 0x77;
}

extern char user_return[];
static int user_vector;
static void user_trap(struct frame *frame) {
    user_vector = (int)frame->vector;
    asm volatile("jmp user_return");
}

TEST(user_reading) {
    set_handler(GP, user_trap);
    for (word which = 0; which < 6; which++) {
        user_vector = -1;
        check(run_user(user_reads, which) == 0x77 && user_vector == -1, "user code may read");
    }
    write_cr4(read_cr4() | 4);
    user_vector = -1;
    run_user(user_reads, 5);
    check(user_vector == GP, "RDTSC with CR4.TSD");
    write_cr4(read_cr4() & ~(word)4);
    if (has(7, 2, 2)) {
        write_cr4(read_cr4() | 1 << 11);
        for (word which = 0; which < 5; which++) {
            user_vector = -1;
            run_user(user_reads, which);
            check(user_vector == GP, "UMIP");
        }
        write_cr4(read_cr4() & ~((word)1 << 11));
    }
    set_handler(GP, 0);
}

int main(void) {
    set_up();
    control();
    model_specific();
    swapping();
    time();
    extended_state();
    hidden();
    user_reading();
    return failures();
}
