// SPDX-License-Identifier: Apache-2.0
//
// Debug registers, single steps, and what holds traps back.
#include "program.h"

enum { MOST = 40 };
static int count;
static struct {
    word ip, status, flags;
} seen[MOST];

static void note(struct frame *frame) {
    word status = read_dr6();
    write_dr6(0);
    if (count < MOST) {
        seen[count].ip = frame->ip;
        seen[count].status = status;
        seen[count].flags = frame->flags;
    }
    if (++count >= MOST) {
        frame->flags &= ~(word)0x100;
        write_dr7(0x400);
    }
    // An instruction breakpoint would hit again.
    if ((status & 15) && (read_dr7() & 0xFF)) frame->flags |= 0x10000;
}

enum { FIXED = 0xFFFF0FF0, BS = 1 << 14, BD = 1 << 13, BT = 1 << 15 };

static void begin(void) {
    count = 0;
    write_dr6(0);
}

#define SET_TF "pushfq\n orl $0x100, (%%rsp)\n popfq\n"
#define CLEAR_TF "pushfq\n andl $~0x100, (%%rsp)\n popfq\n"

static bool steps(const char *const *names, int wanted) {
    (void)names;
    if (count != wanted) {
        print("     %d traps, wanted %d\n", count, wanted);
        for (int index = 0; index < count && index < 8; index++)
            print("       %p status %p\n", (u64)seen[index].ip, (u64)seen[index].status);
    }
    return count == wanted;
}

static word step_places(word user) {
    word start;
    asm volatile(SET_TF "nop\n 1: nop\n xor %%eax, %%eax\n cpuid\n" CLEAR_TF "lea 1b(%%rip), %0"
                 : "=r"(start)::"rax", "rbx", "rcx", "rdx", "memory");
    return start;
}

TEST(stepping) {
    begin();
    word start = step_places(0);
    check(steps(0, 7), "a step for each instruction");
    check(seen[0].ip == start && seen[1].ip == start + 1 && seen[2].ip == start + 3 && seen[3].ip == start + 5,
          "places of the steps");
    for (int index = 0; index < 6; index++) check(seen[index].status == (FIXED | BS), "DR6.BS alone");
    begin();
    run_user(step_places, 0);
    check(steps(0, 7), "a step for each instruction of user code");

    begin();
    u8 from[8] = "abcdefg", to[8];
    void *source = from, *target = to;
    word left = 5, place;
    asm volatile("cld\n" SET_TF "1: rep movsb\n" CLEAR_TF "lea 1b(%%rip), %3"
                 : "+S"(source), "+D"(target), "+c"(left), "=r"(place)::"memory");
    check(steps(0, 8), "a step for each element of REP MOVS");
    for (int index = 0; index < 4; index++)
        check(seen[index].ip == place && seen[index].flags >> 16 & 1, "in the middle: the same place, RF set");
    check(seen[4].ip == place + 2 && !(seen[4].flags >> 16 & 1), "at the end: the next place, RF clear");

    begin();
    asm volatile("cli\n" SET_TF "1: sti\n 2: nop\n" CLEAR_TF "cli\n" ::: "memory");
    check(steps(0, 5), "STI holds no step back");

    begin();
    word ss;
    asm volatile("mov %%ss, %0\n" SET_TF "mov %0, %%ss\n 1: nop\n 2: nop\n" CLEAR_TF : "=&r"(ss)::"memory");
    check(steps(0, 5), "MOV SS holds its step back");

    begin();
    asm volatile(SET_TF "nop\n .byte 0xf1\n nop\n" CLEAR_TF ::: "memory");
    check(steps(0, 6), "INT1 among steps");
    check(seen[1].status == (FIXED), "INT1 leaves DR6 alone");

    begin();
    asm volatile(SET_TF "int3\n nop\n" CLEAR_TF ::: "memory");
    check(trap_vector == BP && steps(0, 4), "INT3 does not step into its handler");
}

static volatile u64 data[4] __attribute__((aligned(64)));

static u64 control(int index, int kind, int length) {
    return 0x400 | 2 << (index * 2) | (u64)(kind | length << 2) << (16 + index * 4);
}

