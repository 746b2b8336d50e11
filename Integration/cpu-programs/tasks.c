// SPDX-License-Identifier: Apache-2.0
//
// 32-bit protected mode: task switches, V86 mode with and without its extensions, segment limits, call gates, PAE and PSE
// paging, 16-bit code, and real mode.
#include "program.h"

struct tss {
    u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, flags, eax, ecx, edx, ebx, esp, ebp, esi, edi, es, cs, ss, ds, fs, gs, ldt;
    u16 trap, map;
    u8 bits[8192 + 32 + 1];
} __attribute__((packed));

struct tss main_task __attribute__((aligned(4096)));
static struct tss other_task __attribute__((aligned(16384)));
static u8 other_stack[8192] __attribute__((aligned(16)));
volatile int runs;
volatile u32 pushed;
static volatile u32 seen_flags, seen_link;

enum { CODE = 0x10, DATA = 0x18, MAIN = 0x48, OTHER = 0x58, GATE = 0x60, SEGMENT = 0x68, CALL_GATE = 0x70 };

static u64 descriptor(u32 base, u32 limit, u32 rights) {
    return (u64)(limit & 0xFFFF) | (u64)(base & 0xFFFFFF) << 16 | (u64)(rights & 0xF0FF) << 40 | (u64)(limit & 0xF0000) << 32
         | (u64)(base >> 24) << 56;
}

static void make_task(void (*entry)(void)) {
    memset(&other_task, 0, 104);
    other_task.cr3 = read_cr3();
    other_task.eip = (u32)entry;
    other_task.flags = 2;
    other_task.esp = (u32)(other_stack + sizeof other_stack);
    other_task.cs = CODE;
    other_task.ss = other_task.ds = other_task.es = other_task.fs = other_task.gs = DATA;
    other_task.map = 104;
    table[OTHER / 8] = descriptor((u32)&other_task, sizeof other_task - 1, 0x89);
}

static u32 read_link(void) { return other_task.link & 0xFFFF; }

static void returning_task(void) {
    for (;;) {
        runs++;
        seen_flags = read_flags();
        seen_link = read_link();
        asm volatile("clts\n iret");
    }
}

extern char faulting_task[];
asm("faulting_task: pop pushed\n incl runs\n movl $1, divisor\n iret\n jmp faulting_task\n");
extern char skipping_task[];
asm("skipping_task: pop pushed\n incl runs\n addl $2, main_task + 0x20\n iret\n jmp skipping_task\n");
volatile u32 divisor;

static void jumping_task(void) {
    for (;;) {
        runs++;
        seen_flags = read_flags();
        asm volatile("ljmp %0, $0" ::"i"(MAIN));
    }
}

static void task_gate(int vector, u16 selector, int dpl) {
    struct {
        u16 limit;
        u32 base;
    } __attribute__((packed)) pointer;
    asm volatile("sidt %0" : "=m"(pointer));
    u8 *gate = (u8 *)pointer.base + vector * 8;
    *(u32 *)gate = (u32)selector << 16;
    *(u32 *)(gate + 4) = 0x8500 | (u32)dpl << 13;
}

