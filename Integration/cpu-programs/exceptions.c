// SPDX-License-Identifier: Apache-2.0
//
// Exceptions of 64-bit mode: vectors, error codes, saved places and their order.
#include "program.h"

#define EXPECT(vector, error, name)                                                                                    \
    do {                                                                                                               \
        check_equal((u64)(int64_t)trap_vector, (u64)(int64_t)(vector), name);                                          \
        if ((vector) >= 0) check_equal(trap_error, error, name " (error code)");                                       \
    } while (0)
#define TRY(code, vector, error, name)                                                                                 \
    do {                                                                                                               \
        ATTEMPT(code, ::"a"(0x1234567812345678), "b"(&scratch), "c"(0), "d"(0), "S"(0x8000000000000000),               \
                "D"(0x7fffffffffffffff)                                                                                \
                : RESUME_CLOBBER);                                                                                     \
        EXPECT(vector, error, name);                                                                                   \
    } while (0)

static u64 scratch[64] __attribute__((aligned(64)));

TEST(arithmetic) {
    TRY("div %%rcx", DE, 0, "DIV by zero");
    TRY("idiv %%cl", DE, 0, "IDIV by zero");
    TRY("mov $0x80000000, %%eax\n mov $-1, %%edx\n mov $-1, %%ecx\n idiv %%ecx", DE, 0, "IDIV overflow");
    TRY("mov $1, %%edx\n mov $1, %%ecx\n div %%ecx", DE, 0, "DIV overflow");
    TRY("int3", BP, 0, "INT3");
    word place = trap_ip;
    check(*(u8 *)(place - 1) == 0xCC, "INT3 saves the next instruction");
    TRY("2: div %%rcx", DE, 0, "DIV again");
    check(*(u8 *)trap_ip == 0x48, "DIV saves its own place");
    check(trap_flags >> 16 & 1, "a fault saves RF");
    TRY("ud2", UD, 0, "UD2");
    TRY("int $0x20", 0x20, 0, "INT n");
}

TEST(undefined) {
    TRY(".byte 0xf0, 0x90", UD, 0, "LOCK NOP");
    TRY("lock; .byte 0x01, 0xc0", UD, 0, "LOCK ADD of registers");
    TRY(".byte 0xf0, 0x8b, 0x03", UD, 0, "LOCK MOV");
    TRY(".byte 0x8d, 0xc0", UD, 0, "LEA of a register");
    TRY(".byte 0x0f, 0x0b", UD, 0, "UD2 bytes");
    TRY(".byte 0x0f, 0xff, 0xc0", UD, 0, "UD0");
    TRY(".byte 0x0f, 0xb9, 0xc0", UD, 0, "UD1");
    TRY(".byte 0x06", UD, 0, "PUSH ES in 64-bit mode");
    TRY(".byte 0x27", UD, 0, "DAA in 64-bit mode");
    TRY(".byte 0x60", UD, 0, "PUSHA in 64-bit mode");
    TRY(".byte 0xd4, 0x0a", UD, 0, "AAM in 64-bit mode");
    TRY(".byte 0xce", UD, 0, "INTO in 64-bit mode");
    TRY(".byte 0xea, 0, 0, 0, 0, 0, 0", UD, 0, "direct far JMP in 64-bit mode");
    TRY(".byte 0x9a, 0, 0, 0, 0, 0, 0", UD, 0, "direct far CALL in 64-bit mode");
    TRY(".byte 0x82, 0xc0, 0", UD, 0, "opcode 82 in 64-bit mode");
    TRY(".byte 0x0f, 0x20, 0xc8", UD, 0, "MOV from CR1");
    TRY(".byte 0x0f, 0x20, 0xe8", UD, 0, "MOV from CR5");
    TRY(".byte 0x8e, 0xc8", UD, 0, "MOV to CS");
    TRY(".byte 0x8e, 0xf0", UD, 0, "MOV to segment register 6");
    TRY(".byte 0x8c, 0xf0", UD, 0, "MOV from segment register 6");
    TRY(".byte 0x0f, 0x01, 0xc0", trap_vector, trap_error, "VMX absent or not");
    TRY(".byte 0xc7, 0xc8, 0, 0, 0, 0", UD, 0, "C7 /1");
    TRY(".byte 0xfe, 0xd0", UD, 0, "FE /2");
    TRY(".byte 0xff, 0xd8", UD, 0, "far CALL of a register");
    TRY(".byte 0xff, 0xf8", UD, 0, "FF /7");
    TRY(".byte 0x8f, 0xc8", UD, 0, "8F /1");
    TRY(".byte 0x0f, 0xba, 0xc0, 0", UD, 0, "0F BA /0");
    TRY(".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90", GP, 0, "16 bytes");
    TRY(".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90", -1, 0, "15 bytes");
    TRY(".byte 0x0f, 0xc7, 0xc8", UD, 0, "CMPXCHG8B of a register");
}

