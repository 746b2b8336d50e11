// SPDX-License-Identifier: Apache-2.0
//
// Code that is rewritten for ever, of every kind of place: a store right before the code that it changes, functions made
// one after the other over many pages, a page of code and data, loops without an end until the timer's interrupt.
#include "program.h"

enum { TPR = 0x80, END = 0xB0, SPURIOUS = 0xF0, TIMER = 0x320, INITIAL = 0x380, DIVIDE = 0x3E0 };
enum { VECTOR = 0x51, PAGES = 512, PAGE = 4096 };
static volatile u32 *const controller = (volatile u32 *)0xFEE00000;
static volatile int ticks;
// 2 MiB behind the program.
static u8 *const area = (u8 *)0x800000;

static void tick(struct frame *frame) {
    ticks++;
    controller[END / 4] = 0;
}

static void start_timer(void) {
    set_handler(VECTOR, tick);
    controller[SPURIOUS / 4] = 0x1FF;
    controller[TPR / 4] = 0;
    controller[DIVIDE / 4] = 3;
    controller[TIMER / 4] = 0x20000 | VECTOR;
    controller[INITIAL / 4] = 100000;
    asm volatile("sti");
}

// mov eax, value; ret
static void make(u8 *place, u32 value) {
    place[0] = 0xB8;
    *(u32 *)(place + 1) = value;
    place[5] = 0xC3;
}

static u32 call(u8 *place) { return ((u32(*)(void))place)(); }

static void rewrites_in_place(void) {
    int wrong = 0, before = ticks;
    for (u32 round = 0; round < 30000; round++) {
        make(area, round);
        if (call(area) != round) wrong++;
    }
    check(wrong == 0, "a function that is made again each time");
    check(ticks > before, "the timer goes on meanwhile");
}

static void rewrites_far_and_wide(void) {
    int wrong = 0;
    for (u32 round = 0; round < 200; round++) {
        for (u32 page = 0; page < PAGES; page++) make(area + page * PAGE + round * 16, round ^ page);
        for (u32 page = 0; page < PAGES; page++) {
            if (call(area + page * PAGE + round * 16) != (round ^ page)) wrong++;
        }
    }
    check(wrong == 0, "functions over many pages");
}

// Hot code, then a changed byte of it, again and again: each time it has been translated by then.
static void rewrites_hot_code(void) {
    int wrong = 0;
    for (u32 round = 0; round < 400; round++) {
        make(area + PAGE, round);
        for (u32 times = 0; times < 200; times++) {
            if (call(area + PAGE) != round) wrong++;
        }
    }
    check(wrong == 0, "hot code that changes");
}

// The store changes the instruction right behind it.
static void rewrites_what_follows(void) {
    u32 wrong = 0, value;
    for (u32 round = 0; round < 5000; round++) {
        asm volatile("movl %1, 1f+1(%%rip)\n"
                     "1: movl $0, %%eax\n"
                     : "=a"(value)
                     : "r"(round)
                     : "memory");
        if (value != round) wrong++;
    }
    check(wrong == 0, "an instruction that the one before it changes");
}

// Data in a page of code changes, code does not.
static void writes_beside_code(void) {
    volatile u32 *data = (volatile u32 *)(area + 2 * PAGE + 2048);
    u32 sum = 0;
    *data = 0;
    make(area + 2 * PAGE, 1);
    for (u32 round = 0; round < 200000; round++) {
        sum += call(area + 2 * PAGE);
        *data += 1;
    }
    check(sum == 200000, "code beside data");
    check(*data == 200000, "data beside code");
}

// A loop that nothing ends but an interrupt, in code of one block and of two that are linked.
static void waits_without_end(void) {
    for (int round = 0; round < 20; round++) {
        int before = ticks;
        while (ticks == before) {}
    }
    check(true, "an interrupt ends a loop");
    int before = ticks;
    asm volatile("1: jmp 2f\n .balign 64\n 2: cmpl %1, %0\n je 1b" ::"m"(ticks), "r"(before) : "memory");
    check(ticks != before, "an interrupt ends a loop of two blocks");
}

int main(void) {
    out8(0x21, 0xFF);
    out8(0xA1, 0xFF);
    set_up();
    start_timer();
    rewrites_in_place();
    rewrites_far_and_wide();
    rewrites_hot_code();
    rewrites_what_follows();
    writes_beside_code();
    waits_without_end();
    return failures();
}
