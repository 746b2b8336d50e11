// SPDX-License-Identifier: Apache-2.0
//
// Programs that Benchmarks/cpu runs inside a guest: all, or those of the classes that are named. Each prints a line "BENCH class name milliseconds result"; the result
// must be the same wherever it runs.

#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void report(const char *class, const char *name, double start, uint64_t result) {
    printf("BENCH %s %s %.3f %llx\n", class, name, now() - start, (unsigned long long)result);
    fflush(stdout);
}

static uint32_t seed = 12345;
static uint32_t next(void) { return seed = seed * 1664525 + 1013904223; }

__attribute__((noinline)) static uint64_t fib(unsigned n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static const uint32_t k256[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

__attribute__((noinline)) static void sha256(uint32_t *state, const uint32_t *block) {
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++) w[i] = block[i];
    for (int i = 16; i < 64; i++) {
        uint32_t a = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t b = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + a + w[i - 7] + b;
    }
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t e = rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25);
        uint32_t t = s[7] + e + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k256[i] + w[i];
        uint32_t a = rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22);
        uint32_t u = a + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 28);
        s[4] += t;
        s[0] = t + u;
    }
    for (int i = 0; i < 8; i++) state[i] += s[i];
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/// A small bytecode machine: pushes, adds, jumps.
__attribute__((noinline)) static uint64_t machine(const uint8_t *code, uint64_t count) {
    uint64_t stack[16], top = 0, counter = count, sum = 0;
    for (const uint8_t *pc = code;;) {
        switch (*pc++) {
        case 0: stack[top++] = counter; break;
        case 1: stack[top++] = *pc++; break;
        case 2: top--; stack[top - 1] += stack[top]; break;
        case 3: top--; stack[top - 1] ^= stack[top]; break;
        case 4: sum += stack[--top]; break;
        case 5: if (--counter) pc = code; break;
        case 6: stack[top - 1] *= 3; break;
        default: return sum;
        }
    }
}

static void integer(void) {
    double start = now();
    report("integer", "fib", start, fib(37));
    uint32_t state[8] = {1, 2, 3, 4, 5, 6, 7, 8}, block[16];
    for (int i = 0; i < 16; i++) block[i] = next();
    start = now();
    for (int i = 0; i < 400000; i++) sha256(state, block);
    report("integer", "sha256", start, state[0]);
    uint32_t *array = malloc(1000000 * 4);
    for (int i = 0; i < 1000000; i++) array[i] = next();
    start = now();
    qsort(array, 1000000, 4, compare);
    report("integer", "qsort", start, array[500000]);
    static const uint8_t code[] = {0, 1, 7, 2, 6, 0, 3, 4, 1, 2, 1, 3, 2, 4, 5, 9};
    start = now();
    report("integer", "bytecode", start, machine(code, 10000000));
    uint8_t *sieve = malloc(8000000);
    start = now();
    memset(sieve, 1, 8000000);
    uint64_t primes = 0;
    for (uint32_t i = 2; i < 8000000; i++) {
        if (!sieve[i]) continue;
        primes++;
        for (uint32_t j = 2 * i; j < 8000000; j += i) sieve[j] = 0;
    }
    report("integer", "sieve", start, primes);
    uint32_t *list = malloc(1 << 20);
    for (uint32_t i = 0; i < 1 << 18; i++) list[i] = i;
    for (uint32_t i = (1 << 18) - 1; i > 0; i--) {
        uint32_t j = next() % i, t = list[i];
        list[i] = list[j];
        list[j] = t;
    }
    start = now();
    uint32_t at = 0;
    for (int i = 0; i < 20000000; i++) at = list[at];
    report("integer", "chase", start, at);
    uint64_t quotient = 0;
    start = now();
    for (uint64_t i = 1; i < 20000000; i++) quotient += (i * 0x9E3779B97F4A7C15u) / (i | 5);
    report("integer", "divide", start, quotient);
    free(list);
    free(sieve);
    free(array);
}