TEST(segments) {
    enum { FREE = 0x58 };
    u64 data = 0x00CF93000000FFFF;
    table[FREE / 8] = data & ~((u64)1 << 47);
    TRY("mov $0x58, %%eax\n mov %%eax, %%ds", NP, 0x58, "DS not present");
    TRY("mov $0x58, %%eax\n mov %%eax, %%ss", SS, 0x58, "SS not present");
    TRY("mov $0x59, %%eax\n mov %%eax, %%fs", GP, 0x58, "privilege comes before presence, RPL is not in the code");
    table[FREE / 8] = 0x00AF99000000FFFF; // execute only
    TRY("mov $0x58, %%eax\n mov %%eax, %%ds", GP, 0x58, "DS of execute-only code");
    TRY("mov $0x58, %%eax\n mov %%eax, %%ss", GP, 0x58, "SS of code");
    TRY("mov $0xff8, %%eax\n mov %%eax, %%ds", GP, 0xff8, "DS beyond the table");
    TRY("mov $0x5c, %%eax\n mov %%eax, %%ds", GP, 0x5c, "DS in an LDT that is not there");
    TRY("mov $0x2b, %%eax\n mov %%eax, %%ss", GP, 0x28, "SS of another privilege");
    TRY("mov $0x19, %%eax\n mov %%eax, %%ss", GP, 0x18, "SS with another RPL");
    TRY("mov $3, %%eax\n mov %%eax, %%ss", GP, 0, "SS null with another RPL");
    TRY("mov $0x48, %%eax\n mov %%eax, %%ds", GP, 0x48, "DS of a TSS");
    TRY("mov $0x48, %%eax\n ltr %%ax", GP, 0x48, "LTR of a busy TSS");
    TRY("xor %%eax, %%eax\n ltr %%ax", GP, 0, "LTR of null");
    TRY("mov $0x18, %%eax\n lldt %%ax", GP, 0x18, "LLDT of a data segment");
    TRY("xor %%eax, %%eax\n lldt %%ax", -1, 0, "LLDT of null");
    table[FREE / 8] = 0x0000020000000000 | 0xFF; // LDT, not present
    table[FREE / 8 + 1] = 0;
    TRY("mov $0x58, %%eax\n lldt %%ax", NP, 0x58, "LLDT not present");
    table[FREE / 8] = data & ~(u64)0x10000000000;
    ATTEMPT("mov $0x58, %%eax\n mov %%eax, %%gs\n xor %%eax, %%eax\n mov %%eax, %%gs", ::: "eax", RESUME_CLOBBER);
    check(table[FREE / 8] >> 40 & 1, "a load sets the accessed bit");
    u32 rights = 0;
    bool is_set;
    asm volatile("lar %2, %0\n setz %1" : "+r"(rights), "=qm"(is_set) : "r"(0x58));
    check(is_set && (rights & 0xF0FF00) == 0x00C09300, "LAR");
    asm volatile("lsl %2, %0\n setz %1" : "+r"(rights), "=qm"(is_set) : "r"(0x58));
    check(is_set && rights == 0xFFFFFFFF, "LSL");
    asm volatile("lar %2, %0\n setz %1" : "+r"(rights), "=qm"(is_set) : "r"(0xff8));
    check(!is_set, "LAR beyond the table");
    asm volatile("lar %2, %0\n setz %1" : "+r"(rights), "=qm"(is_set) : "r"(0x48));
    check(is_set && (rights & 0x1F00) == 0x0B00, "LAR of a busy TSS");
    asm volatile("verw %1\n setz %0" : "=qm"(is_set) : "r"((u16)0x08));
    check(!is_set, "VERW of code");
    asm volatile("verr %1\n setz %0" : "=qm"(is_set) : "r"((u16)0x08));
    check(is_set, "VERR of readable code");
    asm volatile("verr %1\n setz %0" : "=qm"(is_set) : "r"((u16)0));
    check(!is_set, "VERR of null");
    table[FREE / 8] = 0;
}