TEST(switches) {
    memset(&main_task, 0, 104);
    main_task.map = 104;
    main_task.ss0 = DATA;
    memset(main_task.bits, 0xFF, sizeof main_task.bits);
    table[MAIN / 8] = descriptor((u32)&main_task, sizeof main_task - 1, 0x89);
    asm volatile("ltr %w0" ::"r"(MAIN));
    make_task(returning_task);
    main_task.cr3 = read_cr3();
    runs = 0;
    asm volatile("lcall %0, $0xf4f4f4f4" ::"i"(OTHER) : "memory");
    check(runs == 1, "CALL of a TSS and IRET");
    check(seen_flags & 0x4000, "NT in the called task");
    check(seen_link == MAIN, "the link leads back");
    check(!(read_flags() & 0x4000), "NT is not in the caller");
    check((table[OTHER / 8] >> 40 & 0xF) == 9, "the called task is free again");
    check((table[MAIN / 8] >> 40 & 0xF) == 11, "the caller stayed busy");
    check(read_cr0() & 8, "a switch sets CR0.TS");
    asm volatile("clts");
    asm volatile("lcall %0, $0" ::"i"(OTHER) : "memory");
    check(runs == 2, "the task goes on behind its IRET");
    table[GATE / 8] = (u64)OTHER << 16 | (u64)0x85 << 40;
    asm volatile("lcall %0, $0" ::"i"(GATE) : "memory");
    check(runs == 3, "CALL of a task gate");
    make_task(jumping_task);
    runs = 0;
    asm volatile("ljmp %0, $0" ::"i"(OTHER) : "memory");
    check(runs == 1 && !(seen_flags & 0x4000), "JMP of a TSS and back");
    asm volatile("clts");
    // Gates of the interrupt table.
    make_task(returning_task);
    task_gate(0x40, OTHER, 0);
    runs = 0;
    asm volatile("int $0x40" ::: "memory");
    check(runs == 1, "INT through a task gate");
    make_task((void (*)(void))faulting_task);
    task_gate(DE, OTHER, 0);
    task_gate(GP, OTHER, 0);
    runs = 0;
    divisor = 0;
    pushed = 1;
    other_task.esp -= 16;
    u32 quotient;
    *(u32 *)other_task.esp = 77;
    asm volatile("xor %%edx, %%edx\n mov $1500, %%eax\n divl divisor" : "=a"(quotient)::"edx", "memory");
    check(runs == 1 && quotient == 1500, "#DE through a task gate, tried again");
    set_gate(DE, stubs, 0, 0);
    make_task((void (*)(void))skipping_task);
    runs = 0;
    pushed = 0;
    other_task.esp -= 16;
    asm volatile("mov %0, %%eax\n mov %%eax, %%gs" ::"i"(0xFF0) : "eax", "memory");
    check(runs == 1, "#GP through a task gate");
    check_equal(pushed, 0xFF0, "its error code on the new stack");
    set_gate(GP, stubs + GP * 16, 0, 0);
    asm volatile("clts");
    // Faults of a switch.
    make_task(returning_task);
    table[OTHER / 8] = descriptor((u32)&other_task, 102, 0x89);
    ATTEMPT("lcall %0, $0", ::"i"(OTHER) : RESUME_CLOBBER);
    check(trap_vector == TS && trap_error == OTHER, "a TSS that is too short");
    table[OTHER / 8] = descriptor((u32)&other_task, 103, 0x8B);
    ATTEMPT("lcall %0, $0", ::"i"(OTHER) : RESUME_CLOBBER);
    check(trap_vector == GP && trap_error == OTHER, "a busy TSS");
    table[OTHER / 8] = descriptor((u32)&other_task, 103, 0x09);
    ATTEMPT("lcall %0, $0", ::"i"(OTHER) : RESUME_CLOBBER);
    check(trap_vector == NP && trap_error == OTHER, "a TSS that is not present");
    ATTEMPT("pushfl\n orl $0x4000, (%%esp)\n popfl\n iret", ::: RESUME_CLOBBER);
    asm volatile("pushfl\n andl $~0x4000, (%esp)\n popfl");
    check(trap_vector == TS && trap_error == 0, "IRET with NT and no link");
}

// V86 mode

static volatile int virtual_vector, virtual_count;
static volatile u32 virtual_error, virtual_flags, virtual_ax, virtual_ip, virtual_cs;
static void on_virtual(struct frame *frame) {
    virtual_vector = (int)frame->vector;
    virtual_error = frame->error;
    virtual_flags = frame->flags;
    virtual_ax = frame->ax;
    virtual_ip = frame->ip;
    virtual_cs = frame->cs;
    virtual_count++;
    asm volatile("mov kernel_stack, %esp\n jmp virtual_return");
}

/// Runs 8086 code at 0x70000 in V86 mode until an exception.
static void run_virtual(const u8 *code, int bytes, u32 flags) {
    memcpy((void *)0x70000, code, (size_t)bytes);
    main_task.esp0 = (u32)&kernel_stack;
    asm volatile("push %%ebp\n push %%ebx\n mov %%esp, kernel_stack\n mov %%esp, %0\n"
                 "push $0x7000\n push $0x7000\n push $0x7000\n push $0x7000\n push $0x7000\n push $0x8000\n"
                 "push %1\n push $0x7000\n push $0\n iretl\n"
                 ".globl virtual_return\n virtual_return:\n mov $0x18, %%eax\n mov %%eax, %%ds\n mov %%eax, %%es\n pop %%ebx\n pop %%ebp"
                 : "=m"(main_task.esp0)
                 : "r"(flags | 0x20002)
                 : "eax", "ecx", "edx", "esi", "edi", "memory", "cc");
}
#define VIRTUAL(flags, ...)                                                                                            \
    do {                                                                                                               \
        static const u8 code[] = {__VA_ARGS__};                                                                        \
        run_virtual(code, sizeof code, flags);                                                                         \
    } while (0)

