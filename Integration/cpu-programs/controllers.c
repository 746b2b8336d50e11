// SPDX-License-Identifier: Apache-2.0
//
// Interrupts: local APIC in both modes, its timer, messages between processors, NMI, I/O APIC through the test device's
// lines, priority.
#include "program.h"

enum { ID = 0x20, VERSION = 0x30, TPR = 0x80, PPR = 0xA0, END = 0xB0, LDR = 0xD0, DFR = 0xE0, SPURIOUS = 0xF0, ISR = 0x100, IRR = 0x200, ESR = 0x280, ICR = 0x300, ICR2 = 0x310, TIMER = 0x320, LINT0 = 0x350, LINT1 = 0x360, ERROR = 0x370, INITIAL = 0x380, CURRENT = 0x390, DIVIDE = 0x3E0 };
enum { BASE = 0x1B, DEADLINE = 0x6E0 };
static volatile u32 *const controller = (volatile u32 *)0xFEE00000;
static bool x2;

static u32 get(u32 place) { return x2 ? (u32)read_msr(0x800 + place / 16) : controller[place / 4]; }
static void put(u32 place, u32 value) {
    if (x2) write_msr(0x800 + place / 16, value);
    else controller[place / 4] = value;
}
static void send(u32 command, u32 target) {
    if (x2) {
        write_msr(0x830, (u64)target << 32 | command);
    } else {
        controller[ICR2 / 4] = target << 24;
        controller[ICR / 4] = command;
    }
}
static volatile int taken[256];
static volatile int order[8], ordered;
static void count(struct frame *frame) {
    taken[frame->vector]++;
    if (ordered < 8) order[ordered++] = (int)frame->vector;
    put(END, 0);
}
static volatile int nmis;
static void count_nmi(struct frame *frame) { nmis++; }

static bool wait_for(volatile int *value, int wanted) {
    u64 start = time_stamp();
    while (*value < wanted && time_stamp() - start < 3000000000) asm volatile("pause");
    return *value >= wanted;
}

TEST(presence) {
    check(has(1, 3, 9), "CPUID shows the APIC");
    check((read_msr(BASE) & 0xFFFFF900) == 0xFEE00900, "APIC base: enabled, boot processor, usual place");
    u32 version = get(VERSION);
    check((version & 0xFF) >= 0x10 && (version & 0xFF) <= 0x15 && version >> 16 >= 5, "version");
    check_equal(get(ID) >> 24, 0, "identifier of the boot processor");
    check_equal(cpuid_word(1, 0, 1) >> 24, 0, "initial identifier");
    put(SPURIOUS, 0x1FF);
    check(get(SPURIOUS) == 0x1FF, "software enable");
    put(TPR, 0x40);
    check_equal(get(TPR), 0x40, "task priority");
    check_equal(read_cr8(), 4, "CR8 is the task priority's class");
    write_cr8(9);
    check_equal(get(TPR), 0x90, "CR8 sets the task priority");
    write_cr8(0);
    ATTEMPT("mov %0, %%cr8", ::"r"((word)16) : RESUME_CLOBBER);
    check(trap_vector == GP, "CR8 above 15");
    put(DFR, 0xFFFFFFFF);
    put(LDR, 0x01000000);
    check(get(LDR) == 0x01000000, "logical destination");
    put(ESR, 0);
    put(ERROR, 0xFE);
}