TEST(transfers) {
    TRY("movq $0, 128(%%rbx)\n rex.W ljmp *128(%%rbx)", GP, 0, "far JMP to null");
    TRY("movq $0, 128(%%rbx)\n movq $0x18, 136(%%rbx)\n rex.W ljmp *128(%%rbx)", GP, 0x18, "far JMP to data");
    TRY("mov %%rsi, 128(%%rbx)\n movq $0x08, 136(%%rbx)\n rex.W ljmp *128(%%rbx)", trap_vector, trap_error, "");
    TRY("mov %%rsi, 128(%%rbx)\n jmp *128(%%rbx)", GP, 0, "JMP to a non-canonical address");
    TRY("mov %%rsi, 128(%%rbx)\n call *128(%%rbx)", GP, 0, "CALL to a non-canonical address");
    ATTEMPT("mov %%rsp, %%r14\n push %0\n ret\n", ::"S"(0x8000000000000000) : RESUME_CLOBBER, "r14");
    asm volatile("add $8, %rsp");
    EXPECT(GP, 0, "RET to a non-canonical address");
    // IRET: frames with faults. RSP is put back by hand.
#define RETURNING(ss, cs, ip, vector, error, name)                                                                     \
    do {                                                                                                               \
        ATTEMPT("mov %%rsp, %%r14\n pushq %0\n pushq %%r14\n pushfq\n pushq %1\n pushq %2\n iretq",                    \
                ::"r"((u64)(ss)), "r"((u64)(cs)), "r"((u64)(ip))                                                       \
                : RESUME_CLOBBER, "r14");                                                                              \
        if (trap_vector >= 0) asm volatile("add $40, %rsp");                                                           \
        EXPECT(vector, error, name);                                                                                   \
    } while (0)
    RETURNING(0x18, 0, 0, GP, 0, "IRET to null");
    RETURNING(0x18, 0x18, 0, GP, 0x18, "IRET to data");
    RETURNING(0x18, 0x0b, 0, GP, 0x08, "IRET with RPL above DPL");
    RETURNING(0x18, 0x08, 0x8000000000000000, GP, 0, "IRET to a non-canonical address");
    RETURNING(0x2b, 0x08, 0x1000, GP, 0x28, "IRET with a stack of another privilege");
    RETURNING(0, 0x33, 0x1000, GP, 0, "IRET to user code with a null stack");
    RETURNING(0x18, 0x33, 0x1000, GP, 0x18, "IRET to user code with a kernel stack");
    ATTEMPT("mov %%rsp, %%r14\n pushfq\n orl $0x4000, (%%rsp)\n popfq\n iretq", ::: RESUME_CLOBBER, "r14");
    asm volatile("pushfq\n andl $~0x4000, (%rsp)\n popfq");
    EXPECT(GP, 0, "IRET with NT in long mode");
}

static word user_int(word vector) {
    if (vector == 0x20) asm volatile("int $0x20");
    if (vector == 3) asm volatile("int3");
    if (vector == 1) asm volatile(".byte 0xf1");
    if (vector == 4) asm volatile("cli");
    if (vector == 5) asm volatile("hlt");
    if (vector == 6) asm volatile("in $0x80, %%al" ::: "eax");
    if (vector == 7) asm volatile("mov %%cr0, %%rax" ::: "rax");
    if (vector == 8) asm volatile("lgdt (%%rsp)" ::: "memory");
    if (vector == 9) asm volatile("wbinvd");
    if (vector == 10) asm volatile("mov %%dr0, %%rax" ::: "rax");
    if (vector == 11) asm volatile("mov %0, %%ds" ::"r"(0x18));
    if (vector == 12) asm volatile("swapgs");
    if (vector == 13) asm volatile("sysretq");
    if (vector == 14) asm volatile("clts");
    if (vector == 15) asm volatile("invlpg (%rsp)");
    if (vector == 16) asm volatile("rdmsr" ::"c"(0x1B) : "eax", "edx");
    if (vector == 17) asm volatile("mov %%rax, %%cr8" ::"a"(0));
    return 0x77;
}