TEST(virtual_extensions) {
    write_cr4(read_cr4() | 1);
    main_task.map = 104 + 32;
    memset(main_task.bits, 0, 32);
    VIRTUAL(0x80000, 0xFA, 0x9C, 0x58, 0x0F, 0x0B);
    check(virtual_vector == UD && (virtual_ax & 0x3200) == 0x3000 && !(virtual_flags & 0x80000), "VME: CLI clears VIF, PUSHF shows IOPL 3");
    VIRTUAL(0, 0xFB, 0x9C, 0x58, 0x0F, 0x0B);
    check((virtual_ax & 0x200) && virtual_flags & 0x80000, "VME: STI sets VIF");
    VIRTUAL(0x100000, 0xFB);
    check(virtual_vector == GP, "VME: STI with VIP");
    VIRTUAL(0x100000, 0xB8, 0x02, 0x02, 0x50, 0x9D);
    check(virtual_vector == GP && virtual_ip == 4, "VME: POPF of IF with VIP");
    VIRTUAL(0, 0xB8, 0x02, 0x03, 0x50, 0x9D);
    check(virtual_vector == GP, "VME: POPF of TF");
    VIRTUAL(0, 0x66, 0x9C);
    check(virtual_vector == GP, "VME: PUSHFD");
    *(u16 *)(0x21 * 4) = 0x100;
    *(u16 *)(0x21 * 4 + 2) = 0x7000;
    memcpy((void *)0x70100, "\xB8\x77\x00\xCF", 4);
    VIRTUAL(0x80000, 0xCD, 0x21, 0x0F, 0x0B);
    check(virtual_vector == UD && (virtual_ax & 0xFFFF) == 0x77 && virtual_ip == 2, "VME: INT n to the program's own handler");
    check(virtual_flags & 0x80000, "VME: IRET brings VIF back");
    main_task.bits[0x21 / 8] = 1 << (0x21 & 7);
    VIRTUAL(0, 0xCD, 0x21);
    check(virtual_vector == GP && virtual_ip == 0, "VME: INT n that the map keeps");
    write_cr4(read_cr4() & ~(word)1);
    main_task.map = 104;
}

