// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CHostOracle.h"

#include <asm/ldt.h>
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

// The page that the entry code reaches without any register.
#define SHARED 0x0F000000

struct shared {
    struct roost_oracle_state state;
    uint64_t host_rsp;
    uint64_t target;
    uint32_t far_offset;
    uint16_t far_selector;
    uint16_t pad;
    uint64_t avx;
};

#define FIELD(name) (SHARED + offsetof(struct shared, name))

static uint8_t *code_alias, *data_alias;
// The thread that runs the instruction; 0 for none. Other threads have signals of their own.
static volatile long active;
static int has_segments;
static struct sigaction previous[NSIG];

// The local descriptor table's entries for 16-bit code, its data and its stack, as selectors.
#define CODE16 0x07
#define DATA16 0x0F
#define STACK16 0x17

// rdi = address of the code, rsi = 1 for AVX, rdx = 1 for 32-bit code, 2 for 16-bit code.
__attribute__((naked)) static void enter(uint64_t code, uint64_t avx, uint64_t compatible) {
    __asm__ volatile(
        "pushq %%rbx; pushq %%rbp; pushq %%r12; pushq %%r13; pushq %%r14; pushq %%r15\n"
        "movq %%rsp, %c[host]\n"
        "fxrstor64 %c[fx]\n"
        "testq %%rsi, %%rsi; jnz 1f\n"
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n movups %c[ymm]+32*\\n, %%xmm\\n\n .endr\n"
        "jmp 2f\n"
        "1: .irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n vmovups %c[ymm]+32*\\n, %%ymm\\n\n .endr\n"
        "2: testq %%rdx, %%rdx; jnz 3f\n"
        "pushq %c[flags]; popfq\n"
        "movq %c[gpr]+0, %%rax; movq %c[gpr]+8, %%rcx; movq %c[gpr]+16, %%rdx; movq %c[gpr]+24, %%rbx\n"
        "movq %c[gpr]+32, %%rsp; movq %c[gpr]+40, %%rbp; movq %c[gpr]+48, %%rsi; movq %c[gpr]+56, %%rdi\n"
        "movq %c[gpr]+64, %%r8; movq %c[gpr]+72, %%r9; movq %c[gpr]+80, %%r10; movq %c[gpr]+88, %%r11\n"
        "movq %c[gpr]+96, %%r12; movq %c[gpr]+104, %%r13; movq %c[gpr]+112, %%r14; movq %c[gpr]+120, %%r15\n"
        "jmpq *%c[target]\n"
        "3: pushq %c[flags]\n"
        // A 64-bit process has null selectors in DS and ES.
        "movl $0x2B, %%eax; cmpq $2, %%rdx; jne 4f; movl %[data16], %%eax\n"
        "4: movl %%eax, %%ds; movl %%eax, %%es; popfq\n"
        // LEA and JRCXZ keep the flags.
        "movq %%rdx, %%rcx; leaq -1(%%rcx), %%rcx; jrcxz 5f; movl %[stack16], %%eax; movl %%eax, %%ss\n"
        "5:\n"
        "movq %c[gpr]+0, %%rax; movq %c[gpr]+8, %%rcx; movq %c[gpr]+16, %%rdx; movq %c[gpr]+24, %%rbx\n"
        "movq %c[gpr]+32, %%rsp; movq %c[gpr]+40, %%rbp; movq %c[gpr]+48, %%rsi; movq %c[gpr]+56, %%rdi\n"
        "ljmpl *%c[far]\n"
        :
        : [host] "i"(FIELD(host_rsp)), [fx] "i"(FIELD(state.fxsave)), [ymm] "i"(FIELD(state.ymm)),
          [flags] "i"(FIELD(state.rflags)), [gpr] "i"(FIELD(state.gpr)), [target] "i"(FIELD(target)),
          [far] "i"(FIELD(far_offset)), [data16] "i"(DATA16), [stack16] "i"(STACK16));
}

// Where the signal handler returns to, on the host's stack as `enter` left it.
__attribute__((naked)) static void leave(void) {
    __asm__ volatile("popq %r15; popq %r14; popq %r13; popq %r12; popq %rbp; popq %rbx; ret");
}