extern char user_return[];
static int user_vector;
static word user_error, user_ip;
static void user_trap(struct frame *frame) {
    user_vector = (int)frame->vector;
    user_error = frame->error;
    user_ip = frame->ip;
    check((frame->cs & 3) == 3, "the exception came from user code");
    asm volatile("jmp user_return");
}

TEST(user_mode) {
    check_equal(run_user(user_int, 0), 0x77, "user code runs and comes back");
    int vectors[] = {DB, BP, UD, GP, PF};
    for (int index = 0; index < 5; index++) set_handler(vectors[index], user_trap);
    static const struct {
        int argument, vector;
        word error;
        const char *name;
    } cases[] = {
        {0x20, GP, 0x20 * 8 + 2, "INT n through a gate of DPL 0"}, {3, BP, 0, "INT3 of user code"},
        {1, DB, 0, "INT1 ignores the gate's DPL"}, {4, GP, 0, "CLI of user code"}, {5, GP, 0, "HLT of user code"},
        {6, GP, 0, "IN of user code"}, {7, GP, 0, "MOV from CR0 of user code"}, {8, GP, 0, "LGDT of user code"},
        {9, GP, 0, "WBINVD of user code"}, {10, GP, 0, "MOV from DR0 of user code"},
        {11, GP, 0x18, "user code loads a kernel segment"}, {12, GP, 0, "SWAPGS of user code"},
        {13, GP, 0, "SYSRET of user code"}, {14, GP, 0, "CLTS of user code"}, {15, GP, 0, "INVLPG of user code"},
        {16, GP, 0, "RDMSR of user code"}, {17, GP, 0, "MOV to CR8 of user code"},
    };
    for (unsigned index = 0; index < sizeof cases / sizeof *cases; index++) {
        user_vector = -1;
        run_user(user_int, (word)cases[index].argument);
        check_equal((u64)user_vector, (u64)cases[index].vector, cases[index].name);
        check_equal(user_error, cases[index].error, cases[index].name);
    }
    // The permission map of the TSS lets a port through.
    task[104 + 0x80 / 8] = 0xFE;
    user_vector = -1;
    check_equal(run_user(user_int, 6), 0x77, "IN of a permitted port");
    task[104 + 0x80 / 8] = 0xFF;
    for (int index = 0; index < 5; index++) set_handler(vectors[index], 0);
}

static volatile bool touched;
static word unaligned(word flags) {
    u64 bytes[2] = {0, 0};
    write_flags(read_flags() | flags);
    u32 value;
    asm volatile("movl %1, %0" : "=r"(value) : "m"(*((u8 *)bytes + 1)));
    touched = true;
    return 1;
}

TEST(alignment) {
    set_handler(AC, user_trap);
    write_cr0(read_cr0() | 1 << 18);
    touched = false;
    user_vector = -1;
    run_user(unaligned, 1 << 18);
    check(user_vector == AC && user_error == 0 && !touched, "#AC for unaligned data with AM and AC");
    run_user(unaligned, 0);
    check(touched, "no #AC without AC");
    write_cr0(read_cr0() & ~(word)(1 << 18));
    touched = false;
    run_user(unaligned, 1 << 18);
    check(touched, "no #AC without AM");
    set_handler(AC, 0);
}