TEST(virtual_8086) {
    int vectors[] = {DB, BP, OF, UD, GP, NP, 0x20};
    for (unsigned index = 0; index < sizeof vectors / sizeof *vectors; index++) set_handler(vectors[index], on_virtual);
    VIRTUAL(0, 0xB8, 0x34, 0x12, 0x0F, 0x0B);
    check(virtual_vector == UD && (virtual_ax & 0xFFFF) == 0x1234 && virtual_ip == 3, "8086 code runs");
    check(virtual_flags & 0x20000 && (virtual_cs & 0xFFFF) == 0x7000, "VM in the saved flags");
    VIRTUAL(0, 0xFA);
    check(virtual_vector == GP && virtual_error == 0 && virtual_ip == 0, "CLI with IOPL 0");
    VIRTUAL(0, 0x9C);
    check(virtual_vector == GP, "PUSHF with IOPL 0");
    VIRTUAL(0, 0xCD, 0x20);
    check(virtual_vector == GP && virtual_ip == 0, "INT n with IOPL 0");
    VIRTUAL(0, 0xCC);
    check(virtual_vector == BP && virtual_ip == 1, "INT3 needs no IOPL");
    VIRTUAL(0x3000, 0xFA, 0x9C, 0x58, 0xFB, 0x0F, 0x0B);
    check(virtual_vector == UD && (virtual_ax & 0x200) == 0, "CLI and PUSHF with IOPL 3");
    VIRTUAL(0x3000, 0xCD, 0x20);
    check(virtual_vector == GP && virtual_error == 0x20 * 8 + 2, "INT n with IOPL 3 and a gate of DPL 0");
    set_gate(0x20, stubs + 0x20 * 16, 3, 0);
    VIRTUAL(0x3000, 0xCD, 0x20);
    check(virtual_vector == 0x20 && virtual_ip == 2, "INT n with IOPL 3");
    VIRTUAL(0, 0xE4, 0x80);
    check(virtual_vector == GP, "IN looks at the map whatever IOPL is");
    main_task.bits[0x80 / 8] = 0xFE;
    VIRTUAL(0, 0xE4, 0x80, 0x0F, 0x0B);
    check(virtual_vector == UD, "IN of a permitted port");
    VIRTUAL(0, 0xF4);
    check(virtual_vector == GP, "HLT");
    VIRTUAL(0, 0x0F, 0x00, 0xC8);
    check(virtual_vector == UD, "STR");
    VIRTUAL(0, 0x0F, 0x20, 0xC0);
    check(virtual_vector == GP, "MOV from CR0");
    VIRTUAL(0, 0x66, 0xA1, 0xFF, 0xFF);
    check(virtual_vector == GP, "beyond 64 KiB");
    VIRTUAL(0, 0x8C, 0xD8, 0x05, 0x00, 0x10, 0x8E, 0xD8, 0x8C, 0xD9, 0x89, 0xC8, 0x0F, 0x0B);
    check((virtual_ax & 0xFFFF) == 0x8000, "segment registers are paragraphs");
    if (has(1, 3, 1)) virtual_extensions();
    for (unsigned index = 0; index < sizeof vectors / sizeof *vectors; index++) set_handler(vectors[index], 0);
}
TEST(limits) {
    static u8 bytes[8192] __attribute__((aligned(4096)));
    table[SEGMENT / 8] = descriptor((u32)bytes, 0xFFF, 0x4093);
#define IN_SEGMENT(code, vector, error, name)                                                                          \
    do {                                                                                                               \
        ATTEMPT("mov %0, %%eax\n mov %%eax, %%es\n xor %%eax, %%eax\n" code, ::"i"(SEGMENT) : "eax", RESUME_CLOBBER);    \
        check_equal((u64)(int64_t)trap_vector, (u64)(int64_t)(vector), name);                                          \
        if ((vector) >= 0) check_equal(trap_error, error, name);                                                       \
    } while (0)
    IN_SEGMENT("movb %%al, %%es:0xfff", -1, 0, "the last byte");
    IN_SEGMENT("movb %%al, %%es:0x1000", GP, 0, "behind the limit");
    IN_SEGMENT("movl %%eax, %%es:0xffd", GP, 0, "over the limit");
    IN_SEGMENT("movl %%eax, %%es:0xffc", -1, 0, "up to the limit");
    table[SEGMENT / 8] = descriptor((u32)bytes, 0xFFF, 0x4097);
    IN_SEGMENT("movb %%al, %%es:0xfff", GP, 0, "expand-down: at the limit");
    IN_SEGMENT("movb %%al, %%es:0x1000", -1, 0, "expand-down: above it");
    table[SEGMENT / 8] = descriptor((u32)bytes, 0xFFF, 0x0097);
    IN_SEGMENT("movb %%al, %%es:0x10000", GP, 0, "expand-down of 64 KiB: above");
    table[SEGMENT / 8] = descriptor((u32)bytes, 0xFFF, 0x4091);
    IN_SEGMENT("movb %%es:0, %%al", -1, 0, "read-only: load");
    IN_SEGMENT("movb %%al, %%es:0", GP, 0, "read-only: store");
    table[SEGMENT / 8] = descriptor((u32)bytes, 0, 0xC093);
    IN_SEGMENT("movb %%al, %%es:0xfff", -1, 0, "granularity of pages");
    IN_SEGMENT("movb %%al, %%es:0x1000", GP, 0, "behind a page");
    ATTEMPT("xor %%eax, %%eax\n mov %%eax, %%es\n movb %%es:0, %%al", ::: "eax", RESUME_CLOBBER);
    check(trap_vector == GP, "a null segment");
    ATTEMPT("movl %%cs:0, %%eax\n movl %%eax, %%cs:0", ::: "eax", RESUME_CLOBBER);
    check(trap_vector == GP, "a store to code");
    table[SEGMENT / 8] = descriptor((u32)bytes, 0xFF, 0x4093);
    // Beyond the stack's limit.
    static volatile u32 keep;
    asm volatile("mov %%esp, %0" : "=m"(keep));
    asm volatile("mov %0, %%es" ::"r"(DATA));
    // Code segments.
    table[SEGMENT / 8] = descriptor(0, 0x400, 0x409B);
    ATTEMPT("ljmp %0, $0x401", ::"i"(SEGMENT) : RESUME_CLOBBER);
    check(trap_vector == GP && trap_error == 0, "far JMP beyond the limit");
    table[SEGMENT / 8] = descriptor(0, 0xFFFFF, 0xC01B);
    ATTEMPT("ljmp %0, $0", ::"i"(SEGMENT) : RESUME_CLOBBER);
    check(trap_vector == NP && trap_error == SEGMENT, "far JMP to code that is not present");
    ATTEMPT("mov $10, %%eax\n bound %%eax, %0", ::"m"(*(u64 *)bytes) : "eax", RESUME_CLOBBER);
    check(trap_vector == BR, "BOUND");
    ATTEMPT("mov $0x7f, %%al\n add $1, %%al\n into", ::: "eax", RESUME_CLOBBER);
    check(trap_vector == OF, "INTO");
}