static const int gpr_order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static void finish(int number, siginfo_t *info, void *context) {
    ucontext_t *uc = context;
    greg_t *gregs = uc->uc_mcontext.gregs;
    if (active == 0 || active != syscall(SYS_gettid)) {
        // Not ours. Without an earlier handler the default action takes the process down when the instruction runs
        // again.
        if (previous[number].sa_flags & SA_SIGINFO) previous[number].sa_sigaction(number, info, context);
        else sigaction(number, &previous[number], 0);
        return;
    }
    active = 0;
    struct shared *shared = (struct shared *)SHARED;
    struct roost_oracle_state *state = &shared->state;
    for (int i = 0; i < 16; i++) state->gpr[i] = (uint64_t)gregs[gpr_order[i]];
    state->rip = (uint64_t)gregs[REG_RIP];
    state->rflags = (uint64_t)gregs[REG_EFL];
    state->vector = (uint64_t)gregs[REG_TRAPNO];
    state->error = (uint64_t)gregs[REG_ERR];
    state->address = (uint64_t)gregs[REG_CR2];
    uint8_t *image = (uint8_t *)uc->uc_mcontext.fpregs;
    memcpy(state->fxsave, image, 512);
    uint64_t components;
    memcpy(&components, image + 512, 8);
    // The frame has the standard XSAVE format; AVX is at 576 on every processor.
    for (int i = 0; i < 16; i++) {
        memcpy(state->ymm + 32 * i, image + 160 + 16 * i, 16);
        if (!shared->avx || !(components & 4)) memset(state->ymm + 32 * i + 16, 0, 16);
        else memcpy(state->ymm + 32 * i + 16, image + 576 + 16 * i, 16);
    }
    gregs[REG_RIP] = (greg_t)(uintptr_t)leave;
    gregs[REG_RSP] = (greg_t)shared->host_rsp;
    gregs[REG_EFL] = 0x202;
    // CS in the low 16 bits, SS in the top ones.
    gregs[REG_CSGSFS] = (greg_t)(((uint64_t)gregs[REG_CSGSFS] & 0x0000FFFFFFFF0000ull) | 0x33 | (uint64_t)0x2B << 48);
    uint16_t control = 0x37F;
    uint32_t mxcsr = 0x1F80;
    memset(image, 0, 24);
    memcpy(image, &control, 2);
    memcpy(image + 24, &mxcsr, 4);
}

int roost_oracle_has_avx(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1u << 27)) || !(c & (1u << 28))) return 0;
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & 6) == 6;
}

// Segments of 64 KiB over code and data, for 16-bit code.
static int make_segments(uint64_t code, uint64_t data) {
    struct user_desc entries[3] = {
        {.entry_number = 0, .base_addr = (unsigned)code, .limit = 0xFFFF, .contents = 2, .useable = 1},
        {.entry_number = 1, .base_addr = (unsigned)data, .limit = 0xFFFF, .useable = 1},
        {.entry_number = 2, .base_addr = (unsigned)data, .limit = 0xFFFF, .useable = 1},
    };
    for (int i = 0; i < 3; i++)
        if (syscall(SYS_modify_ldt, 1, &entries[i], sizeof entries[i])) return -1;
    return 0;
}

static void *map_at(uint64_t address, uint64_t bytes, int protection, int flags, int fd) {
    void *wanted = (void *)(uintptr_t)address;
    void *got = mmap(wanted, bytes, protection, flags | (address ? MAP_FIXED_NOREPLACE : 0), fd, 0);
    return got == MAP_FAILED || (address && got != wanted) ? 0 : got;
}

int roost_oracle_prepare(uint64_t code, uint64_t code_bytes, uint64_t data, uint64_t data_bytes,
                         uint64_t read_only_bytes) {
    static int prepared;
    if (!prepared) {
        if (!map_at(SHARED, (sizeof(struct shared) + 4095) & ~4095ull, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1))
            return errno ? errno : EEXIST;
        int fd = memfd_create("oracle-code", MFD_CLOEXEC);
        int data_fd = memfd_create("oracle-data", MFD_CLOEXEC);
        if (fd < 0 || data_fd < 0 || ftruncate(fd, (off_t)code_bytes) || ftruncate(data_fd, (off_t)data_bytes))
            return errno;
        code_alias = map_at(0, code_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
        data_alias = map_at(0, data_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, data_fd);
        if (!code_alias || !data_alias || !map_at(code, code_bytes, PROT_READ | PROT_EXEC, MAP_SHARED, fd) ||
            !map_at(data, data_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, data_fd))
            return errno ? errno : EEXIST;
        // Present before they are protected: the error code of a fault tells whether a page is there.
        for (uint64_t page = 0; page < data_bytes; page += 4096) *(volatile uint8_t *)(uintptr_t)(data + page) = 0;
        if (mprotect((void *)(uintptr_t)(data + data_bytes - read_only_bytes), read_only_bytes, PROT_READ))
            return errno;
    }
    stack_t stack = {0};
    stack.ss_size = 64 << 10;
    stack.ss_sp = mmap(0, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, 0)) return errno;
    if (prepared) return 0;
    has_segments = make_segments(code, data) == 0;
    struct sigaction action = {0};
    action.sa_sigaction = finish;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    int signals[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
        if (sigaction(signals[i], &action, &previous[signals[i]])) return errno;
    prepared = 1;
    return 0;
}

int roost_oracle_has_segments(void) { return has_segments; }

uint8_t *roost_oracle_code(void) { return code_alias; }
uint8_t *roost_oracle_data(void) { return data_alias; }

void roost_oracle_run(struct roost_oracle_state *state, int bits, int avx) {
    struct shared *shared = (struct shared *)SHARED;
    shared->state = *state;
    shared->target = state->rip;
    // 0x23 is Linux's user code segment for 32-bit code.
    shared->far_offset = (uint32_t)state->rip;
    shared->far_selector = bits == 16 ? CODE16 : 0x23;
    shared->avx = (uint64_t)avx;
    active = syscall(SYS_gettid);
    enter(state->rip, (uint64_t)avx, bits == 64 ? 0 : bits == 32 ? 1 : 2);
    *state = shared->state;
}