TEST(self_messages) {
    set_handler(0x61, count);
    set_handler(0x71, count);
    asm volatile("sti");
    taken[0x61] = 0;
    send(0x40000 | 0x61, 0);
    asm volatile("nop");
    check(taken[0x61] == 1, "a message to oneself comes at once");
    send(0x4061, 0);
    asm volatile("nop");
    check(taken[0x61] == 2, "a message to the own identifier");
    asm volatile("cli");
    ordered = 0;
    send(0x40061, 0);
    send(0x40071, 0);
    check(get(IRR + 0x10 * (0x61 / 32)) >> (0x61 % 32) & 1, "pending requests show in IRR");
    asm volatile("sti\n nop\n nop\n nop\n cli");
    check(ordered == 2 && order[0] == 0x71 && order[1] == 0x61, "the higher vector first");
    put(TPR, 0x60);
    send(0x40061, 0);
    ordered = 0;
    asm volatile("sti\n nop\n nop\n cli");
    check(ordered == 0, "the task priority holds its class back");
    send(0x40071, 0);
    asm volatile("sti\n nop\n nop\n cli");
    check(ordered == 1 && order[0] == 0x71, "and lets a higher one through");
    put(TPR, 0);
    asm volatile("sti\n nop\n nop\n cli");
    check(ordered == 2, "what was held back comes with a lower priority");
    // STI holds interrupts back for one instruction, POPF does not.
    send(0x40061, 0);
    ordered = 0;
    u32 before = 5, after;
    asm volatile("sti\n mov %2, %0\n nop\n cli" : "=&r"(after), "+m"(ordered) : "m"(ordered) : "memory");
    check(after == 0 && ordered == 1, "one instruction after STI");
    (void)before;
    send(0x40061, 0);
    ordered = 0;
    asm volatile("sti\n cli\n" ::: "memory");
    check(ordered == 0, "CLI straight after STI");
    asm volatile("sti\n nop\n nop\n cli" ::: "memory");
    check(ordered == 1, "and the request stays");
}

TEST(halt_and_wake) {
    put(DIVIDE, 0xB);
    set_handler(0x51, count);
    taken[0x51] = 0;
    put(TIMER, 0x51);
    put(INITIAL, 100000);
    asm volatile("sti\n hlt\n cli" ::: "memory");
    check(taken[0x51] == 1, "the timer wakes HLT");
    check_equal(get(CURRENT), 0, "one shot stops at 0");
    put(TIMER, 0x20051);
    put(INITIAL, 50000);
    asm volatile("sti");
    check(wait_for(&taken[0x51], 4), "periodic timer");
    asm volatile("cli");
    put(TIMER, 0x10000);
    put(INITIAL, 0);
    put(TIMER, 0x51);
    put(INITIAL, 0x7FFFFFFF);
    u32 first = get(CURRENT);
    pause_loop(1000);
    u32 second = get(CURRENT);
    check(first > second && second > 0, "the current count goes down");
    put(TIMER, 0x20051);
    check(get(CURRENT) <= second && get(CURRENT) != 0, "a change of mode lets it run on");
    check_equal(get(INITIAL), 0x7FFFFFFF, "the initial count stays");
    put(INITIAL, 0);
    check_equal(get(CURRENT), 0, "an initial count of 0 stops it");
    put(TIMER, 0x10000);
}

TEST(deadline) {
    if (!has(1, 2, 24)) return;
    // One of the periodic timer's may wait that came just before it was masked.
    asm volatile("sti\n\tnop\n\tcli" ::: "memory");
    taken[0x51] = 0;
    put(TIMER, 0x40051);
    asm volatile("sti");
    write_msr(DEADLINE, time_stamp());
    asm volatile("nop");
    check(taken[0x51] == 1, "a deadline in the past comes at once");
    check_equal(read_msr(DEADLINE), 0, "and clears itself");
    write_msr(DEADLINE, time_stamp() + 3000000);
    check(taken[0x51] == 1, "a deadline in the future does not");
    asm volatile("hlt" ::: "memory");
    check(wait_for(&taken[0x51], 2), "it comes in its time");
    write_msr(DEADLINE, time_stamp() + 1000000000);
    write_msr(DEADLINE, 0);
    asm volatile("cli");
    put(TIMER, 0x10000);
    write_msr(DEADLINE, time_stamp());
    check_equal(read_msr(DEADLINE), 0, "no deadline in another mode");
}