extern char gate_entry[];
asm("gate_entry: mov 8(%esp), %eax\n mov 12(%esp), %edx\n mov %cs, %ecx\n lret $8\n");
static u32 call_through(u32 unused) {
    u32 first, second, cs, before, after;
    asm volatile("mov %%esp, %3\n push $0x11\n push $0x22\n lcall %5, $0\n mov %%esp, %4"
                 : "=a"(first), "=d"(second), "=c"(cs), "=&b"(before), "=&S"(after)
                 : "i"(CALL_GATE | 3)
                 : "memory");
    return first == 0x22 && second == 0x11 && (cs & 0xFFFF) == CODE && before == after;
}

TEST(gates) {
    u32 place = (u32)gate_entry;
    table[CALL_GATE / 8] = (place & 0xFFFF) | (u64)CODE << 16 | (u64)(0xEC00 | 2) << 32 | (u64)(place >> 16) << 48;
    static u8 inner[4096] __attribute__((aligned(16)));
    main_task.ss0 = DATA;
    main_task.esp0 = (u32)(inner + sizeof inner);
    memcpy(task, &main_task, 104);
    check(run_user((word(*)(word))call_through, 0) == 1, "a call gate copies parameters to the inner stack");
}

// Paging: both forms

static u32 directory[1024] __attribute__((aligned(4096))), leaves[1024] __attribute__((aligned(4096)));
static u64 pointers[4] __attribute__((aligned(32))), middle[4][512] __attribute__((aligned(4096)));
static u64 wide_leaves[512] __attribute__((aligned(4096)));
static u8 pages[8192] __attribute__((aligned(4096)));

static int touch(u8 *place, bool store) {
    if (store) ATTEMPT("movb $1, (%0)", ::"r"(place) : RESUME_CLOBBER);
    else ATTEMPT("movb (%0), %%al", ::"r"(place) : "eax", RESUME_CLOBBER);
    return trap_vector == PF ? (int)trap_error : -1;
}