TEST(nesting) {
    // A #GP whose gate is not present: #NP on the way, so a double fault.
    *(u64 *)(task + 0x24) = (word)(task + 8192);
    set_gate(DF, stubs + DF * 16, 0, 0);
    struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) pointer;
    asm volatile("sidt %0" : "=m"(pointer));
    u8 *gate = (u8 *)pointer.base + GP * 16;
    gate[5] &= 0x7F;
    TRY("mov (%%rsi), %%rax", DF, 0, "#GP through a gate that is not present");
    TRY("int $13", NP, 13 * 8 + 2, "INT 13 through a gate that is not present");
    gate[5] |= 0x80;
    // A gate of the wrong type.
    gate = (u8 *)pointer.base + 0x30 * 16;
    gate[5] = 0x85;
    TRY("int $0x30", GP, 0x30 * 8 + 2, "INT through a task gate in long mode");
    gate[5] = 0x8E;
    gate[2] = 0x10;
    TRY("int $0x30", GP, 0x10, "INT to a 32-bit code segment");
    gate[2] = 0x18;
    TRY("int $0x30", GP, 0x18, "INT to a data segment");
    gate[2] = 0;
    TRY("int $0x30", GP, 0, "INT to a null segment");
    gate[2] = 8;
    u16 limit = pointer.limit;
    pointer.limit = 0x30 * 16 + 14;
    asm volatile("lidt %0" ::"m"(pointer));
    TRY("int $0x30", GP, 0x30 * 8 + 2, "INT beyond the table");
    pointer.limit = limit;
    asm volatile("lidt %0" ::"m"(pointer));
    // Trap gates keep IF, interrupt gates clear it.
    TRY("int $0x31", 0x31, 0, "INT 31");
}

extern char gate_target[];
asm("gate_target: mov %rsp, %r12\n mov (%rsp), %r13\n mov %cs, %ebx\n mov %ss, %ecx\n lretq\n");
static word call_gate(word unused) {
    u64 pointer[2] = {0xdeadbeef, 0x5B};
    word cs = 0, ss = 0, sp;
    asm volatile("mov %%rsp, %%r11\n rex.W lcall *%3\n mov %%rsp, %2\n sub %%r11, %2"
                 : "=b"(cs), "=c"(ss), "=&r"(sp)
                 : "m"(*pointer)
                 : "r10", "r11", "r12", "r13", "memory");
    return (cs & 0xFFFF) | (ss & 0xFFFF) << 16 | sp << 32;
}

TEST(gates) {
    u64 target = (word)gate_target;
    table[0x58 / 8] = (target & 0xFFFF) | (u64)0x08 << 16 | (u64)0xEC << 40 | (target >> 16 & 0xFFFF) << 48;
    table[0x60 / 8] = target >> 32;
    check_equal(run_user(call_gate, 0), 0x08, "call through a 64-bit gate: CS 8, null SS, stack restored");
    table[0x60 / 8] |= (u64)0x0C << 40;
    set_handler(GP, user_trap);
    run_user(call_gate, 0);
    check(user_error == 0x58, "a gate with a type in its upper half");
    set_handler(GP, 0);
    table[0x58 / 8] = table[0x60 / 8] = 0;
}

extern char syscall_entry[];
asm("syscall_entry: mov %rsp, %r12\n mov %rcx, %r13\n mov %r11, %r14\n pushfq\n pop %rbx\n mov %cs, %edx\n mov %ss, %esi\n"
    "mov %r12, %rsp\n sysretq\n");
static word do_syscall(word flags) {
    word rbx, dx, si, r11, after, cs, ss;
    asm volatile("pushfq\n or %7, (%%rsp)\n popfq\n syscall\n pushfq\n pop %4\n mov %%cs, %5\n mov %%ss, %6"
                 : "=&b"(rbx), "=&d"(dx), "=&S"(si), "=&r"(r11), "=&r"(after), "=&r"(cs), "=&r"(ss)
                 : "D"(flags)
                 : "rcx", "r11", "r12", "r13", "r14", "memory", "cc");
    bool holds = (dx & 0xFFFF) == 0x08 && (si & 0xFFFF) == 0x10 && (cs & 0xFFFF) == 0x33 && (ss & 0xFFFF) == 0x2B;
    return holds | (rbx & 0xCD5) << 4 | (after & 0xCD5) << 20;
}

