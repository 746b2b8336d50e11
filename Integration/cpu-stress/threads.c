// SPDX-License-Identifier: Apache-2.0
//
// threads [ROUNDS]: what threads can get wrong on a processor: locked arithmetic, futexes, signals, pages that are taken
// away and put back, code that one thread rewrites and all run. Prints one line for each part and exits 1 if one of them
// computed wrong.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { THREADS = 4, PAGE = 4096, PAGES = 16 };

static int rounds = 20000;
static int failures;
static pthread_barrier_t barrier;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;

static void check(const char *name, long found, long wanted) {
    printf("%s: %s (%ld)\n", name, found == wanted ? "right" : "WRONG", found);
    if (found != wanted) failures++;
}

static void run(void *(*body)(void *)) {
    pthread_t threads[THREADS];
    for (long i = 0; i < THREADS; i++) pthread_create(&threads[i], 0, body, (void *)i);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], 0);
}

// Counters by each kind of locked instruction.
static atomic_long added, exchanged;
static _Alignas(16) __int128 pair;
static uint8_t bits[8192];
static long guarded;

static void *count(void *argument) {
    long self = (long)argument;
    for (int i = 0; i < rounds; i++) {
        atomic_fetch_add(&added, 1);
        long old = atomic_load(&exchanged);
        while (!atomic_compare_exchange_weak(&exchanged, &old, old + 3)) {}
        unsigned long number = (unsigned long)i * THREADS + self;
        __asm__ volatile("lock btsq %1, %0" : "+m"(bits) : "r"(number % (sizeof bits * 8)) : "cc", "memory");
        uint64_t low = (uint64_t)pair, high = (uint64_t)(pair >> 64);
        char done;
        do {
            __asm__ volatile("lock cmpxchg16b %1\n\tsetz %0"
                             : "=q"(done), "+m"(pair), "+a"(low), "+d"(high)
                             : "b"(low + 1), "c"(high + 2)
                             : "cc", "memory");
        } while (!done);
        pthread_mutex_lock(&mutex);
        guarded++;
        pthread_mutex_unlock(&mutex);
    }
    return 0;
}

// Threads take turns.
static long turn;

static void *take_turns(void *argument) {
    long self = (long)argument;
    for (int i = 0; i < rounds / 10; i++) {
        pthread_mutex_lock(&mutex);
        while (turn % THREADS != self) pthread_cond_wait(&condition, &mutex);
        turn++;
        pthread_cond_broadcast(&condition);
        pthread_mutex_unlock(&mutex);
    }
    return 0;
}

// Each thread sends signals to itself in the middle of arithmetic.
static atomic_long caught;

static void handle(int signal) {
    (void)signal;
    volatile double x = 1;
    for (int i = 0; i < 5; i++) x = x * 1.5;
    atomic_fetch_add(&caught, 1);
}

static atomic_long sums;

static void *be_signalled(void *argument) {
    (void)argument;
    double sum = 0;
    for (int i = 1; i <= rounds / 10; i++) {
        sum += 1.0 / i;
        pthread_kill(pthread_self(), SIGUSR1);
        sum -= 1.0 / i;
    }
    atomic_fetch_add(&sums, sum < 1e-6 && sum > -1e-6);
    return 0;
}

// One thread replaces pages, all look at what they hold.
static volatile long *pages;
static atomic_long stale;

static void *replace_pages(void *argument) {
    long self = (long)argument;
    for (int i = 0; i < rounds / 100; i++) {
        if (self == 0) {
            mmap((void *)pages, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        }
        pthread_barrier_wait(&barrier);
        for (int page = 0; page < PAGES; page++) {
            if (pages[page * PAGE / 8 + self] != 0) atomic_fetch_add(&stale, 1);
        }
        pthread_barrier_wait(&barrier);
        for (int page = 0; page < PAGES; page++) pages[page * PAGE / 8 + self] = i + 1;
        pthread_barrier_wait(&barrier);
        for (int page = 0; page < PAGES; page++) {
            for (int other = 0; other < THREADS; other++) {
                if (pages[page * PAGE / 8 + other] != i + 1) atomic_fetch_add(&stale, 1);
            }
        }
        pthread_barrier_wait(&barrier);
    }
    return 0;
}

// One thread writes code, all run it.
static uint8_t *code;
static atomic_long old_code;

static void *run_code(void *argument) {
    long self = (long)argument;
    for (int i = 0; i < rounds / 20; i++) {
        if (self == i % THREADS) {
            // mov eax, i; ret
            uint32_t value = (uint32_t)i;
            code[0] = 0xB8;
            memcpy(code + 1, &value, 4);
            code[5] = 0xC3;
        }
        pthread_barrier_wait(&barrier);
        int found = ((int (*)(void))(uintptr_t)code)();
        if (found != i) atomic_fetch_add(&old_code, 1);
        pthread_barrier_wait(&barrier);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1) rounds = atoi(argv[1]);
    pthread_barrier_init(&barrier, 0, THREADS);
    run(count);
    check("lock xadd", added, (long)rounds * THREADS);
    check("lock cmpxchg", exchanged, 3L * rounds * THREADS);
    check("lock cmpxchg16b", (long)(pair >> 64), 2L * rounds * THREADS);
    check("mutexes", guarded, (long)rounds * THREADS);
    long set = 0, wanted = (long)rounds * THREADS;
    for (unsigned i = 0; i < sizeof bits; i++) set += __builtin_popcount(bits[i]);
    check("lock bts", set, wanted < (long)sizeof bits * 8 ? wanted : (long)sizeof bits * 8);
    run(take_turns);
    check("conditions", turn, (long)(rounds / 10) * THREADS);
    signal(SIGUSR1, handle);
    run(be_signalled);
    check("signals", caught, (long)(rounds / 10) * THREADS);
    check("arithmetic under signals", sums, THREADS);
    pages = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    run(replace_pages);
    check("stale pages", stale, 0);
    code = mmap(0, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    run(run_code);
    check("stale code", old_code, 0);
    return failures != 0;
}