TEST(paging_32) {
    for (u32 index = 0; index < 1024; index++) directory[index] = index << 22 | 0x87;
    directory[512] = (u32)leaves | 7;
    leaves[0] = (u32)pages | 7;
    write_cr4(read_cr4() | 0x10);
    write_cr3((u32)directory);
    write_cr0(read_cr0() | 0x80010000);
    u8 *area = (u8 *)0x80000000;
    pages[0] = 42;
    check(*(volatile u8 *)area == 42, "4 KiB page");
    check(leaves[0] & 0x20 && !(leaves[0] & 0x40) && directory[512] & 0x20, "accessed bits");
    check(touch(area, true) == -1 && leaves[0] & 0x40, "dirty bit");
    leaves[0] = (u32)pages | 5;
    invalidate(area);
    check_equal((u32)touch(area, true), 3, "read-only with CR0.WP");
    write_cr0(read_cr0() & ~0x10000ul);
    check(touch(area, true) == -1, "read-only without CR0.WP");
    write_cr0(read_cr0() | 0x10000);
    leaves[0] = 0;
    invalidate(area);
    check_equal((u32)touch(area, true), 2, "not present");
    check(trap_cr2 == 0x80000000, "CR2");
    directory[513] = 0x87 | 1 << 21;
    check_equal((u32)touch(area + 0x400000, false), 9, "reserved bit of a 4 MiB page");
    directory[513] = 0;
    directory[1023] = 0x87;
    write_cr3((u32)directory);
    *(u32 *)0x1000 = 0x12345678;
    check(*(volatile u32 *)0xFFC01000 == 0x12345678, "4 MiB page");
    write_cr0(read_cr0() & ~0x80000000ul);

    for (u32 index = 0; index < 4; index++) {
        pointers[index] = (u32)middle[index] | 1;
        for (u32 entry = 0; entry < 512; entry++) middle[index][entry] = (u64)index << 30 | entry << 21 | 0x87;
    }
    middle[2][0] = (u32)wide_leaves | 7;
    wide_leaves[0] = (u32)pages | 7;
    write_cr4(read_cr4() | 0x20);
    write_cr3((u32)pointers);
    write_cr0(read_cr0() | 0x80000000);
    pages[0] = 43;
    check(*(volatile u8 *)area == 43, "PAE: 4 KiB page");
    wide_leaves[0] |= (u64)1 << 63;
    invalidate(area);
    check_equal((u32)touch(area, false), 9, "PAE: bit 63 without NXE");
    if (has(0x80000001, 3, 20)) {
        write_msr(0xC0000080, read_msr(0xC0000080) | 0x800);
        check(touch(area, false) == -1, "PAE: bit 63 with NXE");
        ATTEMPT("call *%0", ::"r"(area) : RESUME_CLOBBER);
        asm volatile("add $4, %esp");
        check(trap_vector == PF && trap_error == 0x11, "PAE: no execution");
    }
    wide_leaves[0] = (u32)pages | 7 | (u64)1 << 52;
    invalidate(area);
    check_equal((u32)touch(area, false), 9, "PAE: bits above 51 are reserved");
    wide_leaves[0] = (u32)pages | 7;
    // The four pointers are read when CR3 is loaded.
    pointers[2] = 0;
    invalidate(area);
    check(touch(area, false) == -1, "PAE: a pointer changed in memory counts with the next load of CR3");
    write_cr3((u32)pointers);
    check_equal((u32)touch(area, false), 0, "PAE: then it does");
    pointers[2] = (u32)middle[2] | 1 | 2;
    ATTEMPT("mov %0, %%cr3", ::"r"(pointers) : RESUME_CLOBBER);
    check(trap_vector == GP, "PAE: reserved bit of a pointer");
    pointers[2] = (u32)middle[2] | 1;
    write_cr3((u32)pointers);
    write_cr0(read_cr0() & ~0x80000000ul);
    write_cr4(read_cr4() & ~0x30ul);
}