static void floating(void) {
    enum { size = 160 };
    static double a[size][size], b[size][size], c[size][size];
    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++) a[i][j] = i + j, b[i][j] = i - j;
    double start = now();
    for (int round = 0; round < 10; round++)
        for (int i = 0; i < size; i++)
            for (int k = 0; k < size; k++)
                for (int j = 0; j < size; j++) c[i][j] += a[i][k] * b[k][j];
    report("float", "matmul", start, (uint64_t)c[3][5]);
    double position[5][3], speed[5][3];
    for (int i = 0; i < 15; i++) position[i / 3][i % 3] = i * 0.37 + 1, speed[i / 3][i % 3] = 0.01 * i;
    start = now();
    for (int step = 0; step < 200000; step++) {
        for (int i = 0; i < 5; i++)
            for (int j = i + 1; j < 5; j++) {
                double d[3], sum = 0.01;
                for (int k = 0; k < 3; k++) d[k] = position[i][k] - position[j][k], sum += d[k] * d[k];
                double pull = 0.001 / (sum * __builtin_sqrt(sum));
                for (int k = 0; k < 3; k++) speed[i][k] -= d[k] * pull, speed[j][k] += d[k] * pull;
            }
        for (int i = 0; i < 15; i++) position[i / 3][i % 3] += speed[i / 3][i % 3] * 0.001;
    }
    report("float", "nbody", start, (uint64_t)(position[0][0] * 1e6));
    static float x[4096], y[4096];
    for (int i = 0; i < 4096; i++) x[i] = i, y[i] = 4096 - i;
    start = now();
    for (int round = 0; round < 20000; round++)
        for (int i = 0; i < 4096; i++) y[i] = y[i] * 0.5f + x[i];
    report("float", "saxpy", start, (uint64_t)y[100]);
    unsigned inside = 0;
    start = now();
    for (int row = 0; row < 200; row++)
        for (int column = 0; column < 200; column++) {
            double cr = column / 100.0 - 1.5, ci = row / 100.0 - 1, zr = 0, zi = 0;
            int i = 0;
            for (; i < 200 && zr * zr + zi * zi < 4; i++) {
                double t = zr * zr - zi * zi + cr;
                zi = 2 * zr * zi + ci;
                zr = t;
            }
            inside += i;
        }
    report("float", "mandelbrot", start, inside);
    long double sum = 0;
    start = now();
    for (int i = 1; i < 3000000; i++) sum += 1.0L / i;
    report("x87", "harmonic", start, (uint64_t)(sum * 1e9L));
}

static void copying(void) {
    size_t count = 1 << 20;
    char *a = malloc(count), *b = malloc(count);
    memset(a, 1, count);
    memset(b, 2, count);
    double start = now();
    for (int i = 0; i < 2000; i++) {
        memcpy(a, b, count);
        b[i] = (char)i;
    }
    report("copy", "memcpy-1M", start, (uint8_t)a[77]);
    start = now();
    for (int i = 0; i < 20000000; i++) memcpy(a + (i & 1023), b + (i & 511), 48);
    report("copy", "memcpy-48", start, (uint8_t)a[77]);
    uint64_t length = 0;
    memset(a, 'x', 999);
    a[999] = 0;
    start = now();
    for (int i = 0; i < 500000; i++) {
        length += strlen(a);
        __asm__ volatile("" ::: "memory");
    }
    report("copy", "strlen", start, length);
}

static void kernel(void) {
    double start = now();
    for (int i = 0; i < 300000; i++) syscall(SYS_getppid);
    report("kernel", "syscall", start, 0);
    start = now();
    for (int round = 0; round < 20; round++) {
        char *p = mmap(0, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (int i = 0; i < 4 << 20; i += 4096) p[i] = 1;
        munmap(p, 4 << 20);
    }
    report("kernel", "page-faults", start, 0);
    start = now();
    for (int i = 0; i < 300; i++) {
        pid_t child = fork();
        if (!child) _exit(0);
        waitpid(child, 0, 0);
    }
    report("kernel", "fork", start, 0);
    start = now();
    for (int i = 0; i < 200; i++) {
        pid_t child = fork();
        if (!child) {
            execl("/bin/busybox", "true", (char *)0);
            _exit(1);
        }
        waitpid(child, 0, 0);
    }
    report("kernel", "fork-exec", start, 0);
    int there[2], back[2];
    char byte = 0;
    if (pipe(there) || pipe(back)) return;
    pid_t child = fork();
    if (!child) {
        while (read(there[0], &byte, 1) == 1 && byte != 2)
            if (write(back[1], &byte, 1) != 1) break;
        _exit(0);
    }
    start = now();
    for (int i = 0; i < 10000; i++)
        if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) break;
    report("kernel", "pipe", start, 0);
    byte = 2;
    if (write(there[1], &byte, 1) != 1) return;
    waitpid(child, 0, 0);
}

int main(int count, char **names) {
    static const struct {
        const char *name;
        void (*run)(void);
    } classes[] = {{"integer", integer}, {"float", floating}, {"copy", copying}, {"kernel", kernel}};
    for (int i = 0; i < 4; i++) {
        int wanted = count < 2;
        for (int j = 1; j < count; j++) wanted |= !strcmp(names[j], classes[i].name);
        if (wanted) classes[i].run();
    }
    return 0;
}