TEST(base_register) {
    u64 old = read_msr(BASE);
    check(try_write_msr(BASE, old | 1) == GP, "reserved bits of the base");
    check(try_write_msr(BASE, old | (u64)1 << 63) == GP, "address bits that are not there");
    write_msr(BASE, old & ~(u64)0x800);
    check(!has(1, 3, 9), "CPUID hides a disabled APIC");
    check_equal(controller[VERSION / 4], 0xFFFFFFFF, "nothing answers at its place");
    write_msr(BASE, old);
    check(has(1, 3, 9), "and shows it again");
    check_equal(get(SPURIOUS) & 0x1FF, 0xFF, "disabling resets it");
    put(SPURIOUS, 0x1FF);
    write_msr(BASE, 0xFED40000 | (old & 0xF00));
    check_equal(((volatile u32 *)0xFED40000)[VERSION / 4], controller[VERSION / 4] == 0xFFFFFFFF ? ((volatile u32 *)0xFED40000)[VERSION / 4] : 0, "the registers move");
    write_msr(BASE, old);
    put(SPURIOUS, 0x1FF);
    if (!has(1, 2, 21)) {
        check(try_write_msr(BASE, old | 0xC00) == GP, "x2APIC where there is none");
        return;
    }
    u64 place = old & ~(u64)0xC00;
    check(try_write_msr(BASE, place | 0x400) == GP, "x2APIC without enable");
    check(try_write_msr(BASE, place | 0xC00) == -1, "to x2APIC");
    check(try_write_msr(BASE, place | 0x800) == GP, "x2APIC to xAPIC");
    check(try_write_msr(BASE, place | 0x400) == GP, "x2APIC to the invalid mode");
    check(try_write_msr(BASE, place) == -1, "x2APIC to disabled");
    check(try_write_msr(BASE, place | 0xC00) == GP, "disabled to x2APIC");
    check(try_write_msr(BASE, old) == -1, "back to xAPIC");
    put(SPURIOUS, 0x1FF);
}

TEST(x2_mode) {
    if (!has(1, 2, 21)) return;
    check(try_read_msr(0x802) == GP, "x2APIC registers in xAPIC mode");
    write_msr(BASE, read_msr(BASE) | 0xC00);
    x2 = true;
    put(SPURIOUS, 0x1FF);
    check_equal(read_msr(0x802), 0, "x2APIC identifier");
    check(try_write_msr(0x802, 1) == GP, "the identifier cannot be written");
    check(try_write_msr(0x803, 1) == GP, "nor the version");
    check(try_read_msr(0x80E) == GP, "no destination format");
    check(try_read_msr(0x831) == GP, "no second half of the command register");
    check(try_write_msr(0x80B, 1) == GP, "end of interrupt takes 0 only");
    check(try_write_msr(0x828, 1) == GP, "error status takes 0 only");
    check(try_write_msr(0x808, 0x100) == GP, "reserved bits of the task priority");
    check(try_read_msr(0x83F) == GP, "self interrupt cannot be read");
    check(try_read_msr(0x80B) == GP, "end of interrupt cannot be read");
    check_equal(controller[VERSION / 4], 0xFFFFFFFF, "nothing in memory");
    set_handler(0x61, count);
    taken[0x61] = 0;
    asm volatile("sti");
    write_msr(0x83F, 0x61);
    asm volatile("nop");
    check(taken[0x61] == 1, "self interrupt");
    send(0x40061, 0);
    asm volatile("nop");
    check(taken[0x61] == 2, "command to oneself");
    asm volatile("cli");
    check_equal(read_msr(0x80D), 1, "logical identifier");
}

static volatile int again;
static void nested_nmi(struct frame *frame) {
    if (++nmis == 1)
        for (int index = 0; index < 10; index++) send(0x400, x2 ? 0 : 0);
    again = nmis;
}

TEST(non_maskable) {
    set_handler(NMI, count_nmi);
    nmis = 0;
    send(0x400, 0);
    asm volatile("nop");
    check(nmis == 1, "NMI to oneself");
    set_handler(NMI, nested_nmi);
    nmis = 0;
    send(0x400, 0);
    for (int index = 0; index < 1000 && nmis < 2; index++) asm volatile("pause");
    pause_loop(1000);
    check_equal((u64)nmis, 2, "those that come during the handler are one");
    set_handler(NMI, count_nmi);
}

// The I/O APIC, by lines of the test device at ports 0x2000 to 0x2017.
static volatile u32 *const lines = (volatile u32 *)0xFEC00000;
static u32 line_get(u32 index) {
    lines[0] = index;
    return lines[4];
}
static void line_put(u32 index, u32 value) {
    lines[0] = index;
    lines[4] = value;
}
static volatile int held;
static void count_held(struct frame *frame) {
    taken[frame->vector]++;
    held = (int)(line_get(0x10 + 2 * 0x0E) >> 14 & 1);
    if (taken[frame->vector] >= 2) out8(0x200E, 0);
    put(END, 0);
}