// Real mode and back: the code is copied to 0x6000 and runs there.
extern char real_start[], real_code[], real_end[];
asm(".pushsection .data\n .code16\n .globl real_start, real_code, real_end\n real_start:\n"
    " mov $0x40, %ax\n mov %ax, %ds\n mov %ax, %es\n mov %ax, %ss\n"
    " mov %cr0, %eax\n and $0x7ffffffe, %eax\n mov %eax, %cr0\n"
    " ljmp $0x600, $real_flat - real_start\n"
    " real_flat: mov $0, %ax\n mov %ax, %ds\n mov %ax, %es\n mov %ax, %ss\n mov $0x7000, %sp\n"
    " lidtl 0x5ff0\n call real_code\n"
    " cli\n mov $0, %ax\n mov %ax, %ds\n mov %cr0, %eax\n or $1, %eax\n mov %eax, %cr0\n"
    " ljmpl $0x10, $real_back\n real_code:\n"
    // DI counts the checks that hold, SI those that were made.
    " xor %si, %si\n xor %di, %di\n"
    ".macro holds condition\n j\\condition 1f\n inc %si\n jmp 2f\n 1: inc %si\n inc %di\n 2:\n .endm\n"
    // Wrapping of 16-bit addresses, BCD, string, 32-bit operands, INT, segments.
    " mov $0x1234, %ax\n mov %ax, 0x5000\n cmpw $0x1234, 0x5000\n holds e\n"
    " mov $0xffff, %bx\n movb $7, 0x5000\n cmpb $7, 0x5001(%bx)\n holds e\n"
    " mov $0x500, %ax\n mov %ax, %es\n movb $9, %es:0x10\n cmpb $9, 0x5010\n holds e\n"
    " mov $0x27, %al\n add $0x35, %al\n daa\n cmp $0x62, %al\n holds e\n"
    " mov $0x0105, %ax\n aad\n cmp $15, %ax\n holds e\n"
    " mov $15, %al\n aam\n cmp $0x0105, %ax\n holds e\n"
    " mov $0x12345678, %eax\n push %eax\n pop %bx\n pop %cx\n cmp $0x1234, %cx\n holds e\n"
    " mov $0xfffe, %ax\n mov %sp, %bp\n push %ax\n mov -2(%bp), %dx\n pop %cx\n cmp %dx, %cx\n holds e\n"
    " cld\n push %si\n push %di\n xor %ax, %ax\n mov %ax, %es\n mov $0x5000, %di\n mov $4, %cx\n mov $0x41, %al\n rep stosb\n"
    " cmp $0x5004, %di\n pop %di\n pop %si\n holds e\n"
    " cmpl $0x41414141, 0x5000\n holds e\n"
    // An interrupt through the vector table: handler at 0:0x5100 is IRET after INC DX.
    " movw $0x5100, 0x80*4\n movw $0, 0x80*4+2\n movw $0xcf42, 0x5100\n xor %dx, %dx\n stc\n int $0x80\n"
    " holds c\n cmp $1, %dx\n holds e\n"
    // #DE and, beyond 64 KiB, #GP: their handlers step over the instruction.
    " movw $real_over2 - real_start, 0\n movw $0x600, 2\n movw $real_over4 - real_start, 13*4\n movw $0x600, 13*4+2\n"
    " xor %ax, %ax\n mov $5, %cl\n xor %bl, %bl\n div %bl\n inc %cl\n cmp $6, %cl\n holds e\n"
    " mov $0x77, %bx\n mov 0xffff, %bx\n cmp $0x77, %bx\n holds e\n"
    " smsw %ax\n test $1, %al\n holds z\n"
    " mov $0xffffffff, %eax\n mov $0x10000, %ebx\n lea 1(%ebx), %ax\n cmp $1, %ax\n holds e\n"
    " ret\n"
    " real_over2: push %bp\n mov %sp, %bp\n addw $2, 2(%bp)\n pop %bp\n iret\n"
    " real_over4: push %bp\n mov %sp, %bp\n addw $4, 2(%bp)\n pop %bp\n iret\n"
    " real_end:\n .popsection\n .code32\n");

static u32 real_made, real_held;
TEST(real_mode) {
    struct {
        u16 limit;
        u32 base;
    } __attribute__((packed)) old, flat = {0x3FF, 0};
    asm volatile("sidt %0" : "=m"(old));
    memcpy((void *)0x6000, real_start, (size_t)(real_end - real_start));
    memcpy((void *)0x5FF0, &flat, sizeof flat);
    table[SEGMENT / 8] = descriptor(0x6000, 0xFFFF, 0x009B);
    asm volatile("push %%ebp\n push %%ebx\n mov %%esp, %0\n ljmp %3, $0\n .globl real_back\n real_back:\n mov $0x18, %%ax\n mov %%ax, %%ds\n"
                 "mov %%ax, %%es\n mov %%ax, %%ss\n mov %%ax, %%fs\n mov %%ax, %%gs\n mov %0, %%esp\n pop %%ebx\n pop %%ebp\n movzwl %%si, %%esi\n movzwl %%di, %%edi"
                 : "+m"(kernel_stack), "=S"(real_made), "=D"(real_held)
                 : "i"(SEGMENT)
                 : "eax", "ecx", "edx", "memory", "cc");
    asm volatile("lidt %0" ::"m"(old));
    print("%d of %d in real mode\n", (int)real_held, (int)real_made);
    check(real_made >= 16 && real_held == real_made, "real mode");
}

int main(void) {
    set_up();
    real_mode();
    limits();
    gates();
    switches();
    virtual_8086();
    paging_32();
    return failures();
}
