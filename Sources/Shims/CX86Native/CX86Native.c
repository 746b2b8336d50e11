// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CX86Native.h"

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

int roost_memfd(const char *name) { return memfd_create(name, MFD_CLOEXEC); }

// Written once, before the handler is installed.
static uint64_t code_start, code_bytes;
static int32_t control_offset;
static uint32_t host_mxcsr;
static struct sigaction previous;

static void on_trap(int number, siginfo_t *info, void *context) {
    ucontext_t *uc = context;
    greg_t *registers = uc->uc_mcontext.gregs;
    if ((uint64_t)registers[REG_RIP] - code_start < code_bytes) {
        struct _libc_fpstate *fp = uc->uc_mcontext.fpregs;
        *(uint32_t *)(registers[REG_RCX] + control_offset) = fp->mxcsr | 1u << 31;
        fp->mxcsr = host_mxcsr;
        // No MMX register stays in use: the abridged tags.
        fp->ftw = 0;
        registers[REG_RIP] = *(greg_t *)registers[REG_RSP];
        registers[REG_RSP] += 8;
        return;
    }
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(number, info, context);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(number);
    } else {
        // The trap comes again and takes the default action.
        sigaction(number, &previous, 0);
    }
}

int roost_catch_vector_traps(const void *start, uint64_t bytes, int32_t offset, uint32_t mxcsr) {
    code_start = (uint64_t)start;
    code_bytes = bytes;
    control_offset = offset;
    host_mxcsr = mxcsr;
    struct sigaction action = {0};
    action.sa_sigaction = on_trap;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    return sigaction(SIGFPE, &action, &previous);
}