TEST(data_breakpoints) {
    static const struct {
        int kind, length, offset, at, size;
        bool store, hit;
        const char *name;
    } cases[] = {
        {1, 3, 0, 0, 4, true, true, "4-byte write, store of all"},
        {1, 3, 0, 0, 4, false, false, "write breakpoint, load"},
        {1, 3, 0, 3, 1, true, true, "store of the last byte"},
        {1, 3, 0, 4, 1, true, false, "store behind"},
        {1, 0, 2, 0, 8, true, true, "1-byte breakpoint in a wide store"},
        {3, 0, 2, 2, 1, false, true, "access breakpoint, load"},
        {3, 1, 2, 1, 1, false, false, "access breakpoint, load before"},
        {3, 1, 3, 2, 1, false, true, "the address is aligned to the length"},
        {1, 2, 8, 15, 1, true, true, "8-byte breakpoint, last byte"},
        {1, 2, 8, 16, 1, true, false, "8-byte breakpoint, behind"},
        {3, 3, 4, 2, 4, false, true, "load that overlaps from before"},
    };
    for (unsigned index = 0; index < sizeof cases / sizeof *cases; index++) {
        int number = index & 3;
        u8 *place = (u8 *)data;
        switch (number) {
        case 0: write_dr0((word)place + (word)cases[index].offset); break;
        case 1: write_dr1((word)place + (word)cases[index].offset); break;
        case 2: write_dr2((word)place + (word)cases[index].offset); break;
        default: write_dr3((word)place + (word)cases[index].offset);
        }
        begin();
        volatile u8 *at = place + cases[index].at;
        write_dr7(control(number, cases[index].kind, cases[index].length));
        word next = 0;
        u64 value = 0;
#define ACCESS(instruction) asm volatile(instruction "\n 1: lea 1b(%%rip), %0" : "=r"(next), "+r"(value) : "r"(at) : "memory")
        if (cases[index].store) {
            if (cases[index].size == 8) ACCESS("mov %1, (%2)");
            else if (cases[index].size == 4) ACCESS("movl %k1, (%2)");
            else ACCESS("movb %b1, (%2)");
        } else {
            if (cases[index].size == 4) ACCESS("movl (%2), %k1");
            else ACCESS("movb (%2), %b1");
        }
        write_dr7(0x400);
        check(count == cases[index].hit, cases[index].name);
        if (count == 1) {
            check(seen[0].ip == next, "a data breakpoint comes after the instruction");
            check_equal(seen[0].status, FIXED | (1u << number), "DR6 names the register");
        }
    }
    // Both a step and a breakpoint at once.
    begin();
    write_dr0((word)data);
    write_dr7(control(0, 1, 3));
    asm volatile(SET_TF "movl $1, (%0)\n" CLEAR_TF ::"r"(data) : "memory");
    write_dr7(0x400);
    check(count == 4 && seen[0].status == (FIXED | BS | 1), "step and breakpoint in one trap");
    // REP STOS hits in the middle.
    begin();
    write_dr1((word)data + 16);
    write_dr7(control(1, 1, 0));
    word left = 32;
    volatile void *target = data;
    asm volatile("rep stosb" : "+D"(target), "+c"(left) : "a"(0) : "memory");
    write_dr7(0x400);
    check(count == 1 && (seen[0].status & 15) == 2, "REP STOS hits a breakpoint once");
    // With MOV SS before it the trap waits for the next instruction.
    begin();
    *(u16 *)data = 0x18;
    write_dr0((word)data);
    write_dr7(control(0, 3, 1));
    word next;
    asm volatile("mov (%1), %%ss\n nop\n 1: lea 1b(%%rip), %0" : "=r"(next) : "r"(data) : "memory");
    write_dr7(0x400);
    check(count == 1 && seen[0].ip == next, "the trap of MOV SS waits");
    begin();
    write_dr7(control(0, 3, 1));
    asm volatile("mov (%1), %%ss\n .byte 0xf1\n 1: lea 1b(%%rip), %0" : "=r"(next) : "r"(data) : "memory");
    write_dr7(0x400);
    check(count == 1 && seen[0].ip == next, "the trap of MOV SS and INT1 are one");
    begin();
    write_dr7(control(0, 3, 1));
    trap_vector = -1;
    asm volatile("mov (%1), %%ss\n int3\n 1: lea 1b(%%rip), %0" : "=r"(next) : "r"(data) : "memory");
    write_dr7(0x400);
    check(count == 1 && trap_vector == BP, "the trap of MOV SS and INT3 are two");
}