TEST(lines_of_devices) {
    check((line_get(1) & 0xFF) >= 0x11, "version of the I/O APIC");
    check_equal(line_get(1) >> 16 & 0xFF, 23, "24 lines");
    set_handler(0x77, count);
    taken[0x77] = 0;
    line_put(0x10 + 2 * 0x0E + 1, 0);
    line_put(0x10 + 2 * 0x0E, 0x77);
    asm volatile("sti");
    out8(0x200E, 1);
    asm volatile("nop");
    check(taken[0x77] == 1, "an edge");
    out8(0x200E, 1);
    asm volatile("nop");
    check(taken[0x77] == 1, "no second one while it stays high");
    out8(0x200E, 0);
    out8(0x200E, 1);
    asm volatile("nop");
    check(taken[0x77] == 2, "a new edge");
    out8(0x200E, 0);
    line_put(0x10 + 2 * 0x0E, 0x8078);
    set_handler(0x78, count_held);
    taken[0x78] = 0;
    out8(0x200E, 1);
    pause_loop(1000);
    check(taken[0x78] == 2 && held == 1, "a level comes again until it goes");
    line_put(0x10 + 2 * 0x0E, 0x18078);
    out8(0x200E, 1);
    pause_loop(100);
    check(taken[0x78] == 2, "a masked line");
    out8(0x200E, 0);
    asm volatile("cli");
}

// Other processors
static u8 stacks[4][8192] __attribute__((aligned(16)));
static volatile int up;
static volatile int job;
static volatile int told;
static void count_here(struct frame *frame) {
    __atomic_add_fetch(&told, 1, __ATOMIC_SEQ_CST);
    put(END, 0);
}

void ap_main(void) {
    set_gate(0, stubs, 0, 0);
    struct {
        u16 limit;
        word base;
    } __attribute__((packed)) pointer;
    extern u64 saved_pointer[2];
    memcpy(&pointer, saved_pointer, sizeof pointer);
    asm volatile("lidt %0" ::"m"(pointer));
    if (x2) write_msr(BASE, read_msr(BASE) | 0xC00);
    put(SPURIOUS, 0x1FF);
    __atomic_add_fetch(&up, 1, __ATOMIC_SEQ_CST);
    asm volatile("sti");
    for (;;) {
        while (!job) asm volatile("hlt");
        if (job == 1) {
            asm volatile("pause");
        }
    }
}
u64 saved_pointer[2];

TEST(processors) {
    asm volatile("sidt %0" : "=m"(saved_pointer));
    memcpy((void *)0x8000, ap_start, (size_t)(ap_end - ap_start));
    u32 wanted = cpuid_word(1, 0, 1) >> 16 & 0xFF;
    (void)wanted;
    set_handler(0x62, count_here);
    int processors = 0;
    for (u32 target = 1; target < 4; target++) {
        ap_stack = (word)(stacks[target] + sizeof stacks[0]);
        int before = up;
        send(0x4500, target);
        pause_loop(200);
        send(0x4608, target);
        u64 start = time_stamp();
        while (up == before && time_stamp() - start < 300000000) asm volatile("pause");
        if (up == before) break;
        processors++;
    }
    print("%d other processors\n", processors);
    if (!processors) return;
    told = 0;
    send(0x4062, 1);
    check(wait_for(&told, 1), "message to another processor");
    told = 0;
    send(0xC4062, 0);
    check(wait_for(&told, processors), "to all but oneself");
    asm volatile("sti");
    told = 0;
    send(0x84062, 0);
    check(wait_for(&told, processors + 1), "to all");
    told = 0;
    send(0x4062, x2 ? 0xFFFFFFFF : 0xFF);
    check(wait_for(&told, processors + 1), "broadcast");
    asm volatile("cli");
    set_handler(NMI, count_nmi);
    nmis = 0;
    send(0x4400, 1);
    check(wait_for(&nmis, 1), "NMI to another processor");
}

int main(void) {
    out8(0x21, 0xFF);
    out8(0xA1, 0xFF);
    set_up();
    presence();
    self_messages();
    halt_and_wake();
    deadline();
    base_register();
    non_maskable();
    lines_of_devices();
    processors();
    x2_mode();
    non_maskable();
    return failures();
}