TEST(system_calls) {
    write_msr(0xC0000081, (u64)0x23 << 48 | (u64)0x08 << 32);
    write_msr(0xC0000082, (word)syscall_entry);
    write_msr(0xC0000084, 0x400);
    word result = run_user(do_syscall, 0xC01);
    check(result & 1, "SYSCALL and SYSRET load selectors from STAR");
    check((result >> 4 & 0xC01) == 0x801, "SYSCALL clears the flags of its mask");
    check((result >> 20 & 0xC01) == 0xC01, "SYSRET brings the flags back");
    write_msr(0xC0000080, read_msr(0xC0000080) & ~(u64)1);
    set_handler(UD, user_trap);
    user_vector = -1;
    run_user(do_syscall, 0);
    check(user_vector == UD, "SYSCALL without EFER.SCE");
    set_handler(UD, 0);
    write_msr(0xC0000080, read_msr(0xC0000080) | 1);
}

TEST(floating_point) {
    write_cr0((read_cr0() & ~(word)2) | 8);
    TRY("fld1", NM, 0, "x87 with CR0.TS");
    TRY("movaps %%xmm0, %%xmm1", NM, 0, "SSE with CR0.TS");
    TRY("fwait", -1, 0, "FWAIT with TS and without MP");
    write_cr0(read_cr0() | 2);
    TRY("fwait", NM, 0, "FWAIT with TS and MP");
    asm volatile("clts");
    write_cr0((read_cr0() & ~(word)2) | 4);
    TRY("fld1", NM, 0, "x87 with CR0.EM");
    TRY("movaps %%xmm0, %%xmm1", UD, 0, "SSE with CR0.EM");
    TRY("movq %%mm0, %%mm1", UD, 0, "MMX with CR0.EM");
    write_cr0((read_cr0() & ~(word)4) | 2);
    write_cr4(read_cr4() & ~(word)0x200);
    TRY("movaps %%xmm0, %%xmm1", UD, 0, "SSE without CR4.OSFXSR");
    write_cr4(read_cr4() | 0x200);
    TRY("movaps 8(%%rbx), %%xmm0", GP, 0, "MOVAPS of unaligned memory");
    TRY("movups 8(%%rbx), %%xmm0", -1, 0, "MOVUPS of unaligned memory");
    u16 control = 0x37F & ~4;
    TRY("fninit\n fld1\n fldz", -1, 0, "");
    asm volatile("fldcw %0" ::"m"(control));
    TRY("fdivrp\n nop\n fwait", MF, 0, "#MF at the next waiting instruction");
    asm volatile("fnclex\n fninit");
    u32 mxcsr = 0x1F80 & ~0x200;
    asm volatile("ldmxcsr %0" ::"m"(mxcsr));
    TRY("xorps %%xmm1, %%xmm1\n mov $0x3f800000, %%eax\n movd %%eax, %%xmm0\n divss %%xmm1, %%xmm0", XM, 0, "#XM");
    write_cr4(read_cr4() & ~(word)0x400);
    TRY("xorps %%xmm1, %%xmm1\n mov $0x3f800000, %%eax\n movd %%eax, %%xmm0\n divss %%xmm1, %%xmm0", UD, 0,
        "#UD for an SSE exception without CR4.OSXMMEXCPT");
    write_cr4(read_cr4() | 0x400);
    mxcsr = 0x1F80;
    asm volatile("ldmxcsr %0" ::"m"(mxcsr));
    mxcsr = 0x10000;
    ATTEMPT("ldmxcsr %0", ::"m"(mxcsr) : RESUME_CLOBBER);
    EXPECT(GP, 0, "LDMXCSR of a reserved bit");
}

int main(void) {
    set_up();
    arithmetic();
    undefined();
    TRY("mov (%%rsi), %%rax", GP, 0, "load from a non-canonical address");
    TRY("mov %%rax, (%%rdi)", GP, 0, "store to a non-canonical address");
    // The frame pointer is the compiler's: put back whether or not the load faults.
    asm volatile("mov %%rbp, %%r14\n leaq 1f(%%rip), %%r15\n movq %%r15, trap_resume(%%rip)\n mov %0, %%rbp\n"
                 "mov (%%rbp), %%rax\n 1: mov %%r14, %%rbp" ::"S"(0x8000000000000000)
                 : "rax", "r14", "r15", "memory");
    EXPECT(SS, 0, "load from a non-canonical address by RBP");
    segments();
    transfers();
    user_mode();
    alignment();
    nesting();
    gates();
    system_calls();
    floating_point();
    return failures();
}