TEST(code_breakpoints) {
    extern char here1[], here2[];
    begin();
    write_dr2((word)here1);
    write_dr7(control(2, 0, 0));
    asm volatile("here1: nop\n");
    write_dr7(0x400);
    check(count == 1 && seen[0].ip == (word)here1 && seen[0].status == (FIXED | 4), "instruction breakpoint");
    check(!(seen[0].flags >> 16 & 1), "an instruction breakpoint saves RF clear");
    // RF set by IRET hides it for one instruction only; loops hit every time.
    begin();
    write_dr0((word)here2);
    write_dr7(control(0, 0, 0));
    word turns = 3;
    asm volatile("here2: nop\n dec %0\n jnz here2" : "+r"(turns));
    write_dr7(0x400);
    check(count == 3, "a breakpoint in a loop hits each time");
    // MOV SS hides the next instruction's breakpoint.
    extern char here3[];
    begin();
    write_dr0((word)here3);
    write_dr7(control(0, 0, 0));
    asm volatile("mov %%ss, %%eax\n mov %%eax, %%ss\n here3: nop" ::: "eax");
    write_dr7(0x400);
    check(count == 0, "MOV SS hides a breakpoint");
    // Old status bits stay.
    begin();
    write_dr6(BS | 2);
    write_dr2((word)here1);
    write_dr7(control(2, 0, 0));
    extern char here4[];
    write_dr2((word)here4);
    asm volatile("here4: nop");
    write_dr7(0x400);
    check(count == 1 && seen[0].status == (FIXED | BS | 4), "BS stays, other breakpoints' bits go");
}

TEST(port_breakpoints) {
    write_cr4(read_cr4() | 8);
    begin();
    write_dr3(0x80);
    write_dr7(control(3, 2, 0));
    word next;
    asm volatile("outb %%al, $0x80\n 1: lea 1b(%%rip), %0" : "=r"(next) : "a"(0));
    check(count == 1 && seen[0].ip == next && (seen[0].status & 15) == 8, "breakpoint on a port");
    asm volatile("inb $0x81, %%al" ::: "eax");
    check(count == 1, "another port");
    write_dr7(0x400);
    write_cr4(read_cr4() & ~(word)8);
}

TEST(registers) {
    write_dr6(0);
    check_equal(read_dr6(), FIXED, "DR6 of 0");
    write_dr6(0xFFFFFFFF);
    check_equal(read_dr6(), FIXED | 0xE00F, "DR6 of all ones");
    write_dr6(0);
    ATTEMPT("mov %0, %%dr6", ::"r"((u64)1 << 32) : RESUME_CLOBBER);
    check(trap_vector == GP, "DR6 above bit 31");
    ATTEMPT("mov %0, %%dr7", ::"r"((u64)1 << 32) : RESUME_CLOBBER);
    check(trap_vector == GP, "DR7 above bit 31");
    write_dr7(0);
    check_equal(read_dr7(), 0x400, "DR7 of 0");
    word value;
    write_cr4(read_cr4() & ~(word)8);
    asm volatile(".byte 0x0f, 0x21, 0xe0" : "=a"(value)); // mov dr4, rax
    check_equal(value, FIXED, "DR4 is DR6 without CR4.DE");
    write_cr4(read_cr4() | 8);
    ATTEMPT(".byte 0x0f, 0x21, 0xe0", ::: "eax", RESUME_CLOBBER);
    check(trap_vector == UD, "DR4 with CR4.DE");
    write_cr4(read_cr4() & ~(word)8);
    begin();
    extern char guarded[];
    write_dr7(0x400 | 1 << 13);
    asm volatile("guarded: mov %%dr0, %0" : "=r"(value));
    check(count == 1 && seen[0].ip == (word)guarded && seen[0].status == (FIXED | BD), "general detection");
    check_equal(read_dr7(), 0x400, "GD goes with the exception");
}

TEST(halting) {
    // A step wakes HLT.
    begin();
    word place;
    asm volatile("cli\n" SET_TF "1: hlt\n" CLEAR_TF "lea 1b(%%rip), %0" : "=r"(place)::"memory");
    check(count == 4 && seen[0].ip == place + 1, "a step wakes HLT");
}

int main(void) {
    set_up();
    set_handler(DB, note);
    set_gate(DB, stubs + DB * 16, 0, 0);
    trap_resume = 0;
    stepping();
    data_breakpoints();
    code_breakpoints();
    port_breakpoints();
    registers();
    halting();
    return failures();
}
